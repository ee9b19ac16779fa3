//! The one encoding of a node's configuration.
//!
//! In: a [`NodeConfiguration`], or the content of a ConfigMap. Out: the bytes to write with their
//! revision, or the configuration read back, checked. Equal configurations have equal bytes.

use crate::{
    check::{Violation, check},
    configuration::{NodeConfiguration, SCHEMA},
};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    io::{self, Read, Write},
};

/// Below this many bytes a configuration is kept as JSON that people can read.
pub const READABLE_BYTES: usize = 64 * 1024;
/// Kubernetes refuses a ConfigMap with more content than this.
pub const LIMIT_BYTES: usize = 1024 * 1024;
/// No configuration that fits a ConfigMap grows beyond this when unpacked; what does is an attack.
const LARGEST_UNPACKED: u64 = 128 * 1024 * 1024;

/// A configuration ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// A hash of the content: equal revisions mean equal configurations.
    pub revision: String,
    /// The content.
    pub body: Body,
}

/// The content of a node's ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// For `data`, under [`crate::object::PLAIN_KEY`].
    Plain(String),
    /// For `binaryData`, under [`crate::object::COMPRESSED_KEY`].
    Compressed(Vec<u8>),
}

/// Why a configuration could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The ConfigMap has neither key, or both.
    #[error(
        "the ConfigMap must hold exactly one of data[configuration.json] and binaryData[configuration.json.gz]"
    )]
    NoContent,
    /// The compressed content is damaged.
    #[error("the compressed configuration cannot be unpacked: {0}")]
    Unpack(#[source] io::Error),
    /// The content unpacks to more than any real configuration.
    #[error("the compressed configuration unpacks to more than {LARGEST_UNPACKED} bytes")]
    TooLarge,
    /// The content is not JSON of the schema.
    #[error("the configuration is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// The content follows a newer schema.
    #[error("the configuration has schema {found}, this proxy reads up to {SCHEMA}: upgrade the proxy")]
    Schema {
        /// The schema found.
        found: u32,
    },
    /// The content breaks a rule.
    #[error("the configuration breaks a rule: {0}")]
    Violation(#[from] Violation),
    /// The content is not what its revision names.
    #[error("the configuration is damaged: its revision is {found}, its ConfigMap says {named}")]
    Revision {
        /// The hash of the content.
        found: String,
        /// The revision that the ConfigMap names.
        named: String,
    },
}

/// Encodes a configuration, deterministic to the byte.
///
/// # Errors
/// Only where serde or gzip fail, which plain data in memory gives no reason for.
pub fn encode(configuration: &NodeConfiguration) -> Result<Encoded, DecodeError> {
    let json = serde_json::to_string(configuration)?;
    let revision = fingerprint(json.as_bytes());
    let body = if json.len() <= READABLE_BYTES {
        Body::Plain(json)
    } else {
        // No time stamp and no name of an operating system, so that equal content has equal bytes.
        let mut packer =
            GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::default());
        packer.write_all(json.as_bytes()).map_err(DecodeError::Unpack)?;
        Body::Compressed(packer.finish().map_err(DecodeError::Unpack)?)
    };
    Ok(Encoded { revision, body })
}

/// Reads a configuration back from the content of a ConfigMap and checks it.
///
/// # Errors
/// Says what is wrong; the caller stays on its last good configuration.
pub fn decode(
    plain: Option<&str>,
    compressed: Option<&[u8]>,
    named: Option<&str>,
) -> Result<(String, NodeConfiguration), DecodeError> {
    let json = match (plain, compressed) {
        (Some(plain), None) => plain.as_bytes().to_vec(),
        (None, Some(compressed)) => unpack(compressed)?,
        (None, None) | (Some(_), Some(_)) => return Err(DecodeError::NoContent),
    };
    let found = fingerprint(&json);
    if let Some(named) = named.filter(|named| *named != found) {
        return Err(DecodeError::Revision { found, named: named.to_owned() });
    }
    let SchemaOnly { schema } = serde_json::from_slice(&json)?;
    if schema > SCHEMA {
        return Err(DecodeError::Schema { found: schema });
    }
    let configuration: NodeConfiguration = serde_json::from_slice(&json)?;
    check(&configuration)?;
    Ok((found, configuration))
}

/// A short hash of content: the first 16 bytes of its SHA-256, in hexadecimal.
#[must_use]
pub fn fingerprint(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// The part of any schema's configuration that tells which schema it is.
#[derive(serde::Deserialize)]
struct SchemaOnly {
    schema: u32,
}

fn unpack(compressed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut json = Vec::new();
    let mut limited = GzDecoder::new(compressed).take(LARGEST_UNPACKED + 1);
    limited.read_to_end(&mut json).map_err(DecodeError::Unpack)?;
    if json.len() as u64 > LARGEST_UNPACKED {
        return Err(DecodeError::TooLarge);
    }
    Ok(json)
}

impl Encoded {
    /// The size that Kubernetes counts against [`LIMIT_BYTES`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Plain(text) => text.len(),
            Body::Compressed(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
