//! Tells how long the body of an HTTP/1 message is (RFC 9112, section 6.3).
//!
//! In: a head. Out: its framing, or what is wrong: whatever two programs could read differently is refused.

use super::{Head, Kind, RequestHead, ResponseHead};
use http::{Method, Version};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// It has this many bytes.
    Length(u64),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection; answers only.
    UntilClose,
}

/// Why a message has no framing that everybody reads alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Both ways to say a length, which is how requests are smuggled.
    #[error("the message has both Transfer-Encoding and Content-Length")]
    Both,
    /// The length is not one number.
    #[error("the message has no single, valid Content-Length")]
    Length,
    /// A coding other than `chunked`, or `chunked` not alone.
    #[error("the Transfer-Encoding is not chunked alone")]
    Coding,
    /// Chunks in HTTP/1.0, which has none.
    #[error("an HTTP/1.0 message has no Transfer-Encoding")]
    Version,
}

/// The framing of a request's body.
///
/// # Errors
/// Where it is not certain.
pub fn request(request: &RequestHead) -> Result<Framing, Error> {
    Ok(said(&request.head, request.version)?.unwrap_or(Framing::Empty))
}

/// The framing of an answer's body, to a request of this method.
///
/// # Errors
/// Where it is not certain.
pub fn response(response: &ResponseHead, method: &Method) -> Result<Framing, Error> {
    let said = said(&response.head, response.version)?;
    let none = *method == Method::HEAD || matches!(response.status, 100..=199 | 204 | 304);
    Ok(if none { Framing::Empty } else { said.unwrap_or(Framing::UntilClose) })
}

/// What the head itself says.
fn said(head: &Head, version: Version) -> Result<Option<Framing>, Error> {
    let mut codings = head.of_kind(Kind::TransferEncoding);
    let mut lengths = head.of_kind(Kind::ContentLength);
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::Both),
        (Some(_), None) if version == Version::HTTP_10 => Err(Error::Version),
        (Some(coding), None) => {
            let alone = codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked");
            if alone { Ok(Some(Framing::Chunked)) } else { Err(Error::Coding) }
        }
        (None, Some(length)) if lengths.next().is_none() => number(length).map(Some),
        (None, Some(_)) => Err(Error::Length),
    }
}

/// Digits alone: no sign, no list, no space.
fn number(text: &[u8]) -> Result<Framing, Error> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return Err(Error::Length);
    }
    let number = text.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(Framing::Length(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::parse::{self, Bounds};
    use bytes::BytesMut;

    const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 64 };

    fn of_request(version: &str, lines: &str) -> Result<Framing, Error> {
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        request(&parse::request(&mut BytesMut::from(head.as_str()), BOUNDS).unwrap().unwrap())
    }

    fn of_response(method: &Method, status: &str, lines: &str) -> Result<Framing, Error> {
        let head = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
        response(&parse::response(&mut BytesMut::from(head.as_str()), BOUNDS).unwrap().unwrap(), method)
    }

    #[test]
    fn a_request_has_a_body_only_where_it_says_so() {
        let cases = [
            ("", Ok(Framing::Empty)),
            ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("content-length: 42\r\n", Ok(Framing::Length(42))),
            ("Content-Length: 9999999999999999999\r\n", Ok(Framing::Length(9_999_999_999_999_999_999))),
            ("Content-Length: 10000000000000000000\r\n", Err(Error::Length)),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", Err(Error::Length)),
            ("Content-Length: 1, 1\r\n", Err(Error::Length)),
            ("Content-Length: +1\r\n", Err(Error::Length)),
            ("Content-Length: 1 1\r\n", Err(Error::Length)),
            ("Content-Length:\r\n", Err(Error::Length)),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Error::Coding)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Error::Coding)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Err(Error::Both)),
            ("Content-Length: x\r\nTransfer-Encoding: y\r\n", Err(Error::Both)),
        ];
        for (lines, expected) in cases {
            assert_eq!(of_request("1.1", lines), expected, "{lines}");
        }
        assert_eq!(of_request("1.0", "Transfer-Encoding: chunked\r\n"), Err(Error::Version));
        assert_eq!(of_request("1.0", "Content-Length: 1\r\n"), Ok(Framing::Length(1)));
    }

    #[test]
    fn an_answer_ends_by_its_status_its_request_or_its_head() {
        let get = Method::GET;
        assert_eq!(of_response(&get, "200 OK", ""), Ok(Framing::UntilClose));
        assert_eq!(of_response(&get, "200 OK", "Content-Length: 3\r\n"), Ok(Framing::Length(3)));
        assert_eq!(of_response(&get, "200 OK", "Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
        for status in ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"] {
            for lines in ["", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
                assert_eq!(of_response(&get, status, lines), Ok(Framing::Empty), "{status} {lines}");
            }
        }
        assert_eq!(of_response(&Method::HEAD, "200 OK", "Content-Length: 3\r\n"), Ok(Framing::Empty));
        assert_eq!(of_response(&Method::HEAD, "200 OK", ""), Ok(Framing::Empty));
        let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(
            of_response(&Method::HEAD, "200 OK", both),
            Err(Error::Both),
            "whatever it is an answer to"
        );
    }
}
