//! The head of a message: what a request or an answer says before its body.
//!
//! In: bytes of HTTP/1, or the headers of HTTP/2. Out: one form of both, so that nothing behind it knows which engine
//! read them. The lines stay in the block in which they came, and most are written on from there in one piece.

pub mod framing;
pub mod hygiene;
pub mod parse;
#[cfg(test)]
pub mod strategies;
pub mod websocket;
pub mod write;

use crate::middleware::Fields;
use bytes::{Bytes, BytesMut};
use http::{Method, Version};

/// The lines of a head, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Head {
    block: Bytes,
    lines: Vec<Line>,
}

/// One line, by its places in the block.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Where it begins, and its name with it.
    pub start: u32,
    /// Where it ends, what ends it included.
    pub end: u32,
    /// Where its name ends.
    pub name_end: u32,
    /// Where its value begins.
    pub value_start: u32,
    /// Where its value ends.
    pub value_end: u32,
    /// Which field it is.
    pub kind: Kind,
    /// Its sender wants it in no table of HTTP/2's compression, here or further on (RFC 7541, section 6.2.3).
    pub never_indexed: bool,
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
    pub fn of(name: &[u8]) -> Self {
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
}

// === impl Line ===

impl Line {
    /// Writes a line at the end of `block`.
    #[must_use]
    pub fn write(block: &mut BytesMut, name: &[u8], value: &[u8], never_indexed: bool) -> Self {
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let start = block.len();
        write::line(block, name, value);
        let (name_end, end) = (start + name.len(), block.len());
        Self {
            start: place(start),
            end: place(end),
            name_end: place(name_end),
            value_start: place(name_end + 2), // behind ": "
            value_end: place(end - 2),        // before the end of the line
            kind: Kind::of(name),
            never_indexed,
        }
    }
}

// === impl Head ===

impl Head {
    /// Lines by their places in `block`.
    #[must_use]
    pub fn new(block: Bytes, lines: Vec<Line>) -> Self {
        Self { block, lines }
    }

    /// The lines, each with its name and value.
    pub fn each(&self) -> impl Iterator<Item = (&[u8], &[u8], &Line)> {
        self.lines.iter().map(|line| (self.name(line), self.value(line), line))
    }

    /// The fields, as name, value and kind.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8], Kind)> {
        self.lines.iter().map(|line| (self.name(line), self.value(line), line.kind))
    }

    /// The values of the fields of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| line.kind == kind).map(|line| self.value(line))
    }

    /// How many fields there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.block.len()
    }

    /// The first value of the field of this lower-case name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().find(|line| is_named(self.name(line), name)).map(|line| self.value(line))
    }

    /// A part of the block that shares its memory.
    #[must_use]
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.block.slice_ref(part)
    }

    fn name(&self, line: &Line) -> &[u8] {
        &self.block[line.start as usize..line.name_end as usize]
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.block[line.value_start as usize..line.value_end as usize]
    }
}

impl Fields for Head {
    fn get(&self, name: &str) -> Option<&[u8]> {
        Self::get(self, name)
    }

    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for line in self.lines.iter().filter(|line| is_named(self.name(line), name)) {
            visit(self.value(line));
        }
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
#[must_use]
pub fn is_host(value: &[u8]) -> bool {
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
