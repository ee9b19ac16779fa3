//! The lines of a head of HTTP/1.
//!
//! In: the block in which they came, and where in it each of them is; or the headers of HTTP/2. Out: the fields, and the
//! pieces of the block that are written on as they are.

use super::{Each, Kind, is_named};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The lines, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    block: Bytes,
    lines: Vec<Line>,
}

/// One line, by its places in the block.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The whole line, its end included.
    pub start: u32,
    /// Behind its end.
    pub end: u32,
    /// Behind its name, which it begins with.
    pub name_end: u32,
    /// Where its value begins.
    pub value_start: u32,
    /// Behind its value.
    pub value_end: u32,
    /// What it is.
    pub kind: Kind,
}

// === impl Line ===

impl Line {
    pub(super) fn name<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.start as usize..self.name_end as usize]
    }

    pub(super) fn value<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.value_start as usize..self.value_end as usize]
    }
}

// === impl Lines ===

impl Lines {
    /// Those lines of the block.
    #[must_use]
    pub fn new(block: Bytes, lines: Vec<Line>) -> Self {
        Self { block, lines }
    }

    /// The fields, one after the other.
    pub(super) fn all(&self) -> Each<'_> {
        Each { block: &self.block, lines: self.lines.iter(), map: None }
    }

    /// The first value of the field of this lower-case name.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let line = self.lines.iter().find(|line| is_named(line.name(&self.block), name))?;
        Some(line.value(&self.block))
    }

    /// The names of the fields, and where the whole line of each is.
    pub fn places(&self) -> impl Iterator<Item = (&[u8], Kind, (usize, usize))> {
        self.lines
            .iter()
            .map(|line| (line.name(&self.block), line.kind, (line.start as usize, line.end as usize)))
    }

    /// A part of the block.
    #[must_use]
    pub fn piece(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.block[start..end]
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// How many bytes the block has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.block.len()
    }

    /// A part of the block that shares its memory.
    #[must_use]
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.block.slice_ref(part)
    }
}

impl From<&HeaderMap> for Lines {
    fn from(map: &HeaderMap) -> Self {
        let mut block = BytesMut::with_capacity(map.iter().map(|(name, value)| size(name, value)).sum());
        let mut lines = Vec::with_capacity(map.len());
        for (name, value) in map {
            let place = |block: &BytesMut| u32::try_from(block.len()).unwrap_or(u32::MAX);
            let start = place(&block);
            block.put_slice(name.as_str().as_bytes());
            let name_end = place(&block);
            block.put_slice(b": ");
            let value_start = place(&block);
            block.put_slice(value.as_bytes());
            let value_end = place(&block);
            block.put_slice(b"\r\n");
            let kind = Kind::of(name.as_str().as_bytes());
            lines.push(Line { start, end: place(&block), name_end, value_start, value_end, kind });
        }
        Self { block: block.freeze(), lines }
    }
}

/// How many bytes a field takes as a line.
#[must_use]
pub fn size(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + 4
}
