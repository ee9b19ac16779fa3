//! Writes blocks of fields (RFC 7541, section 6).
//!
//! In: pseudo-fields and fields. Out: their octets. Nothing is kept between fields, and no string is in Huffman's code:
//! the time goes further elsewhere than the bytes do. So blocks need no order, and there is no table to be read out.

use super::table::index_of;
use bytes::{BufMut, BytesMut};

/// The representations (RFC 7541, sections 6.1 to 6.3).
const INDEXED: u8 = 0x80;
const NEVER_INDEXED: u8 = 0x10;
const WITHOUT_INDEXING: u8 = 0x00;
const SIZE_UPDATE: u8 = 0x20;

/// What an integer of at most 64 bits takes, with its prefix.
const INTEGER: usize = 11;

/// Says that the dynamic table is not used (RFC 7541, section 4.2). Goes to the front of a connection's first block.
pub fn without_table(out: &mut BytesMut) {
    out.put_u8(SIZE_UPDATE);
}

/// Writes `:status` (RFC 9113, section 8.3.2), which has three digits.
pub fn status(out: &mut BytesMut, status: u16) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |of: u16| b'0' + (status / of % 10) as u8;
            return out.put_slice(&[WITHOUT_INDEXING | 8, 3, digit(100), digit(10), digit(1)]);
        }
    };
    out.put_u8(INDEXED | index);
}

/// Writes `:method` (RFC 9113, section 8.3.1).
pub fn method(out: &mut BytesMut, method: &[u8]) {
    match method {
        b"GET" => out.put_u8(INDEXED | 2),
        b"POST" => out.put_u8(INDEXED | 3),
        _ => indexed_name(out, WITHOUT_INDEXING, 2, method),
    }
}

/// Writes `:path` (RFC 9113, section 8.3.1).
pub fn path(out: &mut BytesMut, path: &[u8]) {
    match path {
        b"/" => out.put_u8(INDEXED | 4),
        b"/index.html" => out.put_u8(INDEXED | 5),
        _ => indexed_name(out, WITHOUT_INDEXING, 4, path),
    }
}

/// Writes `:scheme` (RFC 9113, section 8.3.1).
pub fn scheme(out: &mut BytesMut, scheme: &[u8]) {
    match scheme {
        b"http" => out.put_u8(INDEXED | 6),
        b"https" => out.put_u8(INDEXED | 7),
        _ => indexed_name(out, WITHOUT_INDEXING, 6, scheme),
    }
}

/// Writes `:authority` (RFC 9113, section 8.3.1).
pub fn authority(out: &mut BytesMut, authority: &[u8]) {
    indexed_name(out, WITHOUT_INDEXING, 1, authority);
}

/// Writes `:protocol` (RFC 8441, section 4).
pub fn protocol(out: &mut BytesMut, protocol: &[u8]) {
    own_name(out, WITHOUT_INDEXING, b":protocol", protocol);
}

/// Writes a field, its name in lower case (RFC 7541, sections 6.2.2 and 6.2.3). What `never_indexed` asks for is also
/// done for fields that are secrets always, so that no later hop keeps them in a table (section 7.1.3).
pub fn field(out: &mut BytesMut, name: &[u8], value: &[u8], never_indexed: bool) {
    let index = index_of(name);
    // authorization, cookie, proxy-authorization, set-cookie
    let never_indexed = never_indexed || matches!(index, Some(23 | 32 | 49 | 55));
    let representation = if never_indexed { NEVER_INDEXED } else { WITHOUT_INDEXING };
    match index {
        Some(index) => indexed_name(out, representation, index, value),
        None => own_name(out, representation, name, value),
    }
}

/// A literal whose name is that of the static entry `index`.
fn indexed_name(out: &mut BytesMut, representation: u8, index: u8, value: &[u8]) {
    out.reserve(2 * INTEGER + value.len());
    integer(out, representation, 4, usize::from(index));
    string(out, value);
}

/// A literal with its name.
fn own_name(out: &mut BytesMut, representation: u8, name: &[u8], value: &[u8]) {
    out.reserve(1 + 2 * INTEGER + name.len() + value.len());
    out.put_u8(representation);
    string(out, name);
    let start = out.len() - name.len();
    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
    string(out, value);
}

/// A string as it is (RFC 7541, section 5.2).
#[inline]
fn string(out: &mut BytesMut, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.put_slice(text);
}

/// An integer, of which the first octet has `prefix` bits, below what `first` has of it (RFC 7541, section 5.1).
#[inline]
fn integer(out: &mut BytesMut, first: u8, prefix: u32, value: usize) {
    let most = (1usize << prefix) - 1;
    if value < most {
        return out.put_u8(first | value as u8);
    }
    out.put_u8(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.put_u8(0x80 | rest as u8);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
