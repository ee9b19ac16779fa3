//! Requests that want another protocol on their connection.
//!
//! In: a request. Out: which protocol it asks an endpoint for; or, where it asks for HTTP/2 (`Upgrade: h2c`), the bytes
//! with which a connection of HTTP/2 would have said the same.
//!
//! RFC 7540, section 3.2: after a 101 the connection is HTTP/2, and the request is its stream 1. The engine knows
//! connections that begin with the preface only, so it is shown one: the preface and the settings that the client sends behind the
//! 101, then the request itself as a frame. The client's own settings come first for they are the ones that are to be
//! acknowledged: those of `HTTP2-Settings` never are, and some clients (curl) end a connection that does.

use crate::http::{
    head::{Kind, RequestHead, elements, framing::Framing, hygiene::Hop},
    http2::PREFACE,
    wire::{Side, http1::Http1},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use std::{future::poll_fn, time::Duration};
use tokio::time::timeout;

/// The largest payload of a frame that every receiver takes (RFC 9113, section 4.2).
const LARGEST_FRAME: usize = 16_384;
/// The size of a frame's head (RFC 9113, section 4.1).
const FRAME_HEAD: usize = 9;
/// How long a client may take to send its first settings.
const FIRST_SETTINGS: Duration = Duration::from_secs(10);
/// Frame types and flags (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The protocol that a request asks its endpoint for.
pub(super) fn protocol(request: &RequestHead, hop: &Hop) -> Option<Bytes> {
    if !hop.upgrade {
        return None;
    }
    let wanted = request.head.of_kind(Kind::Upgrade).flat_map(elements);
    // HTTP/2 is between the client and the proxy; it is no matter of the endpoint.
    let mut wanted = wanted.filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"));
    wanted.next().map(Bytes::copy_from_slice)
}

/// What becomes of a request that may ask for HTTP/2.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    /// It is served as it came. A request with a body is, as the RFC allows.
    No,
    /// The connection is HTTP/2, and shall be read as if it had begun with these bytes.
    Http2(BytesMut),
    /// The client was told so, and then spoke something else.
    Broken,
}

/// Agrees to HTTP/2 where a request asks for it, and waits for the client's first settings.
pub(super) async fn h2c(
    request: &RequestHead,
    hop: &Hop,
    framing: Framing,
    connection: &mut Http1,
) -> Agreed {
    let Some(headers) = asked(request, hop, framing, &connection.input) else { return Agreed::No };
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    connection.output.small().extend_from_slice(agreed);
    if poll_fn(|context| connection.poll_flush(context)).await.is_err() {
        return Agreed::Broken;
    }
    let begun = timeout(FIRST_SETTINGS, begun(connection));
    let Ok(Some(mut as_if)) = begun.await else { return Agreed::Broken };
    as_if.extend_from_slice(&headers);
    as_if.extend_from_slice(&connection.input.split());
    Agreed::Http2(as_if)
}

/// The request as frames of HTTP/2, where it asks for that.
fn asked(request: &RequestHead, hop: &Hop, framing: Framing, input: &[u8]) -> Option<BytesMut> {
    if !hop.upgrade || framing != Framing::Empty {
        return None;
    }
    let asked = request.head.of_kind(Kind::Upgrade).flat_map(elements);
    if !asked.into_iter().any(|protocol| protocol.eq_ignore_ascii_case(b"h2c")) {
        return None;
    }
    let mut settings = request.head.of_kind(Kind::Http2Settings);
    let (Some(encoded), None) = (settings.next(), settings.next()) else { return None };
    let settings = URL_SAFE_NO_PAD.decode(encoded.trim_ascii_end()).ok()?;
    if settings.len() % 6 != 0 || settings.len() > LARGEST_FRAME {
        return None;
    }
    // What came behind the request is the client's own preface, and more. Anything else is another request: one that wants
    // to be answered by HTTP/1, so that this one is.
    let eager = input.len().min(PREFACE.len());
    if input[..eager] != PREFACE[..eager] {
        return None;
    }
    headers(request, hop)
}

/// The client's preface and its first settings; none where it speaks something else.
async fn begun(connection: &mut Http1) -> Option<BytesMut> {
    loop {
        let input = &connection.input;
        let come = input.len().min(PREFACE.len());
        if input[..come] != PREFACE[..come] {
            return None;
        }
        if let Some([high, middle, low, kind, ..]) = input.get(PREFACE.len()..PREFACE.len() + FRAME_HEAD) {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if *kind != SETTINGS || length > LARGEST_FRAME {
                return None;
            }
            let whole = PREFACE.len() + FRAME_HEAD + length;
            if input.len() >= whole {
                return Some(connection.input.split_to(whole));
            }
        }
        if !poll_fn(|context| connection.poll_fill(context)).await.ok()? {
            return None;
        }
    }
}

/// The frames that say the same.
fn headers(request: &RequestHead, hop: &Hop) -> Option<BytesMut> {
    let mut block = BytesMut::new();
    literal(&mut block, b":method", request.method.as_str().as_bytes());
    literal(&mut block, b":scheme", b"http");
    literal(&mut block, b":path", &request.target);
    literal(&mut block, b":authority", request.host.as_deref()?);
    for (name, value, kind) in request.head.fields() {
        if kind != Kind::Host && !crate::http::head::hygiene::is_hop_by_hop(&request.head, name, kind, hop) {
            literal(&mut block, &name.to_ascii_lowercase(), value);
        }
    }
    if hop.trailers {
        literal(&mut block, b"te", b"trailers");
    }
    let mut bytes = BytesMut::with_capacity(block.len() + 64);
    let mut pieces = block.chunks(LARGEST_FRAME).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let first = if kind == HEADERS { END_STREAM } else { 0 };
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        frame(&mut bytes, kind, first | last, 1, piece);
        kind = CONTINUATION;
    }
    Some(bytes)
}

fn frame(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
    out.put_slice(payload);
}

/// A literal field that is not indexed (RFC 7541, section 6.2.2).
fn literal(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_u8(0);
    string(out, name);
    string(out, value);
}

/// A string without Huffman's code (RFC 7541, section 5.2), its length as an integer of a prefix of 7 bits (section 5.1).
fn string(out: &mut BytesMut, text: &[u8]) {
    if text.len() < 127 {
        out.put_u8(u8::try_from(text.len()).unwrap_or(0));
    } else {
        out.put_u8(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.put_u8(u8::try_from(rest % 128).unwrap_or(0) | 128);
            rest /= 128;
        }
        out.put_u8(u8::try_from(rest).unwrap_or(0));
    }
    out.put_slice(text);
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
