//! The head of a message: what a request or an answer says before its body.
//!
//! In: bytes of HTTP/1, or the headers of HTTP/2. Out: one view of both, so that nothing behind it knows which engine
//! read them. Each stays in the form in which it came, and goes on in that where the other side speaks the same version.

pub mod framing;
pub mod hygiene;
pub mod lines;
pub mod parse;
#[cfg(test)]
pub mod strategies;
pub mod translate;
pub mod websocket;
pub mod write;

use crate::middleware::Fields;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use lines::{Line, Lines};
use std::{borrow::Cow, slice};

/// The fields of a head.
#[derive(Clone, Debug)]
pub enum Head {
    /// As they came by HTTP/1.
    Lines(Lines),
    /// As they came by HTTP/2, without what it forbids. On the heap, so that the other is not as large.
    Map(Box<HeaderMap>),
}

/// The fields of a head, one after the other, in either form. Each message of HTTP/1 is looked through a dozen times: so the
/// lines come first, and what else is here is out of their way.
#[derive(Debug)]
struct Each<'a> {
    block: &'a [u8],
    lines: slice::Iter<'a, Line>,
    map: Option<header::Iter<'a, HeaderValue>>,
}

/// The values of the fields of one kind.
#[derive(Debug)]
struct OfKind<'a> {
    kind: Kind,
    all: Each<'a>,
}

/// The fields that a proxy has to know (RFC 9110, sections 6 and 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any other field.
    Other,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `TE`.
    Te,
    /// `Upgrade`.
    Upgrade,
    /// `Keep-Alive`.
    KeepAlive,
    /// `Proxy-Connection`.
    ProxyConnection,
    /// `HTTP2-Settings`.
    Http2Settings,
    /// `Expect`.
    Expect,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// What is asked for: path and query, or `*`.
    pub target: Bytes,
    /// The version in which it came.
    pub version: Version,
    /// `Host`, or `:authority`.
    pub host: Option<Bytes>,
    /// Extended CONNECT's `:protocol` (RFC 8441).
    pub protocol: Option<Bytes>,
    /// How many bytes it took.
    pub size: usize,
    /// Its fields.
    pub head: Head,
}

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status.
    pub status: u16,
    /// The reason phrase of HTTP/1.
    pub reason: Bytes,
    /// The version in which it came.
    pub version: Version,
    /// Its fields.
    pub head: Head,
}

// === impl Kind ===

impl Kind {
    /// What a field of this name is. By length first, so that most names cost one comparison of numbers.
    fn of(name: &[u8]) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::KeepAlive,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::Http2Settings,
            16 if is("proxy-connection") => Self::ProxyConnection,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }

    /// Whether a field of this kind always concerns the connection only (RFC 9110, section 7.6.1).
    fn is_of_connection(self) -> bool {
        match self {
            Self::Connection
            | Self::TransferEncoding
            | Self::Te
            | Self::Upgrade
            | Self::KeepAlive
            | Self::ProxyConnection
            | Self::Http2Settings => true,
            Self::Other | Self::Host | Self::ContentLength | Self::Expect => false,
        }
    }
}

// === impl Head ===

impl Head {
    /// The fields, as name, value and kind.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8], Kind)> {
        self.all()
    }

    /// The values of the fields of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        OfKind { kind, all: self.all() }
    }

    fn all(&self) -> Each<'_> {
        match self {
            Self::Lines(lines) => lines.all(),
            Self::Map(map) => Each { block: &[], lines: [].iter(), map: Some(map.iter()) },
        }
    }

    /// How many fields there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.count(),
            Self::Map(map) => map.len(),
        }
    }

    /// How many bytes it takes as HTTP/1.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.size(),
            Self::Map(map) => map.iter().map(|(name, value)| lines::size(name, value)).sum(),
        }
    }

    /// The first value of the field of this lower-case name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Lines(lines) => lines.get(name),
            Self::Map(map) => map.get(name).map(HeaderValue::as_bytes),
        }
    }

    /// The lines of HTTP/1.
    #[must_use]
    pub fn lines(&self) -> Cow<'_, Lines> {
        match self {
            Self::Lines(lines) => Cow::Borrowed(lines),
            Self::Map(map) => Cow::Owned(Lines::from(&**map)),
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::Lines(Lines::default())
    }
}

impl Fields for Head {
    fn get(&self, name: &str) -> Option<&[u8]> {
        Self::get(self, name)
    }

    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value, _) in self.fields().filter(|(other, _, _)| is_named(other, name)) {
            visit(value);
        }
    }
}

// === impl Each ===

impl<'a> Each<'a> {
    #[inline(never)] // out of the way of lines
    fn next_of_map(&mut self) -> Option<(&'a [u8], &'a [u8], Kind)> {
        let (name, value) = self.map.as_mut()?.next()?;
        let name = name.as_str().as_bytes();
        Some((name, value.as_bytes(), Kind::of(name)))
    }
}

impl<'a> Iterator for Each<'a> {
    type Item = (&'a [u8], &'a [u8], Kind);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.lines.next() {
            Some(line) => Some((line.name(self.block), line.value(self.block), line.kind)),
            None if self.map.is_none() => None,
            None => self.next_of_map(),
        }
    }
}

// === impl OfKind ===

impl<'a> Iterator for OfKind<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Self { kind, all } = self;
        if let Some(line) = all.lines.find(|line| line.kind == *kind) {
            return Some(line.value(all.block));
        }
        all.map.as_ref()?;
        while let Some((_, value, other)) = all.next_of_map() {
            if other == *kind {
                return Some(value);
            }
        }
        None
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// Whether it is a call of gRPC.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.method == Method::POST
            && self.head.get("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"))
    }
}

/// Whether a value of `Host` names a host alone: what else it has, some would take for a path or a user's name.
fn is_host(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#' | b'@' | b' ' | b'\t' | b','))
}

/// Whether a field's name is this lower-case one.
fn is_named(name: &[u8], lower: &str) -> bool {
    name.len() == lower.len() && name.eq_ignore_ascii_case(lower.as_bytes())
}

/// The elements of a comma-separated list, trimmed, without empty ones.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
