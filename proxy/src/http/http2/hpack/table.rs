//! The tables of fields that a block can point to (RFC 7541, section 2.3).
//!
//! In: lines that a peer wants to be kept, and numbers. Out: the lines of these numbers. Each is kept as the line that
//! it becomes, so that a field from a table is one copy.

use crate::http::head::Kind;
use std::collections::VecDeque;

/// What an entry takes besides name and value (RFC 7541, section 4.1), less the four bytes that a line has more.
const OVERHEAD: usize = 32 - 4;

/// An entry of either table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// The whole line.
    pub(super) line: &'a [u8],
    /// The line's name.
    pub(super) name: &'a [u8],
    /// What the name stands for.
    pub(super) kind: Kind,
    /// Name and value are allowed.
    pub(super) fine: bool,
}

/// The static table and the dynamic one, which are counted through (RFC 7541, section 2.3.3).
#[derive(Debug)]
pub(super) struct Table {
    /// The dynamic entries, the newest first.
    entries: VecDeque<Entry>,
    /// What they take.
    size: usize,
    /// What they may take.
    limit: usize,
}

#[derive(Debug)]
struct Entry {
    line: Box<[u8]>,
    name: u32,
    kind: Kind,
    fine: bool,
}

// === impl Entry ===

impl Entry {
    fn size(&self) -> usize {
        self.line.len() + OVERHEAD
    }
}

// === impl Table ===

impl Table {
    /// A table whose dynamic part may take `limit`. It allocates nothing yet.
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, limit }
    }

    /// The entry of a number, from 1.
    pub(super) fn get(&self, index: usize) -> Option<Known<'_>> {
        let place = index.checked_sub(1)?;
        if let Some(line) = STATIC.get(place) {
            let name = line.name();
            return Some(Known { line: line.text.as_bytes(), name, kind: Kind::of(name), fine: true });
        }
        let entry = self.entries.get(place - STATIC.len())?;
        let name = entry.line.get(..entry.name as usize).unwrap_or_default();
        Some(Known { line: &entry.line, name, kind: entry.kind, fine: entry.fine })
    }

    /// Adds a line whose name is `name` long, for which older entries go (RFC 7541, section 4.4).
    pub(super) fn insert(&mut self, line: &[u8], name: u32, kind: Kind, fine: bool) {
        let size = line.len() + OVERHEAD;
        // One that is larger than the table is no error. It leaves the table empty.
        self.evict(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.size += size;
            self.entries.push_front(Entry { line: line.into(), name, kind, fine });
        }
    }

    /// Sets what the dynamic entries may take (RFC 7541, section 4.3).
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    /// Drops the oldest entries until what is left takes at most `most`.
    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size();
        }
    }

    /// What the dynamic entries take, counted anew.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        assert_eq!(self.size, self.entries.iter().map(Entry::size).sum::<usize>());
        self.size
    }
}

// === the static table ===

/// A line of the static table.
struct Static {
    text: &'static str,
    name: usize,
}

impl Static {
    fn name(&self) -> &'static [u8] {
        self.text.as_bytes().get(..self.name).unwrap_or_default()
    }
}

macro_rules! lines {
    ($($name:literal $(= $value:literal)?,)*) => {
        [$(Static { text: concat!($name, ": ", $($value,)? "\r\n"), name: $name.len() },)*]
    };
}

/// RFC 7541, appendix A.
#[rustfmt::skip]
static STATIC: [Static; 61] = lines![
    ":authority", ":method" = "GET", ":method" = "POST", ":path" = "/", ":path" = "/index.html",
    ":scheme" = "http", ":scheme" = "https", ":status" = "200", ":status" = "204", ":status" = "206",
    ":status" = "304", ":status" = "400", ":status" = "404", ":status" = "500", "accept-charset",
    "accept-encoding" = "gzip, deflate", "accept-language", "accept-ranges", "accept",
    "access-control-allow-origin", "age", "allow", "authorization", "cache-control", "content-disposition",
    "content-encoding", "content-language", "content-length", "content-location", "content-range",
    "content-type", "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "link",
    "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh",
    "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent",
    "vary", "via", "www-authenticate",
];

/// The number of the static entry that has this name, however it is spelled. Pseudo-fields have functions of their own
/// in the encoder, and are not looked for.
#[inline]
pub(super) fn index_of(name: &[u8]) -> Option<u8> {
    let candidates: &[u8] = match name.len() {
        3 => &[21, 60],
        4 => &[33, 34, 59, 38, 45, 37],
        5 => &[50, 22],
        6 => &[19, 32, 54, 35],
        7 => &[51, 36, 52],
        8 => &[46, 39, 42],
        10 => &[58, 55],
        11 => &[53],
        12 => &[31, 47],
        13 => &[24, 44, 18, 23, 41, 30],
        14 => &[28, 15],
        15 => &[16, 17],
        16 => &[26, 61, 27, 29],
        17 => &[40, 57],
        18 => &[48],
        19 => &[25, 49, 43],
        25 => &[56],
        27 => &[20],
        _ => &[],
    };
    candidates.iter().copied().find(|index| {
        let entry = STATIC.get(usize::from(*index) - 1);
        entry.is_some_and(|entry| entry.name().eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_static_name_is_found_in_any_case() {
        for (index, line) in (1u8..).zip(&STATIC) {
            let found = if line.text.starts_with(':') { None } else { Some(index) };
            assert_eq!(index_of(line.name()), found, "{}", line.text);
            assert_eq!(index_of(&line.name().to_ascii_uppercase()), found, "{}", line.text);
        }
        for name in ["", "x", "foo", "content-typo", "a-name-that-is-longer-than-any-of-the-table"] {
            assert_eq!(index_of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn numbers_go_through_both_tables() {
        let mut table = Table::new(4096);
        table.insert(b"a: 1\r\n", 1, Kind::Other, true);
        table.insert(b"b: 2\r\n", 1, Kind::Other, true);
        let line = |index| table.get(index).map(|known| known.line);
        assert_eq!(line(0), None);
        assert_eq!(line(1), Some(&b":authority: \r\n"[..]));
        assert_eq!(line(16), Some(&b"accept-encoding: gzip, deflate\r\n"[..]));
        assert_eq!(line(61), Some(&b"www-authenticate: \r\n"[..]));
        assert_eq!(line(62), Some(&b"b: 2\r\n"[..]));
        assert_eq!(line(63), Some(&b"a: 1\r\n"[..]));
        assert_eq!(line(64), None);
        assert_eq!(line(usize::MAX), None);
    }

    #[test]
    fn an_entry_that_is_larger_than_the_table_empties_it() {
        let mut table = Table::new(34);
        table.insert(b"a: 1\r\n", 1, Kind::Other, true);
        assert_eq!(table.size(), 34);
        table.insert(b"a: 12\r\n", 1, Kind::Other, true);
        assert_eq!((table.size(), table.get(62).is_none()), (0, true));
    }
}
