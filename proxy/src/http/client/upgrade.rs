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
    http2::{self, FrameHead, HEAD, LARGEST, PREFACE, kind},
    wire::{Side, http1::Http1},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use std::{future::poll_fn, time::Duration};
use tokio::time::timeout;

/// How long a client may take to send its first settings.
const FIRST_SETTINGS: Duration = Duration::from_secs(10);
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
    if settings.len() % 6 != 0 || settings.len() > LARGEST {
        return None;
    }
    // What came behind the request is the client's own preface, and more. Anything else is another request: one that wants
    // to be answered by HTTP/1, so that this one is.
    let eager = input.len().min(PREFACE.len());
    if input[..eager] != PREFACE[..eager] {
        return None;
    }
    http2::upgraded(request, hop)
}

/// The client's preface and its first settings; none where it speaks something else.
async fn begun(connection: &mut Http1) -> Option<BytesMut> {
    loop {
        let input = &connection.input;
        let come = input.len().min(PREFACE.len());
        if input[..come] != PREFACE[..come] {
            return None;
        }
        if let Some(FrameHead { length, kind, .. }) = input.get(PREFACE.len()..).and_then(FrameHead::read) {
            if kind != kind::SETTINGS || length > LARGEST {
                return None;
            }
            let whole = PREFACE.len() + HEAD + length;
            if input.len() >= whole {
                return Some(connection.input.split_to(whole));
            }
        }
        if !poll_fn(|context| connection.poll_fill(context)).await.ok()? {
            return None;
        }
    }
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
