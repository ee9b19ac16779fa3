//! Reads the fields of HTTP/2 messages (RFC 9113, section 8), strictly.
//!
//! In: a block of compressed fields. Out: the head of a request or of an answer in the one form that the way works on, or
//! trailers; or what is wrong. However wrong the fields are, the block is read to its end, for the table that the next
//! ones refer to grows with it (section 4.3).

use super::hpack::{self, Decoder};
use crate::http::head::{Head, Kind, Line, RequestHead, ResponseHead, is_host};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use std::ops::Range;

/// What a field costs besides its bytes, where the size of all is bounded (RFC 9113, section 6.5.2).
const FIELD: usize = 32;
/// How much larger than its bound a head may be before it is no use to read it to its end.
pub const EXCESS: usize = 128 * 1024;
/// For how much a block is expected to unfold.
const LIKELY: usize = 512;

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no message of HTTP/2: its stream is reset (RFC 9113, section 8.1.1).
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// Its fields are larger than allowed.
    #[error("the head has more bytes than allowed")]
    TooLarge,
    /// It cannot be forwarded; its sender is told so.
    #[error("{0}")]
    Unforwardable(&'static str),
}

/// Why a block cannot be read to its end: nothing that follows on its connection can be read then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be decompressed.
    #[error(transparent)]
    Compression(#[from] hpack::Error),
    /// It unfolds to far more than allowed.
    #[error("the fields have no end")]
    Endless,
}

/// The pseudo-header fields of a message (RFC 9113, section 8.3, and RFC 8441, section 4).
#[derive(Debug, Default)]
struct Pseudo {
    method: Option<Place>,
    scheme: Option<Place>,
    authority: Option<Place>,
    path: Option<Place>,
    protocol: Option<Place>,
    status: Option<Place>,
}

type Place = Range<usize>;

/// The fields of one block.
struct Fields {
    pseudo: Pseudo,
    block: BytesMut,
    lines: Vec<Line>,
    /// The length that the message says to have.
    length: Option<u64>,
    /// All lines of `Cookie` but a single one.
    cookies: Vec<u8>,
    /// How large the fields were, as section 6.5.2 counts.
    size: usize,
    wrong: Option<Refused>,
}

/// A request, and the length of its body where it says so.
pub type Request = (RequestHead, Option<u64>);

/// Reads the head of a request, of at most `most` bytes.
///
/// # Errors
/// Where the block cannot be decompressed: nothing that follows on this connection can be then.
pub fn request(
    decoder: &mut Decoder,
    block: &[u8],
    most: usize,
) -> Result<Result<Request, Refused>, Unreadable> {
    let fields = Fields::read(decoder, block, most, Part::Request)?;
    Ok(fields.and_then(Fields::into_request))
}

/// Reads the head of an answer, of at most `most` bytes.
///
/// # Errors
/// Where the block cannot be decompressed.
pub fn response(
    decoder: &mut Decoder,
    block: &[u8],
    most: usize,
) -> Result<Result<(ResponseHead, Option<u64>), Refused>, Unreadable> {
    let fields = Fields::read(decoder, block, most, Part::Response)?;
    Ok(fields.and_then(Fields::into_response))
}

/// Reads trailers, of at most `most` bytes.
///
/// # Errors
/// Where the block cannot be decompressed.
pub fn trailers(
    decoder: &mut Decoder,
    block: &[u8],
    most: usize,
) -> Result<Result<HeaderMap, Refused>, Unreadable> {
    let fields = Fields::read(decoder, block, most, Part::Trailers)?;
    Ok(fields.and_then(Fields::into_trailers))
}

/// Which part of which message a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Request,
    Response,
    Trailers,
}

// === impl Pseudo ===

impl Pseudo {
    /// Where the value of one belongs; none where there is no such.
    fn place(&mut self, part: Part, name: &[u8]) -> Option<&mut Option<Place>> {
        match (part, name) {
            (Part::Request, b":method") => Some(&mut self.method),
            (Part::Request, b":scheme") => Some(&mut self.scheme),
            (Part::Request, b":authority") => Some(&mut self.authority),
            (Part::Request, b":path") => Some(&mut self.path),
            (Part::Request, b":protocol") => Some(&mut self.protocol),
            (Part::Response, b":status") => Some(&mut self.status),
            (Part::Request | Part::Response | Part::Trailers, _) => None,
        }
    }
}

// === impl Fields ===

impl Fields {
    fn read(
        decoder: &mut Decoder,
        block: &[u8],
        most: usize,
        part: Part,
    ) -> Result<Result<Self, Refused>, Unreadable> {
        let mut read = Self {
            pseudo: Pseudo::default(),
            block: BytesMut::with_capacity(LIKELY.max(block.len())),
            lines: Vec::with_capacity(8),
            length: None,
            cookies: Vec::new(),
            size: 0,
            wrong: None,
        };
        let mut fields = decoder.fields(block);
        while let Some(field) = fields.next(&mut read.block)? {
            let hpack::Decoded { line, fine } = field;
            read.size += (line.end - line.start) as usize + FIELD;
            if read.size > most + EXCESS {
                return Err(Unreadable::Endless);
            }
            if read.wrong.is_none() {
                let taken =
                    if read.size > most { Err(Refused::TooLarge) } else { read.take(line, fine, part) };
                match taken {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(wrong) => read.wrong = Some(wrong),
                }
            }
            read.block.truncate(line.start as usize);
        }
        Ok(match read.wrong {
            Some(wrong) => Err(wrong),
            None => Ok(read.with_cookies()),
        })
    }

    /// Takes one field; false where its line is not kept.
    fn take(&mut self, line: Line, fine: bool, part: Part) -> Result<bool, Refused> {
        let malformed = |what| Err(Refused::Malformed(what));
        let name = &self.block[line.start as usize..line.name_end as usize];
        let value = &self.block[line.value_start as usize..line.value_end as usize];
        if !fine {
            return malformed("a field's name or value has a forbidden character");
        }
        if name.first() == Some(&b':') {
            if !self.lines.is_empty() || !self.cookies.is_empty() {
                return malformed("a pseudo-header field stands behind a field");
            }
            let Some(place) = self.pseudo.place(part, name) else {
                return malformed("a pseudo-header field that does not belong there");
            };
            if place.replace(line.value_start as usize..line.value_end as usize).is_some() {
                return malformed("a pseudo-header field stands there twice");
            }
            return Ok(true);
        }
        match line.kind {
            Kind::Connection
            | Kind::KeepAlive
            | Kind::ProxyConnection
            | Kind::TransferEncoding
            | Kind::Upgrade => return malformed("a field of HTTP/1 connections"), // section 8.2.2
            Kind::Te if value != b"trailers" => return malformed("te is not trailers"),
            Kind::ContentLength if part != Part::Trailers => {
                let Some(length) = number(value).filter(|_| self.length.is_none()) else {
                    return malformed("no single, valid content-length");
                };
                self.length = Some(length);
            }
            Kind::Other if name == b"cookie" && part == Part::Request => {
                if !self.cookies.is_empty() {
                    self.cookies.put_slice(b"; ");
                }
                self.cookies.put_slice(value);
                return Ok(false);
            }
            Kind::ContentLength
            | Kind::Te
            | Kind::Other
            | Kind::Host
            | Kind::Http2Settings
            | Kind::Expect => {}
        }
        self.lines.push(line);
        Ok(true)
    }

    /// Cookies that came in several lines are joined (section 8.2.3).
    fn with_cookies(mut self) -> Self {
        if self.cookies.is_empty() {
            return self;
        }
        self.lines.push(Line::write(&mut self.block, b"cookie", &self.cookies, true));
        self
    }

    fn into_request(self) -> Result<Request, Refused> {
        let Self { pseudo, block, lines, length, cookies: _, size: _, wrong: _ } = self;
        let Pseudo { method, scheme, authority, path, protocol, status: _ } = pseudo;
        let block = block.freeze();
        let missing = |what| Refused::Malformed(what);
        let method = method.ok_or(missing("there is no :method"))?;
        let method = Method::from_bytes(&block[method]).map_err(|_| missing(":method is not a token"))?;
        let is_connect = method == Method::CONNECT;
        // Section 8.5, and RFC 8441, section 4.
        let plain_connect = is_connect && protocol.is_none();
        if protocol.is_some() && !is_connect {
            return Err(missing(":protocol is there and the method is not CONNECT"));
        }
        if scheme.as_ref().is_some_and(|scheme| !is_scheme(&block[scheme.clone()])) {
            return Err(missing(":scheme is none"));
        }
        if plain_connect != scheme.is_none() || plain_connect != path.is_none() {
            return Err(missing(":scheme and :path do not stand where they should"));
        }
        if protocol.is_some() && length.is_some() {
            return Err(missing("a CONNECT has a length")); // it has no body (RFC 9110, section 9.3.6)
        }
        let target = path.map(|path| target(&block.slice(path), &method)).transpose()?.unwrap_or_default();
        let authority = authority.map(|authority| block.slice(authority));
        let protocol = protocol.map(|protocol| block.slice(protocol));
        let head = Head::new(block, lines);
        let host = host(&head, authority)?;
        let (size, version) = (head.size(), Version::HTTP_2);
        Ok((RequestHead { method, target, version, host, protocol, size, head }, length))
    }

    fn into_response(self) -> Result<(ResponseHead, Option<u64>), Refused> {
        let Self { pseudo, block, lines, length, cookies: _, size: _, wrong: _ } = self;
        let status = pseudo.status.ok_or(Refused::Malformed("there is no :status"))?;
        let status = match block[status] {
            [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                u16::from(hundreds - b'0') * 100 + u16::from(tens - b'0') * 10 + u16::from(ones - b'0')
            }
            _ => return Err(Refused::Malformed("the status is not between 100 and 599")),
        };
        if status == 101 {
            return Err(Refused::Malformed("HTTP/2 has no 101")); // section 8.6
        }
        let (head, version) = (Head::new(block.freeze(), lines), Version::HTTP_2);
        Ok((ResponseHead { status, reason: Bytes::new(), version, head }, length))
    }

    fn into_trailers(self) -> Result<HeaderMap, Refused> {
        let Self { pseudo: _, block, lines, length: _, cookies: _, size: _, wrong: _ } = self;
        let head = Head::new(block.freeze(), lines);
        let mut trailers = HeaderMap::with_capacity(head.count());
        for (name, value, _) in head.fields() {
            let wrong = Refused::Malformed("a trailer cannot be forwarded");
            let name = HeaderName::from_bytes(name).map_err(|_| wrong)?;
            trailers.append(name, HeaderValue::from_bytes(value).map_err(|_| wrong)?);
        }
        Ok(trailers)
    }
}

/// A target as an endpoint wants it: path and query, or `*`.
fn target(path: &Bytes, method: &Method) -> Result<Bytes, Refused> {
    if path.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b'#')) {
        return Err(Refused::Malformed(":path has a forbidden character"));
    }
    match path.first() {
        Some(b'/') => Ok(path.clone()),
        Some(b'*') if path.len() == 1 && *method == Method::OPTIONS => Ok(path.clone()),
        Some(b'*') if path.len() == 1 => Err(Refused::Unforwardable("only OPTIONS may ask for *")),
        Some(_) | None => Err(Refused::Malformed(":path is not a path")),
    }
}

/// The one host of a request.
fn host(head: &Head, authority: Option<Bytes>) -> Result<Option<Bytes>, Refused> {
    let mut named = head.of_kind(Kind::Host);
    let host = match (authority, named.next(), named.next()) {
        (authority, None, None) => authority,
        (Some(authority), Some(host), None) if authority.eq_ignore_ascii_case(host) => Some(authority),
        (None, Some(host), None) => Some(head.share(host)),
        (_, _, _) => return Err(Refused::Unforwardable("Host and :authority differ")),
    };
    match &host {
        Some(host) if !is_host(host) => Err(Refused::Unforwardable("Host or :authority is not a host")),
        Some(_) | None => Ok(host),
    }
}

/// Whether it is a scheme (RFC 3986, section 3.1).
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// A length, which is digits alone.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
