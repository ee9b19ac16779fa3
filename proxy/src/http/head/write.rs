//! Writes heads as HTTP/1.
//!
//! In: a head, the changes that the way asks for, and what the connection's own fields shall say. Out: bytes. Lines that
//! nobody changes are copied as they came, in runs, so that their spelling and order stay.

use super::{Head, Kind, RequestHead, ResponseHead, hygiene, hygiene::Hop, is_named};
use crate::middleware::{Edit, begins};
use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue, Method, StatusCode};

/// What the connection's own fields of a head that is written say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// The connection ends after this message.
    pub close: bool,
    /// The connection stays, which must be said to an HTTP/1.0 client.
    pub keep_alive: bool,
    /// The body comes in chunks.
    pub chunked: bool,
    /// A length that the head itself does not have.
    pub length: Option<u64>,
    /// The fields of `Content-Length` go: they do not say what is sent.
    pub without_length: bool,
    /// Trailers are taken.
    pub trailers: bool,
    /// The protocol wanted or agreed on.
    pub upgrade: Option<&'a [u8]>,
}

/// Writes the head of a request.
pub fn request(
    out: &mut BytesMut,
    request: &RequestHead,
    target: &[u8],
    hop: &Hop,
    edits: &[Edit],
    own: Own<'_>,
) {
    let method = if request.protocol.is_some() { Method::GET.as_str() } else { request.method.as_str() };
    out.reserve(request.head.block.len() + 256);
    out.put_slice(method.as_bytes());
    out.put_u8(b' ');
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
    // An authority that came in the request line, or as HTTP/2's pseudo-header, is the Host.
    let own_host = request.head.of_kind(Kind::Host).next();
    let replaced = request.host.as_deref().filter(|host| own_host != Some(*host));
    if let Some(host) = replaced.filter(|_| !is_edited(b"host", edits)) {
        line(out, b"Host", host);
    }
    lines(out, &request.head, hop, edits, own, replaced.is_some());
}

/// Writes the head of an answer.
pub fn response(out: &mut BytesMut, response: &ResponseHead, hop: &Hop, edits: &[Edit], own: Own<'_>) {
    out.reserve(response.head.block.len() + 256);
    status_line(out, response.status, &response.reason);
    lines(out, &response.head, hop, edits, own, false);
}

/// Writes an interim answer (1xx), which has no body.
pub fn informational(out: &mut BytesMut, response: &ResponseHead, hop: &Hop) {
    status_line(out, response.status, &response.reason);
    let own = Own { without_length: true, ..Own::default() };
    lines(out, &response.head, hop, &[], own, false);
}

fn status_line(out: &mut BytesMut, status: u16, reason: &[u8]) {
    if status == 200 && (reason.is_empty() || reason == b"OK") {
        out.put_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.put_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.put_u8(b' ');
    if reason.is_empty() {
        let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        out.put_slice(known.unwrap_or_default().as_bytes());
    } else {
        out.put_slice(reason);
    }
    out.put_slice(b"\r\n");
}

fn lines(out: &mut BytesMut, head: &Head, hop: &Hop, edits: &[Edit], own: Own<'_>, without_host: bool) {
    // Lines that stay and lie side by side are copied in one piece.
    let mut run: Option<(usize, usize)> = None;
    for each in &head.lines {
        let name = head.name(each);
        let stays = match each.kind {
            Kind::Other => !is_edited(name, edits),
            Kind::Host => !without_host && !is_edited(name, edits),
            Kind::ContentLength => !own.without_length && own.length.is_none() && !own.chunked,
            _ => true,
        } && !hygiene::is_hop_by_hop(head, name, each.kind, hop);
        let (start, end) = (each.start as usize, each.end as usize);
        run = match (run, stays) {
            (Some((from, to)), true) if to == start => Some((from, end)),
            (before, stays) => {
                copy(out, head, before);
                stays.then_some((start, end))
            }
        };
    }
    copy(out, head, run);
    for (name, value) in added(edits) {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    own_lines(out, own);
    out.put_slice(b"\r\n");
}

fn copy(out: &mut BytesMut, head: &Head, run: Option<(usize, usize)>) {
    if let Some((start, end)) = run {
        out.put_slice(&head.block[start..end]);
    }
}

fn own_lines(out: &mut BytesMut, own: Own<'_>) {
    let Own { close, keep_alive, chunked, length, without_length: _, trailers, upgrade } = own;
    if let Some(length) = length {
        out.put_slice(b"Content-Length: ");
        decimal(out, length);
        out.put_slice(b"\r\n");
    }
    if chunked {
        out.put_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if trailers {
        out.put_slice(b"TE: trailers\r\n");
    }
    if let Some(protocol) = upgrade {
        line(out, b"Upgrade", protocol);
    }
    match (upgrade.is_some(), close, trailers, keep_alive) {
        (true, ..) => out.put_slice(b"Connection: Upgrade\r\n"),
        (false, true, true, _) => out.put_slice(b"Connection: close, TE\r\n"),
        (false, true, false, _) => out.put_slice(b"Connection: close\r\n"),
        (false, false, true, _) => out.put_slice(b"Connection: TE\r\n"),
        (false, false, false, true) => out.put_slice(b"Connection: keep-alive\r\n"),
        (false, false, false, false) => {}
    }
}

/// The fields that the edits add, in order, without those that a later edit takes away again.
pub fn added(edits: &[Edit]) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    edits.iter().enumerate().filter_map(|(index, edit)| match edit {
        Edit::Set(name, value) | Edit::Add(name, value) => {
            (!is_edited(name.as_str().as_bytes(), &edits[index + 1..])).then_some((name, value))
        }
        Edit::Remove(_) | Edit::RemovePrefix(_) => None,
    })
}

/// Whether an edit takes a field away, or puts another in its place.
pub fn is_edited(name: &[u8], edits: &[Edit]) -> bool {
    edits.iter().any(|edit| match edit {
        Edit::Set(other, _) | Edit::Remove(other) => is_named(name, other.as_str()),
        Edit::RemovePrefix(prefix) => begins(name, prefix),
        Edit::Add(..) => false,
    })
}

/// Writes one line.
pub fn line(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Writes a number.
pub fn decimal(out: &mut BytesMut, number: u64) {
    let mut digits = [0; 20];
    let mut place = digits.len();
    let mut rest = number;
    loop {
        place -= 1;
        digits[place] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[place..]);
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
