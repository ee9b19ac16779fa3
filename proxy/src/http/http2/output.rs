//! What waits to be written on a connection, in order.
//!
//! In: frames. Out: as few writes as possible. Small frames are copied together; data of one stream that comes in small
//! pieces becomes one frame, for both sides pay by the frame; large pieces are not copied.

use super::frame::{self, HEAD, LARGEST, flag, kind};
use crate::http::wire::stream::Stream;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// A piece of at least this size is not copied.
const LARGE: usize = 8 * 1024;
/// With so much waiting, no more data is taken.
const FULL: usize = 64 * 1024;
/// What is got at first: some heads.
const FIRST: usize = 2 * 1024;
/// How many pieces are written at once.
const PIECES: usize = 16;

/// The frames.
#[derive(Debug, Default)]
pub struct Output {
    /// What comes before `tail`.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    size: usize,
    /// The frame of data at the end of `tail`, which may still grow.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    stream: u32,
    /// Where its head begins in `tail`.
    at: usize,
}

// === impl Output ===

impl Output {
    /// Whether nothing waits.
    /// How many bytes wait.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether more data has to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.size >= FULL
    }

    /// Whether who waits for room has to wait on.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.size >= FULL / 2
    }

    /// Writes frames behind all others.
    pub fn put(&mut self, write: impl FnOnce(&mut BytesMut)) {
        self.open = None;
        let before = self.tail.len();
        if self.tail.capacity() == 0 {
            self.tail.reserve(FIRST);
        }
        write(&mut self.tail);
        self.size += self.tail.len() - before;
    }

    /// Writes a block of fields, as one frame or more of at most `largest` bytes.
    pub fn put_fields(&mut self, stream: u32, flags: u8, largest: usize, write: impl FnOnce(&mut BytesMut)) {
        self.put(|tail| {
            let at = tail.len();
            frame::head(tail, 0, kind::HEADERS, flags, stream);
            write(tail);
            let length = tail.len() - at - HEAD;
            if length <= largest {
                patch(tail, at, length, flag::END_HEADERS);
                return;
            }
            let block = tail.split_off(at + HEAD);
            let mut pieces = block.chunks(largest);
            let first = pieces.next().unwrap_or_default();
            patch(tail, at, first.len(), 0);
            tail.extend_from_slice(first);
            let mut at = at;
            for piece in pieces {
                at = tail.len();
                frame::head(tail, piece.len(), kind::CONTINUATION, 0, stream);
                tail.extend_from_slice(piece);
            }
            let last = tail.len() - at - HEAD;
            patch(tail, at, last, flag::END_HEADERS);
        });
    }

    /// Writes data, of at most the size of a frame.
    pub fn put_data(&mut self, stream: u32, data: Bytes) {
        if data.len() >= LARGE {
            self.put(|tail| frame::head(tail, data.len(), kind::DATA, 0, stream));
            self.size += data.len();
            self.pieces.push_back(self.tail.split().freeze());
            self.pieces.push_back(data);
            return;
        }
        let open = self
            .open
            .filter(|open| open.stream == stream && self.tail.len() - open.at - HEAD + data.len() <= LARGEST);
        let before = self.tail.len();
        let open = open.unwrap_or_else(|| {
            frame::head(&mut self.tail, 0, kind::DATA, 0, stream);
            Open { stream, at: before }
        });
        self.tail.extend_from_slice(&data);
        let length = self.tail.len() - open.at - HEAD;
        patch(&mut self.tail, open.at, length, 0);
        self.size += self.tail.len() - before;
        self.open = Some(open);
    }

    /// Ends the data of a stream: in the frame before, where that is its own.
    pub fn put_end(&mut self, stream: u32) {
        match self.open.take().filter(|open| open.stream == stream) {
            Some(open) => {
                let length = self.tail.len() - open.at - HEAD;
                patch(&mut self.tail, open.at, length, flag::END_STREAM);
            }
            None => self.put(|tail| frame::head(tail, 0, kind::DATA, flag::END_STREAM, stream)),
        }
    }

    /// Ends when everything is written.
    ///
    /// # Errors
    /// Where the connection cannot be written to.
    pub fn poll_flush(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while self.size > 0 {
            self.open = None;
            let io = Pin::new(&mut *stream);
            let written = if self.pieces.is_empty() {
                ready!(io.poll_write(context, &self.tail))?
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[..]]);
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                }
                ready!(io.poll_write_vectored(context, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written(written);
        }
        Pin::new(stream).poll_flush(context)
    }

    /// Gives back the memory, where nothing waits.
    pub fn rest(&mut self) {
        if self.size == 0 {
            *self = Self::default();
        }
    }

    /// What waits, as if it were written.
    pub fn bytes(&mut self) -> BytesMut {
        let mut bytes = BytesMut::new();
        self.pieces.drain(..).for_each(|piece| bytes.extend_from_slice(&piece));
        bytes.unsplit(std::mem::take(&mut self.tail));
        self.discard();
        bytes
    }

    /// Nobody can read it any more.
    pub fn discard(&mut self) {
        *self = Self::default();
    }

    fn written(&mut self, mut count: usize) {
        self.size -= count;
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
        if count == self.tail.len() {
            self.tail.clear(); // keeps its memory, unlike `advance`
        } else {
            self.tail.advance(count);
        }
    }
}

/// Sets the length of the frame whose head is at `at`, and flags besides those that it has.
fn patch(bytes: &mut BytesMut, at: usize, length: usize, flags: u8) {
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(frame::MOST).to_be_bytes();
    if let Some([one, two, three, _, own, ..]) = bytes.get_mut(at..at + HEAD) {
        (*one, *two, *three) = (high, middle, low);
        *own |= flags;
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
