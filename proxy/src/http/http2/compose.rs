//! Writes the fields of HTTP/2 messages (RFC 9113, section 8).
//!
//! In: a head in the one form that the way works on, with the changes that the way asks for; or trailers. Out: the fields of
//! HTTP/2, compressed as far as costs little. What HTTP/2 forbids, fields of the connection, is left out.

use super::{
    frame::{LARGEST, flag},
    hpack::encode,
    output::Output,
};
use crate::{
    http::head::{Head, Kind, RequestHead, ResponseHead, hygiene, hygiene::Hop, is_host, write},
    middleware::Edit,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::Scheme};

/// A request that HTTP/2 can say.
#[derive(Debug)]
pub struct Request<'a> {
    request: &'a RequestHead,
    target: &'a [u8],
    scheme: &'a Scheme,
    host: Option<&'a [u8]>,
    hop: &'a Hop,
    edits: &'a [Edit],
    protocol: Option<&'a str>,
}

/// HTTP/2 cannot say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's target or host is not one that can be forwarded")]
pub struct Unspeakable;

// === impl Request ===

impl<'a> Request<'a> {
    /// A request for an endpoint; where a `protocol` is asked for, as an extended CONNECT (RFC 8441).
    ///
    /// # Errors
    /// Where HTTP/2 cannot say it.
    pub fn new(
        request: &'a RequestHead,
        target: &'a Bytes,
        scheme: &'a Scheme,
        hop: &'a Hop,
        edits: &'a [Edit],
        protocol: Option<&'a str>,
    ) -> Result<Self, Unspeakable> {
        let edited = write::added(edits).find(|(name, _)| **name == header::HOST);
        let host = edited.map(|(_, value)| value.as_bytes()).or(request.host.as_deref());
        let host = host.filter(|host| !host.is_empty());
        let is_target = |target: &[u8]| {
            !target.is_empty() && !target.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b'#'))
        };
        if !is_target(target) || !host.is_none_or(is_authority) {
            return Err(Unspeakable);
        }
        Ok(Self { request, target, scheme, host, hop, edits, protocol })
    }

    /// Writes it.
    pub fn write(&self, out: &mut BytesMut) {
        let Self { request, target, scheme, host, hop, edits, protocol } = self;
        let method = if protocol.is_some() { &Method::CONNECT } else { &request.method };
        encode::method(out, method.as_str().as_bytes());
        encode::scheme(out, scheme.as_str().as_bytes());
        encode::path(out, target);
        if let Some(host) = host {
            encode::authority(out, host);
        }
        if let Some(protocol) = protocol {
            encode::protocol(out, protocol.as_bytes());
        }
        // Of a WebSocket's handshake the key is HTTP/1's alone (RFC 8441, section 5).
        let is_key = |name: &[u8]| protocol.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key");
        lines(out, &request.head, hop, edits, |name, kind| kind == Kind::Host || is_key(name));
        for (name, value) in write::added(edits) {
            let name = name.as_str().as_bytes();
            if name != b"host" && !is_key(name) {
                encode::field(out, name, value.as_bytes(), value.is_sensitive());
            }
        }
        if hop.trailers {
            encode::field(out, b"te", b"trailers", false);
        }
    }
}

/// The frames with which stream 1 would have asked the same (RFC 7540, section 3.2); none where it names no host.
#[must_use]
pub fn upgraded(request: &RequestHead, hop: &Hop) -> Option<BytesMut> {
    let host = request.host.as_deref()?;
    let mut output = Output::default();
    output.put_fields(1, flag::END_STREAM, LARGEST, |out| {
        encode::method(out, request.method.as_str().as_bytes());
        encode::scheme(out, b"http");
        encode::path(out, &request.target);
        encode::authority(out, host);
        lines(out, &request.head, hop, &[], |_, kind| kind == Kind::Host);
        if hop.trailers {
            encode::field(out, b"te", b"trailers", false);
        }
    });
    Some(output.bytes())
}

/// Writes an answer for a client.
pub fn response(out: &mut BytesMut, response: &ResponseHead, hop: &Hop, edits: &[Edit]) {
    encode::status(out, response.status);
    // Of these, none has a length (RFC 9110, section 8.6), and some clients refuse it.
    let without_length = matches!(response.status, 100..=199 | 204);
    lines(out, &response.head, hop, edits, |_, kind| without_length && kind == Kind::ContentLength);
    added(out, edits);
}

/// Writes the agreement to another protocol: 200, without the key's echo and a length, which mean nothing here (RFC 8441,
/// section 5, and RFC 9110, section 9.3.6).
pub fn agreement(out: &mut BytesMut, response: &ResponseHead, hop: &Hop, edits: &[Edit]) {
    encode::status(out, 200);
    lines(out, &response.head, hop, edits, |name, kind| {
        kind == Kind::ContentLength || name.eq_ignore_ascii_case(b"sec-websocket-accept")
    });
    added(out, edits);
}

/// Writes an answer of the proxy's own.
pub fn own(out: &mut BytesMut, status: u16, fields: &[(HeaderName, HeaderValue)]) {
    encode::status(out, status);
    for (name, value) in fields {
        encode::field(out, name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive());
    }
}

/// Writes trailers.
pub fn trailers(out: &mut BytesMut, trailers: &HeaderMap) {
    for (name, value) in trailers {
        encode::field(out, name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive());
    }
}

fn added(out: &mut BytesMut, edits: &[Edit]) {
    for (name, value) in write::added(edits) {
        encode::field(out, name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive());
    }
}

fn lines(
    out: &mut BytesMut,
    head: &Head,
    hop: &Hop,
    edits: &[Edit],
    leaves_out: impl Fn(&[u8], Kind) -> bool,
) {
    for (name, value, line) in head.each() {
        let kind = line.kind;
        if !hygiene::is_hop_by_hop(head, name, kind, hop)
            && !leaves_out(name, kind)
            && !write::is_edited(name, edits)
        {
            encode::field(out, name, value, line.never_indexed);
        }
    }
}

/// Whether HTTP/2 takes it for the authority of a request: a host and maybe a port (RFC 3986, section 3.2.2).
fn is_authority(host: &[u8]) -> bool {
    let name =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"-._~!$&'()*+;=:%".contains(byte);
    let name_or_address = match host.strip_prefix(b"[") {
        Some(address) => match address.iter().position(|byte| *byte == b']') {
            Some(end) => address[..end].iter().chain(&address[end + 1..]).all(name),
            None => false,
        },
        None => host.iter().all(name),
    };
    is_host(host) && name_or_address
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
