//! What goes over a connection: bodies as frames, and HTTP/1's way to write them.
//!
//! In: bytes. Out: frames, and the other way round. A frame is the same for HTTP/1, HTTP/2 and an upgraded connection,
//! so that whoever moves them need not know.

pub mod chunked;
pub mod http1;
pub mod outbox;
pub mod stream;

pub use crate::alarm;

use crate::http::http2::Reason;
use bytes::Bytes;
use http::HeaderMap;
use std::{
    io,
    task::{Context, Poll},
};

/// A part of a body.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Bytes.
    Data(Bytes),
    /// Fields after the body; the body is complete.
    Trailers(HeaderMap),
    /// The body is complete.
    End,
}

/// Why a message could not be read or written to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// It ended within a message.
    #[error("the connection ended within a message")]
    Ended,
    /// What came is not HTTP.
    #[error("the message breaks the protocol: {0}")]
    Protocol(String),
    /// The stream of HTTP/2 was reset by the other side.
    #[error("the stream was reset: {0}")]
    Reset(Reason),
    /// The other side of HTTP/2 said that it did not process the request (RFC 9113, sections 6.8 and 8.7).
    #[error("the request was not processed: {0}")]
    Unprocessed(Reason),
    /// The connection of a stream has ended, and all its streams with it.
    #[error("{0}")]
    Gone(&'static str),
}

/// One side of an exchange after its heads: it sends a body and takes one.
pub trait Side {
    /// The next part of the body that comes from there. After `Trailers` or `End` it is not asked again.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>>;
    /// Whether there is room for another part of the body that goes there.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>>;
    /// Takes a part of the body that goes there; only after `poll_ready`.
    fn put(&mut self, frame: Frame);
    /// Sends what was taken.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>>;
}

// === impl Frame ===

impl Frame {
    /// The end of a body, with the fields behind it where there are any.
    #[must_use]
    pub fn trailers(fields: HeaderMap) -> Self {
        if fields.is_empty() { Self::End } else { Self::Trailers(fields) }
    }

    /// Whether the body is complete with this.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Data(_) => false,
            Self::Trailers(_) | Self::End => true,
        }
    }
}
