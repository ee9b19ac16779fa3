//! Translates heads between HTTP/2 and the one form that the way works on.
//!
//! In: headers of HTTP/2, or a head with the changes that the way asks for. Out: the other. What HTTP/2 forbids (fields
//! of the connection) is refused or left out; cookies that came in several lines are joined (RFC 9113, section 8.2.3).
//! Headers that came by HTTP/2 and go on by it are not written out in between.

use super::{Head, Kind, RequestHead, ResponseHead, hygiene, hygiene::Hop, is_host, write};
use crate::middleware::Edit;
use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request,
    response,
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
pub fn request(parts: request::Parts) -> Result<RequestHead, Error> {
    let request::Parts { method, uri, headers, extensions, .. } = parts;
    let target = match (uri.path_and_query(), &method) {
        (Some(target), _) if target.as_str().starts_with('/') => target.as_str(),
        (Some(target), &Method::OPTIONS) if target.as_str() == "*" => "*",
        (_, &Method::CONNECT) => "",
        _ => return Err(Error::Target),
    };
    let authority = uri.authority().map(Authority::as_str);
    let mut both = BytesMut::with_capacity(target.len() + authority.map_or(0, str::len));
    both.put_slice(target.as_bytes());
    both.put_slice(authority.unwrap_or_default().as_bytes());
    let mut both = both.freeze();
    let target = both.split_to(target.len());
    let authority = authority.map(|_| both);
    let head = head(headers)?;
    let mut named = head.of_kind(Kind::Host);
    let host = match (authority, named.next(), named.next()) {
        (Some(authority), None, None) => Some(authority),
        (Some(authority), Some(host), None) if authority.eq_ignore_ascii_case(host) => Some(authority),
        (None, None, None) => None,
        (None, Some(host), None) => Some(Bytes::copy_from_slice(host)),
        (_, _, _) => return Err(Error::Host),
    };
    drop(named);
    if host.as_ref().is_some_and(|host| !is_host(host)) {
        return Err(Error::Host);
    }
    let protocol = extensions.get::<h2::ext::Protocol>();
    let protocol = protocol.map(|protocol| Bytes::copy_from_slice(protocol.as_str().as_bytes()));
    let size = head.size() + target.len();
    Ok(RequestHead { method, target, version: Version::HTTP_2, host, protocol, size, head })
}

/// The head of an answer that came by HTTP/2.
///
/// # Errors
/// Where it cannot be forwarded.
pub fn response(parts: response::Parts) -> Result<ResponseHead, Error> {
    let response::Parts { status, headers, .. } = parts;
    let (status, reason, version) = (status.as_u16(), Bytes::new(), Version::HTTP_2);
    Ok(ResponseHead { status, reason, version, head: head(headers)? })
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

/// Headers that may be forwarded.
fn head(mut headers: HeaderMap) -> Result<Head, Error> {
    for (name, value) in &headers {
        match Kind::of(name.as_str().as_bytes()) {
            Kind::Connection
            | Kind::KeepAlive
            | Kind::ProxyConnection
            | Kind::TransferEncoding
            | Kind::Upgrade => return Err(Error::ConnectionField),
            Kind::Te if value != "trailers" => return Err(Error::ConnectionField),
            Kind::Te
            | Kind::Other
            | Kind::Host
            | Kind::ContentLength
            | Kind::Http2Settings
            | Kind::Expect => {}
        }
    }
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::try_from(cookies.join(&b"; "[..])).map_err(|_| Error::Target)?;
        headers.insert(header::COOKIE, joined);
    }
    Ok(Head::Map(Box::new(headers)))
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
    *headers = copied(&request.head, hop, edits);
    headers.remove(header::HOST); // it is the authority
    if hop.trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(translated)
}

/// An answer for a client that speaks HTTP/2.
#[must_use]
pub fn to_response(response: ResponseHead, hop: &Hop, edits: &[Edit]) -> Response<()> {
    let ResponseHead { status, reason: _, version: _, head } = response;
    let mut translated = Response::new(());
    *translated.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *translated.version_mut() = Version::HTTP_2;
    *translated.headers_mut() = match head {
        Head::Map(map) => changed(*map, edits),
        Head::Lines(_) => copied(&head, hop, edits),
    };
    translated
}

/// The headers of HTTP/2 that say what a head says, with the changes.
fn copied(head: &Head, hop: &Hop, edits: &[Edit]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(head.count() + edits.len());
    let left_out =
        |name: &[u8], kind| hygiene::is_hop_by_hop(head, name, kind, hop) || write::is_edited(name, edits);
    match head {
        Head::Map(map) => {
            for (name, value) in &**map {
                let bytes = name.as_str().as_bytes();
                if !left_out(bytes, Kind::of(bytes)) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        Head::Lines(lines) => {
            for (name, value, kind) in lines.all() {
                if !left_out(name, kind)
                    && let (Ok(name), Ok(value)) =
                        (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
                {
                    headers.append(name, value);
                }
            }
        }
    }
    add(&mut headers, edits);
    headers
}

/// The same headers with the changes.
fn changed(mut headers: HeaderMap, edits: &[Edit]) -> HeaderMap {
    let goes = |name: &&HeaderName| {
        let bytes = name.as_str().as_bytes();
        Kind::of(bytes).is_of_connection() || write::is_edited(bytes, edits)
    };
    let gone: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    add(&mut headers, edits);
    headers
}

fn add(headers: &mut HeaderMap, edits: &[Edit]) {
    for (name, value) in write::added(edits) {
        headers.append(name.clone(), value.clone());
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
