//! A connection of which some bytes were read already, or that shall be read as if some had come.
//!
//! In: the bytes and the connection. Out: the bytes, then what the connection brings, but for as many bytes as are to be
//! left out.

use super::stream::Stream;
use bytes::{Buf, Bytes};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection.
#[derive(Debug)]
pub struct Rewound {
    before: Bytes,
    /// How many bytes of what the connection brings are left out.
    skip: usize,
    stream: Stream,
}

// === impl Rewound ===

impl Rewound {
    /// `before`, then what `stream` brings behind its first `skip` bytes.
    #[must_use]
    pub fn new(before: Bytes, skip: usize, stream: Stream) -> Self {
        Self { before, skip, stream }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let here = self.before.len().min(buffer.remaining());
            buffer.put_slice(&self.before[..here]);
            self.before.advance(here);
            return Poll::Ready(Ok(()));
        }
        while self.skip > 0 {
            let mut away = [0; 64];
            let most = self.skip.min(away.len());
            let mut away = ReadBuf::new(&mut away[..most]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut away))?;
            if away.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.skip -= away.filled().len();
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
