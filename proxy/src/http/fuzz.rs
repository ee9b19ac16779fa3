//! The doorway by which `fuzz/` reaches what reads HTTP: nothing else uses it.
//!
//! In: bytes, in the pieces in which they arrive. Out: what they are read as, in a form that can be compared: however bytes
//! are cut they are the same, and what is written of a head is read as the same head.

pub use super::http2::fuzz::http2;

use super::{
    head::{
        hygiene,
        parse::{self, Bounds},
        write,
    },
    wire::{Frame, chunked::Decoder},
};
use bytes::BytesMut;
use std::fmt::Write as _;

/// The defaults of a Service.
const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 256 };

/// What is wrong with the bytes.
pub type Refused = String;

/// The head of a request as an endpoint would get it; none where more bytes are needed.
///
/// # Errors
/// Where it is refused.
pub fn request(pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, Refused> {
    let head = in_pieces(pieces, |buffer| parse::request(buffer, BOUNDS))?;
    Ok(head.map(|head| {
        let mut out = BytesMut::new();
        let hop = hygiene::hop(&head.head, head.version);
        write::request(&mut out, &head, &head.target, &hop, &[], write::Own::default());
        out.to_vec()
    }))
}

/// The head of an answer as a client would get it; none where more bytes are needed.
///
/// # Errors
/// Where it is refused.
pub fn response(pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, Refused> {
    let head = in_pieces(pieces, |buffer| parse::response(buffer, BOUNDS))?;
    Ok(head.map(|head| {
        let mut out = BytesMut::new();
        let hop = hygiene::hop(&head.head, head.version);
        write::response(&mut out, &head, &hop, &[], write::Own::default());
        out.to_vec()
    }))
}

/// The data of a body in chunks, and what its end looks like: the trailers, or nothing where more bytes are needed.
///
/// # Errors
/// Where it is refused; what came before counts nothing then.
pub fn chunked(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<String>), Refused> {
    let (mut decoder, mut buffer, mut data) = (Decoder::new(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer).map_err(|error| error.to_string())? {
                None => break,
                Some(Frame::Data(piece)) => data.extend_from_slice(&piece),
                Some(Frame::End) => return Ok((data, Some(String::new()))),
                Some(Frame::Trailers(fields)) => {
                    let mut text = String::new();
                    for (name, value) in &fields {
                        let _ = writeln!(text, "{name}: {value:?}"); // memory takes everything
                    }
                    return Ok((data, Some(text)));
                }
            }
        }
    }
    Ok((data, None))
}

fn in_pieces<Head>(
    pieces: &[&[u8]],
    mut parse: impl FnMut(&mut BytesMut) -> Result<Option<Head>, parse::Error>,
) -> Result<Option<Head>, Refused> {
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Some(head) = parse(&mut buffer).map_err(|error| error.to_string())? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}
