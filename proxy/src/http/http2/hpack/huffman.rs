//! Reads strings in HPACK's Huffman code (RFC 7541, section 5.2 and appendix B).
//!
//! In: a string's octets. Out: its text. The code is canonical: codes of one length follow each other in the order of
//! their symbols, and a longer one follows the last shorter one. So the lengths say all, and the tables are made of
//! them when this is compiled.

use super::Error;
use bytes::BytesMut;

/// How many bits the table of short codes looks at. All that is common in fields has a code of at most ten bits.
const SHORT_BITS: u32 = 10;
/// The shortest and the longest code.
const LENGTHS_FROM: usize = 5;
const LENGTHS_TO: usize = 30;
/// The symbol that ends a string, which must not be sent.
const EOS: u16 = 256;

/// How long the code of each symbol is (RFC 7541, appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The codes of one length.
#[derive(Clone, Copy)]
struct Row {
    /// What is below this, when it stands at the top of 32 bits, has this length or a shorter one.
    limit: u64,
    /// The first code, and where its symbol stands in `SYMBOLS`.
    code: u32,
    symbol: u32,
}

/// The symbols in the order of their codes.
static SYMBOLS: [u16; 257] = symbols();
/// The codes of each length.
static ROWS: [Row; LENGTHS_TO + 1] = rows();
/// For each beginning of `SHORT_BITS` bits: length and symbol of the code that it starts with, or a length of 0.
static SHORT: [(u8, u8); 1 << SHORT_BITS] = short();

/// Appends the text of the string `text`.
pub(super) fn decode(text: &[u8], out: &mut BytesMut) -> Result<(), Error> {
    let start = out.len();
    // There cannot be more symbols than this. Room that is there already makes the loop cheap.
    out.resize(start + text.len() * 8 / LENGTHS_FROM, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = symbols_of(Bits { text, window: 0, count: 0 }, room)?;
    out.truncate(start + written);
    Ok(())
}

/// Writes all symbols to `room`, and says how many they are.
fn symbols_of(mut bits: Bits<'_>, room: &mut [u8]) -> Result<usize, Error> {
    let mut written = 0;
    loop {
        bits.refill();
        if bits.count == 0 {
            return Ok(written);
        }
        // One symbol of any length.
        let padded = bits.padded();
        let (length, symbol) = next_code(padded);
        if length > bits.count {
            // No code fits into what is left, so this is padding: less than an octet, of ones only.
            return if bits.count < 8 && padded == u64::MAX { Ok(written) } else { Err(Error::Huffman) };
        }
        bits.skip(length);
        let symbol = u8::try_from(symbol).map_err(|_| Error::Huffman)?;
        *room.get_mut(written).ok_or(Error::Huffman)? = symbol;
        written += 1;
        // And as many short ones as are there.
        while bits.count >= SHORT_BITS {
            let (length, symbol) = SHORT[(bits.window >> (64 - SHORT_BITS)) as usize];
            if length == 0 {
                break;
            }
            bits.skip(u32::from(length));
            *room.get_mut(written).ok_or(Error::Huffman)? = symbol;
            written += 1;
        }
    }
}

/// Length and symbol of the code that `window` starts with.
fn next_code(window: u64) -> (u32, u16) {
    let (length, symbol) = SHORT[(window >> (64 - SHORT_BITS)) as usize];
    if length > 0 { (u32::from(length), u16::from(symbol)) } else { long(window) }
}

/// As `next_code`, where the code is a long one.
#[cold]
fn long(window: u64) -> (u32, u16) {
    let top = window >> 32;
    for (length, row) in (0u32..).zip(&ROWS).skip(SHORT_BITS as usize + 1) {
        if top < row.limit {
            let code = (top >> (32 - length)) as u32;
            let place = row.symbol + code.saturating_sub(row.code);
            return (length, SYMBOLS.get(place as usize).copied().unwrap_or(EOS));
        }
    }
    (LENGTHS_TO as u32, EOS)
}

// === impl Bits ===

/// Bits that are to be read.
struct Bits<'a> {
    /// The octets that are not all in the window.
    text: &'a [u8],
    /// The next bits, from the top. Below `count` bits there may be some of the octet that comes next.
    window: u64,
    /// How many bits of the window count.
    count: u32,
}

impl Bits<'_> {
    /// Fills the window with at least 56 bits, or with all that are left.
    #[inline]
    fn refill(&mut self) {
        if let Some(next) = self.text.first_chunk::<8>() {
            self.window |= u64::from_be_bytes(*next) >> self.count;
            let octets = 63u32.saturating_sub(self.count) / 8;
            self.text = self.text.get(octets as usize..).unwrap_or_default();
            self.count += octets * 8;
            return;
        }
        while self.count <= 56
            && let Some((first, rest)) = self.text.split_first()
        {
            self.window |= u64::from(*first) << (56 - self.count);
            self.count += 8;
            self.text = rest;
        }
    }

    /// The window, with ones after its end: then padding looks like the start of EOS, however long it is.
    fn padded(&self) -> u64 {
        self.window | u64::MAX.checked_shr(self.count).unwrap_or(0)
    }

    /// Drops `length` bits, of at least as many.
    #[inline]
    fn skip(&mut self, length: u32) {
        self.window <<= length;
        self.count -= length;
    }
}

// === the tables ===

const fn symbols() -> [u16; 257] {
    let mut symbols = [0; 257];
    let mut place = 0;
    let mut length = LENGTHS_FROM;
    while length <= LENGTHS_TO {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

const fn rows() -> [Row; LENGTHS_TO + 1] {
    let mut rows = [Row { limit: 0, code: 0, symbol: 0 }; LENGTHS_TO + 1];
    let (mut code, mut place) = (0u32, 0);
    let mut length = LENGTHS_FROM;
    while length <= LENGTHS_TO {
        code <<= 1;
        rows[length].code = code;
        rows[length].symbol = place;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        rows[length].limit = (code as u64) << (32 - length);
        length += 1;
    }
    rows
}

const fn short() -> [(u8, u8); 1 << SHORT_BITS] {
    let (symbols, rows) = (symbols(), rows());
    let mut short = [(0, 0); 1 << SHORT_BITS];
    let mut start = 0;
    while start < short.len() {
        let mut length = SHORT_BITS as usize;
        while length >= LENGTHS_FROM {
            // The shortest length whose limit is above is the code's own.
            if ((start as u64) << (32 - SHORT_BITS)) < rows[length].limit {
                let code = (start >> (SHORT_BITS as usize - length)) as u32;
                // Of a shorter code this is nonsense, which the shorter length then overwrites.
                let place = rows[length].symbol.wrapping_add(code.wrapping_sub(rows[length].code));
                short[start] = (length as u8, symbols[place as usize % symbols.len()] as u8);
            }
            length -= 1;
        }
        start += 1;
    }
    short
}

#[cfg(test)]
#[path = "huffman_tests.rs"]
pub(super) mod tests;
