//! Data that came and was not yet taken.
//!
//! In: what frames carried. Out: the same, in as few pieces as possible: what is small is gathered, what is large is not
//! copied.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A piece of at least this size is not copied. Smaller ones would hold the memory that they were read into, which is several
/// times as much.
pub const LARGE: usize = 16 * 1024;

/// The data, in order: `whole`, then `gathered`.
#[derive(Debug, Default)]
pub struct Pieces {
    whole: VecDeque<Bytes>,
    gathered: BytesMut,
}

// === impl Pieces ===

impl Pieces {
    /// Adds a small piece.
    pub fn gather(&mut self, piece: &[u8]) {
        self.gathered.extend_from_slice(piece);
    }

    /// Adds a large piece.
    pub fn push(&mut self, piece: Bytes) {
        if !self.gathered.is_empty() {
            self.whole.push_back(self.gathered.split().freeze());
        }
        self.whole.push_back(piece);
    }

    /// The next of it; none where nothing is there.
    pub fn next(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.whole.pop_front() {
            return Some(piece);
        }
        // All of it with its memory: what is kept elsewhere must not hold more than it is.
        (!self.gathered.is_empty()).then(|| std::mem::take(&mut self.gathered).freeze())
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.whole.is_empty()
    }

    /// How many bytes are there.
    #[must_use]
    pub fn size(&self) -> usize {
        self.gathered.len() + self.whole.iter().map(Bytes::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_gathered_and_large_ones_keep_their_memory_and_place() {
        let mut pieces = Pieces::default();
        let large = Bytes::from(vec![7; LARGE]);
        pieces.gather(b"a");
        pieces.gather(b"b");
        pieces.push(large.clone());
        pieces.gather(b"c");
        assert_eq!(pieces.size(), LARGE + 3);
        assert_eq!(pieces.next().unwrap(), "ab");
        assert_eq!(pieces.next().unwrap().as_ptr(), large.as_ptr());
        assert_eq!(pieces.next().unwrap(), "c");
        assert!(pieces.next().is_none() && pieces.is_empty());
    }
}
