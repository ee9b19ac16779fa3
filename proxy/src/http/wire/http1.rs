//! A connection of HTTP/1, to a client or to an endpoint.
//!
//! In: a stream. Out: heads and bodies both ways, framed as each message says. An upgraded connection goes on as bodies
//! without framing.

use super::{Broken, Frame, Side, chunked, outbox::Outbox, stream::Stream};
use crate::http::head::{framing::Framing, write};
use bytes::{BufMut, BytesMut};
use http::HeaderMap;
use std::{
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

/// What is read at once at first: a head, or a small message.
const SMALL_READ: usize = 8 * 1024;
/// And while a large body comes, or where the last one was large: 64 KiB with a head before them. Measured, larger reads
/// gain little more.
const LARGE_READ: usize = 64 * 1024 + SMALL_READ;

/// A connection of HTTP/1.
#[derive(Debug)]
pub struct Http1 {
    /// The connection itself.
    pub stream: Stream,
    /// What was read and not yet taken.
    pub input: BytesMut,
    /// What is to be written.
    pub output: Outbox,
    incoming: Incoming,
    outgoing: Outgoing,
    read_size: usize,
    /// How much came since the connection rested: the next message is about as large, mostly.
    came: usize,
    /// Nothing more will come.
    ended: bool,
}

/// The body that is being read.
#[derive(Debug)]
enum Incoming {
    Empty,
    Length(u64),
    Chunked(chunked::Decoder),
    /// Until the end of the connection.
    Raw,
    /// Complete.
    Done,
}

/// The body that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// None, or as long as the head says.
    Plain,
    /// In chunks, with the trailers behind them.
    Chunked,
    /// Until the sending side is closed.
    Raw,
    /// Dropped: an answer to HEAD.
    Nothing,
    /// All was put; the sending side is still to be closed.
    Closing,
}

// === impl Http1 ===

impl Http1 {
    /// A connection at rest.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: Outbox::default(),
            incoming: Incoming::Done,
            outgoing: Outgoing::Plain,
            read_size: SMALL_READ,
            came: 0,
            ended: false,
        }
    }

    /// Gives back the memory that a connection at rest does not need.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.output.rest();
        self.read_size = if self.came > SMALL_READ { LARGE_READ } else { SMALL_READ };
        self.came = 0;
    }

    /// Reads more into `input`; false at the end of the connection. No buffer is got before something has come.
    ///
    /// # Errors
    /// Where the connection failed.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        if self.stream.is_waiting(context) {
            // What comes in drops goes on with a small buffer. No small one is given up, for one who keeps the drops would
            // keep as many buffers.
            if self.read_size == SMALL_READ && self.input.is_empty() && self.input.capacity() > SMALL_READ {
                self.input = BytesMut::new();
            }
            return Poll::Pending;
        }
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input))?;
        self.came = self.came.saturating_add(read);
        if read == room {
            self.read_size = LARGE_READ;
        } else if read < SMALL_READ / 2 {
            self.read_size = SMALL_READ;
        }
        self.ended = read == 0;
        Poll::Ready(Ok(read > 0))
    }

    /// Begins to read a body.
    pub fn expect_body(&mut self, framing: Framing) {
        self.incoming = match framing {
            Framing::Empty | Framing::Length(0) => Incoming::Empty,
            Framing::Length(length) => {
                if length > SMALL_READ as u64 {
                    self.read_size = LARGE_READ;
                }
                Incoming::Length(length)
            }
            Framing::Chunked => Incoming::Chunked(chunked::Decoder::new()),
            Framing::UntilClose => Incoming::Raw,
        };
    }

    /// Begins to write a body.
    pub fn begin_body(&mut self, outgoing: Outgoing) {
        self.outgoing = outgoing;
    }

    /// Goes on without framing both ways.
    pub fn tunnel(&mut self) {
        self.incoming = Incoming::Raw;
        self.outgoing = Outgoing::Raw;
    }

    /// Whether the body that came was taken to its end.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        matches!(self.incoming, Incoming::Done | Incoming::Empty)
    }

    /// Whether an idle connection can be used for another exchange: nothing has come, not even its end.
    pub fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        self.input.is_empty() && !self.ended && self.poll_fill(context).is_pending()
    }

    fn frame(&mut self) -> Result<Option<Frame>, Broken> {
        match &mut self.incoming {
            Incoming::Done | Incoming::Empty => Ok(Some(Frame::End)),
            Incoming::Length(left) => {
                if self.input.is_empty() {
                    return Ok(None);
                }
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                *left -= here as u64;
                if *left == 0 {
                    self.incoming = Incoming::Empty; // the end is told next
                }
                Ok(Some(Frame::Data(self.input.split_to(here).freeze())))
            }
            Incoming::Chunked(decoder) => decoder.next(&mut self.input),
            Incoming::Raw => {
                if self.input.is_empty() {
                    return Ok(None);
                }
                Ok(Some(Frame::Data(self.input.split().freeze())))
            }
        }
    }

    fn put_trailers(&mut self, trailers: &HeaderMap) {
        let out = self.output.small();
        out.put_slice(b"0\r\n");
        for (name, value) in trailers {
            write::line(out, name.as_str().as_bytes(), value.as_bytes());
        }
        out.put_slice(b"\r\n");
    }
}

impl Side for Http1 {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        loop {
            if let Some(frame) = self.frame()? {
                if frame.is_last() {
                    self.incoming = Incoming::Done;
                }
                return Poll::Ready(Ok(frame));
            }
            if !ready!(self.poll_fill(context))? {
                return Poll::Ready(match self.incoming {
                    Incoming::Raw => {
                        self.incoming = Incoming::Done;
                        Ok(Frame::End)
                    }
                    _ => Err(Broken::Ended),
                });
            }
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.output.poll_ready(context, &mut self.stream).map_err(Broken::from)
    }

    fn put(&mut self, frame: Frame) {
        match (self.outgoing, frame) {
            (Outgoing::Nothing | Outgoing::Closing, _) => {}
            (Outgoing::Plain | Outgoing::Raw, Frame::Data(data)) => self.output.put(data),
            (Outgoing::Plain, Frame::Trailers(_) | Frame::End) => {}
            (Outgoing::Raw, Frame::Trailers(_) | Frame::End) => self.outgoing = Outgoing::Closing,
            (Outgoing::Chunked, Frame::Data(data)) => {
                if data.is_empty() {
                    return; // an empty chunk would be the last one
                }
                let _ = write!(self.output.small(), "{:x}\r\n", data.len()); // memory takes everything
                self.output.put(data);
                self.output.put_behind(b"\r\n");
            }
            (Outgoing::Chunked, Frame::Trailers(trailers)) => self.put_trailers(&trailers),
            (Outgoing::Chunked, Frame::End) => self.output.small().put_slice(b"0\r\n\r\n"),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.output.poll_flush(context, &mut self.stream))?;
        if self.outgoing == Outgoing::Closing {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "http1_tests.rs"]
mod tests;
