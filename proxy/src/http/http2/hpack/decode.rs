//! Reads blocks of fields (RFC 7541, sections 3 and 6).
//!
//! In: the block of a head or of trailers, whole. Out: a line for each field, with its places and with what is known
//! of it. A literal is looked at once; what the table has of it is known already.

use super::{
    Error, huffman,
    table::{Known, Table},
};
use crate::http::head::{Kind, Line};
use bytes::BytesMut;

/// The table's size before anything is said of it (RFC 9113, section 6.5.2).
const INITIAL: usize = 4096;

/// Reads the blocks of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    most: usize,
}

/// The fields of a block.
#[derive(Debug)]
pub struct Fields<'a> {
    decoder: &'a mut Decoder,
    block: &'a [u8],
    /// No field came yet, so that the table's size may be set.
    front: bool,
}

/// A field that was read.
#[derive(Clone, Copy, Debug)]
pub struct Decoded {
    /// Where it stands.
    pub line: Line,
    /// Name and value are allowed (RFC 9113, section 8.2.1): the name is a token without upper case, or a colon and
    /// one, and the value has no control characters but tabs. Where this does not hold, the line must not be used as
    /// text, for it may have ends of lines in it.
    pub fine: bool,
}

// === impl Decoder ===

impl Decoder {
    /// A decoder whose peer may set the table's size up to `most`, the `SETTINGS_HEADER_TABLE_SIZE` that it was told.
    ///
    /// With less than the 4096 of which a peer starts, fields that it sends before it knows of the setting may point
    /// to entries that are gone, which is an error then.
    pub fn new(most: usize) -> Self {
        Self { table: Table::new(most.min(INITIAL)), most }
    }

    /// Starts to read a block. All its fields have to be taken, as later blocks build on them.
    pub fn fields<'a>(&'a mut self, block: &'a [u8]) -> Fields<'a> {
        Fields { decoder: self, block, front: true }
    }
}

// === impl Fields ===

impl Fields<'_> {
    /// Appends the next field's line to `out`. The caller may cut it off again. After an error, `out` may have a part
    /// of a line, and the connection is over.
    pub fn next(&mut self, out: &mut BytesMut) -> Result<Option<Decoded>, Error> {
        while let Some(first) = self.block.first() {
            match first {
                0x20..=0x3f => self.resize()?,
                0x80.. => return self.indexed(out).map(Some),
                0x40..=0x7f => return self.literal(6, out).map(Some),
                0x00..=0x1f => return self.literal(4, out).map(Some),
            }
        }
        Ok(None)
    }

    /// Sets the table's size (RFC 7541, section 6.3).
    fn resize(&mut self) -> Result<(), Error> {
        let size = integer(&mut self.block, 5)?;
        if !self.front || size > self.decoder.most {
            return Err(Error::SizeUpdate);
        }
        self.decoder.table.resize(size);
        Ok(())
    }

    /// A field from a table (RFC 7541, section 6.1).
    fn indexed(&mut self, out: &mut BytesMut) -> Result<Decoded, Error> {
        self.front = false;
        let index = integer(&mut self.block, 7)?;
        let known = self.decoder.table.get(index).ok_or(Error::Index)?;
        let start = out.len();
        out.extend_from_slice(known.line);
        Ok(Decoded { line: line(start, known.name.len(), out.len(), known.kind, false)?, fine: known.fine })
    }

    /// A field with a value of its own (RFC 7541, section 6.2). A prefix of six bits says that it is to be kept.
    fn literal(&mut self, prefix: u32, out: &mut BytesMut) -> Result<Decoded, Error> {
        self.front = false;
        let never_indexed = self.block.first().is_some_and(|first| first & 0xf0 == 0x10);
        let start = out.len();
        let (kind, name_fine) = match integer(&mut self.block, prefix)? {
            0 => {
                string(&mut self.block, out)?;
                let name = out.get(start..).unwrap_or_default();
                (Kind::of(name), is_name(name))
            }
            index => {
                let Known { name, kind, fine, .. } = self.decoder.table.get(index).ok_or(Error::Index)?;
                out.reserve(name.len() + 4);
                out.extend_from_slice(name);
                (kind, fine || is_name(name)) // it may be the value of that entry which is not
            }
        };
        let name = out.len() - start;
        out.extend_from_slice(b": ");
        let value = out.len();
        string(&mut self.block, out)?;
        let fine = name_fine && is_value(out.get(value..).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
        let line = line(start, name, out.len(), kind, never_indexed)?;
        if prefix == 6 {
            let text = out.get(start..).unwrap_or_default();
            self.decoder.table.insert(text, line.name_end - line.start, kind, fine);
        }
        Ok(Decoded { line, fine })
    }
}

/// The places of a line.
fn line(start: usize, name: usize, end: usize, kind: Kind, never_indexed: bool) -> Result<Line, Error> {
    let end = u32::try_from(end).map_err(|_| Error::Integer)?;
    let (start, name) = (start as u32, name as u32); // both are within the end
    let name_end = start + name;
    Ok(Line { start, end, name_end, value_start: name_end + 2, value_end: end - 2, kind, never_indexed })
}

// === what fields are made of ===

/// Reads an integer whose first octet has `prefix` bits of it (RFC 7541, section 5.1). More than 32 bits is nothing
/// that a peer has to send.
#[inline]
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Error> {
    let (first, mut rest) = block.split_first().ok_or(Error::Truncated)?;
    let most = (1u64 << prefix) - 1;
    let mut value = u64::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (octet, after) = rest.split_first().ok_or(Error::Truncated)?;
            rest = after;
            value += u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return Err(Error::Integer);
            }
        }
    }
    *block = rest;
    u32::try_from(value).map(|value| value as usize).map_err(|_| Error::Integer)
}

/// Appends a string's text (RFC 7541, section 5.2).
#[inline]
fn string(block: &mut &[u8], out: &mut BytesMut) -> Result<(), Error> {
    let in_code = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Error::Truncated)?;
    *block = rest;
    if in_code {
        return huffman::decode(text, out);
    }
    out.reserve(length + 4); // and what follows it in the line
    out.extend_from_slice(text);
    Ok(())
}

/// The characters of a token (RFC 9110, section 5.6.2), less those in upper case.
static NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut rest: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    while let [first, after @ ..] = rest {
        allowed[*first as usize] = true;
        rest = after;
    }
    allowed
};

/// Whether a name is allowed (RFC 9113, section 8.2.1).
fn is_name(name: &[u8]) -> bool {
    let token = name.strip_prefix(b":").unwrap_or(name);
    // Without an early end, for nearly all are fine.
    !token.is_empty() && token.iter().fold(true, |fine, byte| fine & NAME[usize::from(*byte)])
}

/// Whether a value is allowed (RFC 9110, section 5.5). Comparing is what the compiler does for many bytes at a time,
/// which a table would keep it from.
fn is_value(value: &[u8]) -> bool {
    value.iter().fold(true, |fine, byte| fine & ((*byte >= 0x20) | (*byte == b'\t')) & (*byte != 0x7f))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
