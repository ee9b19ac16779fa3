//! Gathers what is to be written, so that a head and the start of its body leave in one system call.
//!
//! In: small pieces, which are copied together, and large ones, which are not. Out: as few writes as possible, in order.

use super::stream::Stream;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// A piece of at least this size is not copied: from there on a second segment of a write costs less than the copy.
const LARGE: usize = 8 * 1024;
/// With so much waiting, nothing more is taken.
const FULL: usize = 64 * 1024;

/// What waits to be written: the small pieces, then one large one, then a few bytes that end it.
#[derive(Debug, Default)]
pub struct Outbox {
    small: BytesMut,
    large: Bytes,
    behind: &'static [u8],
}

// === impl Outbox ===

impl Outbox {
    /// Where small pieces are written to; only while there is no large piece.
    pub fn small(&mut self) -> &mut BytesMut {
        debug_assert!(
            self.large.is_empty() && self.behind.is_empty(),
            "a small piece would overtake a large one"
        );
        &mut self.small
    }

    /// Adds a piece.
    pub fn put(&mut self, piece: Bytes) {
        if piece.len() < LARGE {
            self.small().extend_from_slice(&piece);
        } else {
            debug_assert!(self.large.is_empty(), "a large piece would replace another");
            self.large = piece;
        }
    }

    /// Adds a few bytes behind whatever was put last.
    pub fn put_behind(&mut self, bytes: &'static [u8]) {
        if self.large.is_empty() {
            self.small.extend_from_slice(bytes);
        } else {
            self.behind = bytes;
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty() && self.behind.is_empty()
    }

    /// Gives back the memory, where nothing waits.
    pub fn rest(&mut self) {
        if self.small.is_empty() {
            self.small = BytesMut::new();
        }
    }

    /// Ends when another piece can be taken.
    ///
    /// # Errors
    /// Where the connection cannot be written to.
    pub fn poll_ready(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        if self.large.is_empty() && self.behind.is_empty() && self.small.len() < FULL {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(context, stream)
    }

    /// Ends when everything is written.
    ///
    /// # Errors
    /// Where the connection cannot be written to.
    pub fn poll_flush(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let stream = Pin::new(&mut *stream);
            let written = if self.large.is_empty() && self.behind.is_empty() {
                ready!(stream.poll_write(context, &self.small))?
            } else {
                let pieces =
                    [IoSlice::new(&self.small), IoSlice::new(&self.large), IoSlice::new(self.behind)];
                ready!(stream.poll_write_vectored(context, &pieces))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let small = written.min(self.small.len());
            if small == self.small.len() {
                self.small.clear(); // keeps its memory, unlike `advance`
            } else {
                self.small.advance(small);
            }
            let large = (written - small).min(self.large.len());
            self.large.advance(large);
            self.behind = &self.behind[written - small - large..];
        }
        Pin::new(stream).poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, net::Ipv4Addr};
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    #[tokio::test]
    async fn a_head_its_body_and_what_ends_it_arrive_in_order() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Stream::Plain(listener.accept().await.unwrap().0);
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![7; 4 * 1024 * 1024]); // more than a socket takes
        outbox.small().extend_from_slice(b"head");
        outbox.put(Bytes::from_static(b"small"));
        outbox.put(large.clone());
        outbox.put_behind(b"end");
        assert!(!outbox.is_empty());
        let mut came = Vec::new();
        let write = async {
            poll_fn(|context| outbox.poll_ready(context, &mut stream)).await.unwrap();
            assert!(outbox.is_empty(), "a large piece is gone before there is room for another");
            outbox.put_behind(b"!");
            poll_fn(|context| outbox.poll_flush(context, &mut stream)).await.unwrap();
            drop(stream);
        };
        tokio::join!(write, async { other.read_to_end(&mut came).await.unwrap() });
        assert!(came == [b"headsmall", &large[..], b"end!"].concat(), "{} bytes", came.len());
    }

    #[tokio::test]
    async fn small_pieces_wait_for_each_other_until_it_is_full() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let _other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Stream::Plain(listener.accept().await.unwrap().0);
        let mut outbox = Outbox::default();
        let piece = Bytes::from(vec![7; LARGE - 1]);
        for count in 1..=FULL / piece.len() {
            outbox.put(piece.clone());
            poll_fn(|context| outbox.poll_ready(context, &mut stream)).await.unwrap();
            assert_eq!(outbox.small.len(), count * piece.len());
        }
        outbox.put(piece);
        poll_fn(|context| outbox.poll_ready(context, &mut stream)).await.unwrap();
        assert!(outbox.is_empty());
        outbox.rest();
        assert_eq!(outbox.small.capacity(), 0);
    }
}
