//! Parses the heads of HTTP/1 (RFC 9112), strictly: what two programs could read differently is refused, for that is
//! what request smuggling is made of.
//!
//! In: bytes that begin with a head, and how large it may be. Out: the head and its size, or that more is needed, or
//! what is wrong with it.

use super::{Head, Kind, Line, RequestHead, ResponseHead, is_host};
use bytes::{Bytes, BytesMut};
use http::{Method, Version};
use httparse::{Header, Status};
use memchr::{memchr, memchr_iter};
use std::mem::MaybeUninit;

/// How many fields are parsed without allocating.
const FEW: usize = 48;

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not HTTP/1.
    #[error("the head is not HTTP/1.1: {0}")]
    Syntax(&'static str),
    /// A version that is not HTTP/1.0 or 1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// More fields or bytes than allowed.
    #[error("the head has more fields or bytes than allowed")]
    TooLarge,
}

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In bytes.
    pub bytes: usize,
    /// In fields.
    pub fields: usize,
}

/// What a head says, in numbers: places in the bytes that were scanned.
struct Scanned<First> {
    first: First,
    version: Version,
    lines: Vec<Line>,
    size: usize,
}

type Place = (u32, u32);

/// Takes the head of a request off the front of `buffer`; none where it is not complete.
///
/// # Errors
/// Where no further byte could make it a head.
pub fn request(buffer: &mut BytesMut, bounds: Bounds) -> Result<Option<RequestHead>, Error> {
    let mut few = [const { MaybeUninit::uninit() }; FEW];
    let scanned = match scan_request(buffer, bounds, &mut few) {
        Err(Error::TooLarge) if bounds.fields > FEW => {
            scan_request(buffer, bounds, &mut vec![MaybeUninit::uninit(); bounds.fields])
        }
        scanned => scanned,
    };
    let Some(Scanned { first: (method, target), version, lines, size }) = scanned? else { return Ok(None) };
    let block = buffer.split_to(size).freeze();
    let (target, authority) = origin_form(block.slice(target.0 as usize..target.1 as usize), &method)?;
    let head = Head { block, lines };
    // More than one Host is refused also where a URL makes it meaningless.
    let named = host(&head)?;
    let host = authority.or(named); // RFC 9112, 3.2.2: the URL's wins
    Ok(Some(RequestHead { method, target, version, host, protocol: None, size, head }))
}

fn scan_request<'a>(
    bytes: &'a [u8],
    bounds: Bounds,
    storage: &mut [MaybeUninit<Header<'a>>],
) -> Result<Option<Scanned<(Method, Place)>>, Error> {
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(bytes, storage);
    let Some(size) = complete(outcome, bytes, bounds)? else { return Ok(None) };
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_| Error::Syntax("the method is not a token"))?;
    let target = place(bytes, parsed.path.unwrap_or_default().as_bytes());
    ends_are_whole(&bytes[..size])?;
    let lines = lines(bytes, size, parsed.headers)?;
    Ok(Some(Scanned { first: (method, target), version: version(parsed.version)?, lines, size }))
}

/// Takes the head of an answer off the front of `buffer`; none where it is not complete.
///
/// # Errors
/// Where no further byte could make it a head.
pub fn response(buffer: &mut BytesMut, bounds: Bounds) -> Result<Option<ResponseHead>, Error> {
    let mut few = [const { MaybeUninit::uninit() }; FEW];
    let scanned = match scan_response(buffer, bounds, &mut few) {
        Err(Error::TooLarge) if bounds.fields > FEW => {
            scan_response(buffer, bounds, &mut vec![MaybeUninit::uninit(); bounds.fields])
        }
        scanned => scanned,
    };
    let Some(Scanned { first: (status, reason), version, lines, size }) = scanned? else { return Ok(None) };
    let block = buffer.split_to(size).freeze();
    let reason = block.slice(reason.0 as usize..reason.1 as usize);
    Ok(Some(ResponseHead { status, reason, version, head: Head { block, lines } }))
}

fn scan_response<'a>(
    bytes: &'a [u8],
    bounds: Bounds,
    storage: &mut [MaybeUninit<Header<'a>>],
) -> Result<Option<Scanned<(u16, Place)>>, Error> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, bytes, storage);
    let Some(size) = complete(outcome, bytes, bounds)? else { return Ok(None) };
    let status = parsed.code.unwrap_or_default();
    if !(100..=599).contains(&status) {
        return Err(Error::Syntax("the status is not between 100 and 599"));
    }
    let reason = place(bytes, parsed.reason.unwrap_or_default().as_bytes());
    ends_are_whole(&bytes[..size])?;
    let lines = lines(bytes, size, parsed.headers)?;
    Ok(Some(Scanned { first: (status, reason), version: version(parsed.version)?, lines, size }))
}

/// The size of the head, none where it is not complete.
fn complete(parsed: httparse::Result<usize>, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, Error> {
    match parsed {
        Ok(Status::Complete(size)) if size <= bounds.bytes => Ok(Some(size)),
        Ok(Status::Partial) if bytes.len() < bounds.bytes => Ok(None),
        Ok(Status::Complete(_) | Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Err(Error::TooLarge)
        }
        Err(httparse::Error::HeaderName) => Err(Error::Syntax("a field's name is not a token")),
        Err(httparse::Error::HeaderValue) => Err(Error::Syntax("a field's value has a forbidden character")),
        Err(httparse::Error::NewLine) => Err(Error::Syntax("a line does not end as it should")),
        Err(httparse::Error::Status) => Err(Error::Syntax("the status is not a number of three digits")),
        Err(httparse::Error::Token) => Err(Error::Syntax("the first line has a forbidden character")),
        Err(httparse::Error::Version) if names_a_version(bytes) => Err(Error::Version),
        Err(httparse::Error::Version) => Err(Error::Syntax("the first line is not three words")),
    }
}

/// Whether the first line has the form of one, with a version that is not ours: anything else is no HTTP at all.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start();
    let line = line[..memchr(b'\n', line).unwrap_or(line.len())].trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    let is_version = |word: &[u8]| word.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"));
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(first), _, _, _) if is_version(first) => true, // an answer's
        (Some(_), Some(_), Some(last), None) => is_version(last),
        _ => false,
    }
}

fn version(minor: Option<u8>) -> Result<Version, Error> {
    match minor {
        Some(0) => Ok(Version::HTTP_10),
        Some(1) => Ok(Version::HTTP_11),
        _ => Err(Error::Version),
    }
}

/// Where a part of `bytes` is in them.
fn place(bytes: &[u8], part: &[u8]) -> Place {
    if part.is_empty() {
        return (0, 0);
    }
    let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
    (number(start), number(start + part.len()))
}

/// A head is bounded far below this.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn lines(bytes: &[u8], size: usize, headers: &[Header<'_>]) -> Result<Vec<Line>, Error> {
    let mut lines: Vec<Line> = Vec::with_capacity(headers.len());
    for header in headers {
        let (start, name_end) = place(bytes, header.name.as_bytes());
        let (value_start, value_end) = match header.value {
            [] => (name_end, name_end),
            value => place(bytes, value),
        };
        if let Some(before) = lines.last_mut() {
            before.end = start;
        }
        let kind = Kind::of(header.name.as_bytes());
        lines.push(Line { start, end: 0, name_end, value_start, value_end, kind, never_indexed: false });
    }
    if let Some(last) = lines.last_mut() {
        last.end = number(size.saturating_sub(2)); // the empty line
    }
    // A line that reaches further than one line was folded (RFC 9112, 5.2), which some read and others do not.
    let folded =
        |line: &Line| memchr_iter(b'\n', &bytes[line.start as usize..line.end as usize]).count() != 1;
    if lines.iter().any(folded) {
        return Err(Error::Syntax("a field is folded over several lines"));
    }
    Ok(lines)
}

/// A line feed alone ends a line for some and not for others (RFC 9112, 2.2), and so does a carriage return alone.
fn ends_are_whole(head: &[u8]) -> Result<(), Error> {
    let whole = |feed: usize| feed > 0 && head[feed - 1] == b'\r';
    let mut feeds = 0;
    for feed in memchr_iter(b'\n', head) {
        if !whole(feed) {
            return Err(Error::Syntax("a line ends with a line feed alone"));
        }
        feeds += 1;
    }
    if memchr_iter(b'\r', head).count() != feeds {
        return Err(Error::Syntax("a carriage return stands alone"));
    }
    Ok(())
}

/// The one Host of a request.
fn host(head: &Head) -> Result<Option<Bytes>, Error> {
    let mut hosts = head.of_kind(Kind::Host);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Error::Syntax("there is more than one Host"));
    }
    let Some(host) = host else { return Ok(None) };
    if !is_host(host) {
        return Err(Error::Syntax("the Host is not a host"));
    }
    Ok(Some(head.share(host)))
}

/// A target as an endpoint wants it: path and query, or `*`; with the authority where the client sent a whole URL.
fn origin_form(target: Bytes, method: &Method) -> Result<(Bytes, Option<Bytes>), Error> {
    if target.first() == Some(&b'/') || *method == Method::CONNECT {
        return if target.contains(&b'#') {
            Err(Error::Syntax("the target has a fragment"))
        } else {
            Ok((target, None))
        };
    }
    if &target[..] == b"*" {
        return if *method == Method::OPTIONS {
            Ok((target, None))
        } else {
            Err(Error::Syntax("only OPTIONS may ask for *"))
        };
    }
    let prefix = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|prefix| target.len() > prefix.len() && target[..prefix.len()].eq_ignore_ascii_case(prefix));
    let Some(prefix) = prefix else { return Err(Error::Syntax("the target is neither a path nor a URL")) };
    let rest = target.slice(prefix.len()..);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.slice(..end);
    if authority.is_empty() || !is_host(&authority) || rest[end..].contains(&b'#') {
        return Err(Error::Syntax("the target's URL is not one that can be forwarded"));
    }
    let path = match rest.get(end) {
        None => Bytes::from_static(b"/"),
        Some(b'/') => rest.slice(end..),
        Some(_) => [b"/", &rest[end..]].concat().into(), // a query without a path
    };
    Ok((path, Some(authority)))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
