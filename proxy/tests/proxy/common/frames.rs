//! HTTP/2 by hand: frames that no library would send.

use super::within;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer(u16),
    Reset(h2::Reason),
    GoAway(h2::Reason),
    Closed,
}

/// A client that sends frames as they are given.
pub struct Raw {
    pub stream: TcpStream,
}

pub type Field<'a> = (&'a str, &'a [u8]);

/// The pseudo-headers of a request that is fine.
pub const FINE: [Field<'static>; 4] =
    [(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", b"web.shop.mesh")];

impl Raw {
    /// Connects by prior knowledge. The other side may not compress by reference, so that answers can be read here.
    pub async fn connect(port: u16) -> Self {
        let mut raw = Self { stream: super::connect(port).await };
        raw.stream.write_all(PREFACE).await.unwrap();
        raw.send(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]).await; // SETTINGS_HEADER_TABLE_SIZE is 0
        raw
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // The other side may have ended the connection already, which the outcome tells.
        let _ = within(self.stream.write_all(&frame(kind, flags, stream, payload))).await;
    }

    /// A request without a body.
    pub async fn ask(&mut self, stream: u32, fields: &[Field<'_>]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields)).await;
    }

    /// The next frame; none at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        within(self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        within(self.stream.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.send(SETTINGS, ACK, 0, &[]).await;
        }
        Some(frame)
    }

    /// What becomes of a stream, or of the connection before it.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(Frame { kind, stream: id, payload, .. }) = self.next().await {
            match kind {
                HEADERS if id == stream => return Outcome::Answer(status(&payload)),
                RST_STREAM if id == stream => return Outcome::Reset(reason(&payload)),
                GOAWAY => return Outcome::GoAway(reason(&payload[4..])),
                _ => {}
            }
        }
        Outcome::Closed
    }
}

fn reason(payload: &[u8]) -> h2::Reason {
    u32::from_be_bytes(payload[..4].try_into().unwrap()).into()
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that are not indexed (RFC 7541, section 6.2.2).
pub fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_bytes());
        string(&mut block, value);
    }
    block
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        out.push(rest as u8);
    } else {
        out.push(127);
        rest -= 127;
        while rest >= 128 {
            out.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
}

/// The status at the front of a block, in the forms that it can have without a dynamic table.
fn status(block: &[u8]) -> u16 {
    let block = match block {
        [update, rest @ ..] if update & 0xe0 == 0x20 => rest, // a size update of the table
        block => block,
    };
    match block {
        [indexed, ..] if indexed & 0x80 != 0 => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(indexed & 0x7f) - 8]
        }
        [_, length, text @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&text[..usize::from(*length)]).unwrap().parse().unwrap()
        }
        [_, length, text @ ..] => digits(&text[..usize::from(length & 0x7f)]),
        _ => panic!("no status in {block:?}"),
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0 to 2 have five bits, the others six.
fn digits(text: &[u8]) -> u16 {
    let bits: Vec<u8> =
        text.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)).collect();
    let mut at = 0;
    let mut take = |count: usize| {
        at += count;
        bits[at - count..at].iter().fold(0, |number, bit| number * 2 + u16::from(*bit))
    };
    let mut number = 0;
    for _ in 0..3 {
        let five = take(5);
        let digit = if five < 3 { five } else { five * 2 + take(1) - 0b01_1001 + 3 };
        number = number * 10 + digit;
    }
    number
}
