//! Where the configuration comes from.
//!
//! In: the node's ConfigMap, watched, or a file. Out: configurations that passed every check, and word of those that
//! did not. The last good one is kept on disk, for a proxy that starts while the API server is away.

mod file;
mod keep;
mod watch;

pub use file::follow as follow_file;
pub use keep::Keep;
pub use watch::follow as follow_cluster;

use crate::plan::Accepted;
use std::{io, path::PathBuf, sync::Arc};
use weft_contract::{Body, DecodeError, Rejection, decode};

/// A configuration as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The plain text, where there is one.
    pub plain: Option<String>,
    /// The compressed bytes, where there are any.
    pub compressed: Option<Vec<u8>>,
    /// The revision that it says it has.
    pub revision: Option<String>,
}

/// Why a configuration is not used, or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or breaks a rule.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is for another node.
    #[error("the configuration is for node {found}, this is node {node}")]
    OtherNode {
        /// The node that it names.
        found: String,
        /// This node.
        node: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Checks a configuration that came in.
///
/// # Errors
/// Why it must not be used.
pub fn accept(content: &Content, node: &str) -> Result<Accepted, Error> {
    let Content { plain, compressed, revision } = content;
    let (revision, configuration) = decode(plain.as_deref(), compressed.as_deref(), revision.as_deref())?;
    if configuration.node != node {
        return Err(Error::OtherNode { found: configuration.node, node: node.to_owned() });
    }
    Ok(Accepted { revision, configuration: Arc::new(configuration) })
}

// === impl Content ===

impl Content {
    /// What the operator is told when this cannot be used.
    #[must_use]
    pub fn rejection(&self, error: &Error) -> Rejection {
        Rejection { revision: self.revision.clone(), reason: error.to_string() }
    }
}

impl From<Body> for Content {
    fn from(body: Body) -> Self {
        match body {
            Body::Plain(text) => Self { plain: Some(text), compressed: None, revision: None },
            Body::Compressed(bytes) => Self { plain: None, compressed: Some(bytes), revision: None },
        }
    }
}

#[cfg(test)]
mod tests;
