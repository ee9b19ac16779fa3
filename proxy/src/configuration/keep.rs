//! Keeps the last good configuration on disk.
//!
//! In: a configuration that was accepted, as it came in. Out: the same at the next start. It is written whole or not at
//! all, and checked when it is read like any other.

use super::{Content, Error};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use weft_contract::{Body, object};

/// How gzip begins; no JSON does.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A directory that outlives the process.
#[derive(Clone, Debug)]
pub struct Keep {
    directory: PathBuf,
}

// === impl Keep ===

impl Keep {
    /// Keeps the configuration in `directory`.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Writes a configuration.
    ///
    /// # Errors
    /// Where the file cannot be written; what was there stays.
    pub fn store(&self, content: &Content) -> Result<(), Error> {
        let Content { plain, compressed, revision: _ } = content;
        let bytes = plain.as_deref().map(str::as_bytes).or(compressed.as_deref()).unwrap_or_default();
        let path = self.path();
        let new = path.with_extension("new");
        // Not synced to the disk: this is for a crash of the proxy, not of the node, and it is checked when read.
        let write = || {
            fs::write(&new, bytes)?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| Error::File { path, source })
    }

    /// Reads what was kept, if anything.
    ///
    /// # Errors
    /// Where there is a file that cannot be read.
    pub fn load(&self) -> Result<Option<Content>, Error> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { path, source }),
        };
        let body = if bytes.starts_with(&GZIP) {
            Body::Compressed(bytes)
        } else {
            // What is not text is not JSON either, which the check says better.
            Body::Plain(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Some(body.into()))
    }

    fn path(&self) -> PathBuf {
        self.directory.join(object::PLAIN_KEY)
    }
}
