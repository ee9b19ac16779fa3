//! Reads bodies in chunks (RFC 9112, section 7.1), strictly.
//!
//! In: the bytes of a connection behind a head. Out: the data without the chunks around it, then the trailers. A chunk
//! that two programs could read differently is an error.

use super::{Broken, Frame};
use crate::http::head::hygiene;
use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

/// The longest line with a chunk's size, extensions included. They mean nothing and are dropped, so that a longer one is
/// an attack.
const LONGEST_LINE: usize = 1024;
/// The most bytes of trailers.
const LARGEST_TRAILERS: usize = 16 * 1024;

/// Where in the body the reader is.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the line with a chunk's size.
    Size,
    /// Within a chunk, with so many bytes to come.
    Data(u64),
    /// Behind a chunk's data, before its line end.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
}

// === impl Decoder ===

impl Decoder {
    /// A reader before the first chunk.
    #[must_use]
    pub fn new() -> Self {
        Self(State::Size)
    }

    /// The next part of the body; none where more bytes are needed.
    ///
    /// # Errors
    /// Where no further byte could make it a body.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Broken> {
        loop {
            match self.0 {
                State::Size => {
                    let Some(line) = take_line(buffer, LONGEST_LINE)? else { return Ok(None) };
                    self.0 = match size(&line)? {
                        0 => State::Trailers,
                        size => State::Data(size),
                    };
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let data = buffer.split_to(here).freeze();
                    let left = left - here as u64;
                    self.0 = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Some(Frame::Data(data)));
                }
                State::DataEnd => {
                    if buffer.len() < 2 {
                        return Ok(None);
                    }
                    if &buffer[..2] != b"\r\n" {
                        return Err(wrong("a chunk is longer than its size"));
                    }
                    buffer.advance(2);
                    self.0 = State::Size;
                }
                State::Trailers => return trailers(buffer),
            }
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn wrong(what: &str) -> Broken {
    Broken::Protocol(what.to_owned())
}

/// Takes a line off, without its end.
fn take_line(buffer: &mut BytesMut, longest: usize) -> Result<Option<BytesMut>, Broken> {
    match memchr(b'\n', &buffer[..buffer.len().min(longest)]) {
        Some(feed) if feed > 0 && buffer[feed - 1] == b'\r' => {
            let mut line = buffer.split_to(feed + 1);
            line.truncate(feed - 1);
            Ok(Some(line))
        }
        Some(_) => Err(wrong("a chunk's line ends with a line feed alone")),
        None if buffer.len() >= longest => Err(wrong("a chunk's line is too long")),
        None => Ok(None),
    }
}

fn size(line: &[u8]) -> Result<u64, Broken> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (number, extension) = line.split_at(digits);
    if number.is_empty() || number.len() > 15 {
        return Err(wrong("a chunk's size is not a number in base 16"));
    }
    // Blanks before an extension are bad whitespace, which a recipient must take (RFC 9112, 7.1.1).
    let extension = extension.trim_ascii_start();
    if !extension.is_empty() && extension[0] != b';' || extension.contains(&b'\r') {
        return Err(wrong("there is something behind a chunk's size"));
    }
    Ok(number.iter().fold(0, |size, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => digit - b'A' + 10,
        };
        size * 16 + u64::from(value)
    }))
}

fn trailers(buffer: &mut BytesMut) -> Result<Option<Frame>, Broken> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(Frame::End));
    }
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        let bad = buffer.len() >= LARGEST_TRAILERS || lone_feed(buffer);
        return if bad { Err(wrong("the trailers are too large or malformed")) } else { Ok(None) };
    };
    let block = buffer.split_to(end + 4);
    if lone_feed(&block) {
        return Err(wrong("a trailer ends with a line feed alone"));
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let Ok(httparse::Status::Complete((size, lines))) = httparse::parse_headers(&block, &mut headers) else {
        return Err(wrong("the trailers are not fields"));
    };
    if size != block.len() {
        return Err(wrong("the trailers are not fields"));
    }
    let mut map = HeaderMap::with_capacity(lines.len());
    for line in lines {
        match (HeaderName::from_bytes(line.name.as_bytes()), HeaderValue::from_bytes(line.value)) {
            (Ok(name), Ok(value)) if hygiene::is_trailer(line.name.as_bytes()) => map.append(name, value),
            (Ok(_), Ok(_)) => continue,
            _ => return Err(wrong("the trailers are not fields")),
        };
    }
    Ok(Some(Frame::Trailers(map)))
}

fn lone_feed(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|feed| feed == 0 || bytes[feed - 1] != b'\r')
}
