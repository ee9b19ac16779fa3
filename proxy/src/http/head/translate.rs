//! Translates heads between HTTP/2 and the one form that the way works on.
//!
//! In: headers of HTTP/2, or a head with the changes that the way asks for. Out: the other. What HTTP/2 forbids (fields
//! of the connection) is refused or left out; cookies that came in several lines are joined (RFC 9113, section 8.2.3).

use super::{Head, Kind, Line, RequestHead, ResponseHead, hygiene, hygiene::Hop, is_host, write};
use crate::middleware::Edit;
use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

/// What an HTTP/2 message says that cannot be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field that belongs to a connection of HTTP/1 (RFC 9113, section 8.2.2).
    #[error("an HTTP/2 message has a field of HTTP/1 connections")]
    ConnectionField,
    /// `Host` and `:authority` differ, or are no host.
    #[error("Host and :authority differ, or are not a host")]
    Host,
    /// The target, or a field, cannot be written in the other version.
    #[error("the request's target is not one that can be forwarded")]
    Target,
    /// The length is not one number.
    #[error("the message has no single, valid Content-Length")]
    Length,
}

/// The head of a request that came by HTTP/2.
///
/// # Errors
/// Where it cannot be forwarded.
pub fn request(parts: &Parts) -> Result<RequestHead, Error> {
    let target = match (parts.uri.path_and_query(), &parts.method) {
        (Some(target), _) if target.as_str().starts_with('/') => target.as_str(),
        (Some(target), &Method::OPTIONS) if target.as_str() == "*" => "*",
        (_, &Method::CONNECT) => "",
        _ => return Err(Error::Target),
    };
    let authority = parts.uri.authority().map(Authority::as_str);
    let ([target, authority], head) = head([target, authority.unwrap_or_default()], &parts.headers)?;
    let authority = parts.uri.authority().map(|_| authority);
    let mut named = head.of_kind(Kind::Host);
    let host = match (authority, named.next(), named.next()) {
        (Some(authority), None, None) => Some(authority),
        (Some(authority), Some(host), None) if authority.eq_ignore_ascii_case(host) => Some(authority),
        (None, None, None) => None,
        (None, Some(host), None) => Some(head.share(host)),
        (_, _, _) => return Err(Error::Host),
    };
    drop(named);
    if host.as_ref().is_some_and(|host| !is_host(host)) {
        return Err(Error::Host);
    }
    let protocol = parts.extensions.get::<h2::ext::Protocol>();
    let protocol = protocol.map(|protocol| Bytes::copy_from_slice(protocol.as_str().as_bytes()));
    let size = head.block.len() + target.len();
    let (method, version) = (parts.method.clone(), Version::HTTP_2);
    Ok(RequestHead { method, target, version, host, protocol, size, head })
}

/// The head of an answer that came by HTTP/2.
///
/// # Errors
/// Where it cannot be forwarded.
pub fn response(response: &Response<()>) -> Result<ResponseHead, Error> {
    let ([], head) = head([], response.headers())?;
    Ok(ResponseHead {
        status: response.status().as_u16(),
        reason: Bytes::new(),
        version: Version::HTTP_2,
        head,
    })
}

/// The length that a message that came by HTTP/2 says it has.
///
/// # Errors
/// Where it is not one number.
pub fn length(head: &Head) -> Result<Option<u64>, Error> {
    let mut lengths = head.of_kind(Kind::ContentLength);
    let Some(length) = lengths.next() else { return Ok(None) };
    let text = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (text.and_then(|text| text.parse().ok()), lengths.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(Error::Length),
    }
}

/// The lines of HTTP/2 headers; and what belongs to them, which shares their memory.
fn head<const COUNT: usize>(
    before: [&str; COUNT],
    headers: &HeaderMap,
) -> Result<([Bytes; COUNT], Head), Error> {
    let size = before.iter().map(|text| text.len()).sum::<usize>()
        + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    let mut block = BytesMut::with_capacity(size);
    before.iter().for_each(|text| block.put_slice(text.as_bytes()));
    let begin = block.len();
    let mut lines = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let kind = Kind::of(name.as_str().as_bytes());
        match kind {
            Kind::Connection
            | Kind::KeepAlive
            | Kind::ProxyConnection
            | Kind::TransferEncoding
            | Kind::Upgrade => {
                return Err(Error::ConnectionField);
            }
            Kind::Te if value != "trailers" => return Err(Error::ConnectionField),
            _ if *name == header::COOKIE => {}
            _ => push(&mut block, begin, &mut lines, name, value.as_bytes(), kind),
        }
    }
    let mut cookies = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    if let Some(first) = cookies.next() {
        let joined = cookies.fold(first.to_vec(), |mut joined, cookie| {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(cookie);
            joined
        });
        push(&mut block, begin, &mut lines, &header::COOKIE, &joined, Kind::Other);
    }
    let mut block = block.freeze();
    let before = before.map(|text| block.split_to(text.len()));
    Ok((before, Head { block, lines }))
}

/// Writes a line, whose places count from `begin`.
fn push(
    block: &mut BytesMut,
    begin: usize,
    lines: &mut Vec<Line>,
    name: &HeaderName,
    value: &[u8],
    kind: Kind,
) {
    let place = |block: &BytesMut| u32::try_from(block.len() - begin).unwrap_or(u32::MAX);
    let start = place(block);
    block.put_slice(name.as_str().as_bytes());
    let name_end = place(block);
    block.put_slice(b": ");
    let value_start = place(block);
    block.put_slice(value);
    let value_end = place(block);
    block.put_slice(b"\r\n");
    lines.push(Line { start, end: place(block), name_end, value_start, value_end, kind });
}

/// A request for an endpoint that speaks HTTP/2.
///
/// # Errors
/// Where HTTP/2 cannot say it.
pub fn to_request(
    request: &RequestHead,
    target: Bytes,
    scheme: Scheme,
    hop: &Hop,
    edits: &[Edit],
) -> Result<Request<()>, Error> {
    let edited_host = write::added(edits)
        .find(|(name, _)| **name == header::HOST)
        .map(|(_, value)| Bytes::copy_from_slice(value.as_bytes()));
    let mut uri = Uri::builder().scheme(scheme);
    if let Some(host) = edited_host.or_else(|| request.host.clone()) {
        uri = uri.authority(Authority::from_maybe_shared(host).map_err(|_| Error::Target)?);
    }
    let path = PathAndQuery::from_maybe_shared(target).map_err(|_| Error::Target)?;
    let uri = uri.path_and_query(path).build().map_err(|_| Error::Target)?;
    let mut translated = Request::new(());
    *translated.method_mut() = request.method.clone();
    *translated.uri_mut() = uri;
    *translated.version_mut() = Version::HTTP_2;
    let headers = translated.headers_mut();
    fill(headers, &request.head, hop, edits);
    headers.remove(header::HOST); // it is the authority
    if hop.trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(translated)
}

/// An answer for a client that speaks HTTP/2.
#[must_use]
pub fn to_response(response: &ResponseHead, hop: &Hop, edits: &[Edit]) -> Response<()> {
    let mut translated = Response::new(());
    *translated.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *translated.version_mut() = Version::HTTP_2;
    fill(translated.headers_mut(), &response.head, hop, edits);
    translated
}

fn fill(headers: &mut HeaderMap, head: &Head, hop: &Hop, edits: &[Edit]) {
    headers.reserve(head.count() + edits.len());
    for (name, value, kind) in head.fields() {
        if hygiene::is_hop_by_hop(head, name, kind, hop) || write::is_edited(name, edits) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    for (name, value) in write::added(edits) {
        headers.append(name.clone(), value.clone());
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
