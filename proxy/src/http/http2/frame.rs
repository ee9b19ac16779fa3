//! Frames of HTTP/2 (RFC 9113, sections 4 and 6), as bytes.
//!
//! In: bytes. Out: what a frame's head says, and where its content lies in its payload; and the other way round, frames
//! written at the end of a buffer.

use bytes::{Buf, BufMut, BytesMut};
use std::{fmt, ops::Range};

/// The size of a frame's head.
pub const HEAD: usize = 9;
/// The largest payload of a frame that every receiver takes, and that we take (section 4.2).
pub const LARGEST: usize = 16_384;
/// The window of streams and connections before anybody has said otherwise (section 6.9.2).
pub const FIRST_WINDOW: u32 = 65_535;
/// The largest window, and the largest stream (sections 6.9.1 and 5.1.1).
pub const MOST: u32 = 0x7fff_ffff;
/// With what a connection begins (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (section 6).
pub mod kind {
    #![allow(missing_docs)] // they are the RFC's names
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames (section 6).
pub mod flag {
    #![allow(missing_docs)] // they are the RFC's names
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Settings (section 6.5.2, and RFC 8441, section 3).
pub mod setting {
    #![allow(missing_docs)] // they are the RFC's names
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Why a stream or a connection was ended (section 7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u32);

/// A frame's head (section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes its payload has.
    pub length: usize,
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
}

// === impl Reason ===

impl Reason {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The proxy cannot go on.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More was sent than a window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Something came for a stream that had ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame has an impossible size.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// The request was not processed.
    pub const REFUSED_STREAM: Self = Self(7);
    /// Nobody wants it any longer.
    pub const CANCEL: Self = Self(8);
    /// Fields cannot be decompressed.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The other side asks for too much.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        NAMES.get(self.0 as usize).copied()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

// === impl Head ===

impl Head {
    /// The head at the front of `bytes`; none where it is not complete.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, stream @ ..] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, *high, *middle, *low]) as usize,
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes(*stream) & MOST, // the first bit is reserved
        })
    }

    /// Whether it has a flag.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it is the last of its stream, as DATA and HEADERS may be.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        self.has(flag::END_STREAM)
    }

    /// Where the content lies in the payload, between what pads it (section 6.1); none where it is padded with more than there
    /// is.
    #[must_use]
    pub fn content(&self, payload: &[u8]) -> Option<Range<usize>> {
        if !self.has(flag::PADDED) {
            return Some(0..payload.len());
        }
        let padding = usize::from(*payload.first()?);
        (padding < payload.len()).then(|| 1..payload.len() - padding)
    }
}

/// Writes a frame's head.
pub fn head(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(MOST).to_be_bytes();
    let [first, second, third, fourth] = stream.to_be_bytes();
    out.put_slice(&[high, middle, low, kind, flags, first, second, third, fourth]);
}

/// Writes settings.
pub fn settings(out: &mut BytesMut, settings: &[(u16, u32)]) {
    head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (name, value) in settings {
        out.put_u16(*name);
        out.put_u32(*value);
    }
}

/// Writes the word that settings are in force.
pub fn settings_ack(out: &mut BytesMut) {
    head(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// Writes a PING, or the answer to one.
pub fn ping(out: &mut BytesMut, flags: u8, payload: [u8; 8]) {
    head(out, payload.len(), kind::PING, flags, 0);
    out.put_slice(&payload);
}

/// Writes a GOAWAY: streams up to `last` are processed.
pub fn goaway(out: &mut BytesMut, last: u32, reason: Reason) {
    head(out, 8, kind::GOAWAY, 0, 0);
    out.put_u32(last);
    out.put_u32(reason.0);
}

/// Writes the end of a stream.
pub fn reset(out: &mut BytesMut, stream: u32, reason: Reason) {
    head(out, 4, kind::RST_STREAM, 0, stream);
    out.put_u32(reason.0);
}

/// Writes that so much more may be sent.
pub fn window_update(out: &mut BytesMut, stream: u32, by: u32) {
    head(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.put_u32(by);
}

/// A number of four bytes at the front.
#[must_use]
pub fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().copied().map(u32::from_be_bytes)
}

/// The settings of a payload, whose length is a multiple of six.
pub fn each_setting(mut payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    std::iter::from_fn(move || (payload.len() >= 6).then(|| (payload.get_u16(), payload.get_u32())))
}
