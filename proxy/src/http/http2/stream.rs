//! One stream of a connection, in the hands of its owner.
//!
//! In: the connection and the stream's number. Out: heads and bodies both ways, with flow control behind `poll_ready`: what
//! one side does not read, the other is not asked for. Dropped before its end, it is reset.

use super::{connection::Shared, frame::Reason, send::Last, streams::Failure};
use crate::http::{
    head::{ResponseHead, hygiene},
    wire::{Broken, Frame, Side},
};
use bytes::{Bytes, BytesMut};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The stream.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    id: u32,
    /// What windows did not let through yet.
    waiting: Bytes,
    last: Option<Last>,
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self { shared, id, waiting: Bytes::new(), last: None }
    }

    /// Sends the fields of a head; with `ends`, nothing follows. Where the stream is gone, that shows at what comes next.
    pub fn send_head(&mut self, ends: bool, write: impl FnOnce(&mut BytesMut)) {
        let _ = self.shared.lock().send_head(self.id, ends, write);
    }

    /// Sends an interim answer. Where the stream is gone, that shows at what comes next.
    pub fn send_interim(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let _ = self.shared.lock().send_interim(self.id, write);
    }

    /// Whatever length the answer says, it says nothing of what comes: that is so for HEAD, and for CONNECT.
    pub fn ignore_length(&mut self) {
        self.shared.lock().ignore_length(self.id);
    }

    /// The next head of the answer: interim ones, then the final one.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Broken>> {
        self.shared.lock().poll_head(self.id, context).map_err(Broken::from)
    }

    /// Whether the body that comes has ended, and all of it was taken.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.shared.lock().is_read(self.id)
    }

    /// Whether the other side has given up.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.lock().has_failed(self.id)
    }

    /// Ends when the other side has given up.
    pub fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.lock().poll_failed(self.id, context)
    }

    /// Ends the stream at once, for this reason.
    pub fn reset(&mut self, reason: Reason) {
        self.shared.lock().reset_stream(self.id, reason);
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Self { shared, id, waiting, last } = self;
        if waiting.is_empty() && last.is_none() {
            return Poll::Ready(Ok(()));
        }
        let mut state = shared.lock();
        if state.send(*id, waiting, last)? {
            return Poll::Ready(Ok(()));
        }
        state.wait_to_send(*id, context);
        Poll::Pending
    }
}

impl Side for Stream {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        Poll::Ready(Ok(match ready!(self.shared.lock().poll_frame(self.id, context))? {
            Frame::Trailers(trailers) => Frame::trailers(hygiene::trailing(trailers)),
            frame @ (Frame::Data(_) | Frame::End) => frame,
        }))
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.poll_send(context))?;
        self.shared.lock().poll_room(self.id, context).map_err(Broken::from)
    }

    fn put(&mut self, frame: Frame) {
        let Self { shared, id, waiting, last } = self;
        match frame {
            Frame::Data(data) => {
                debug_assert!(waiting.is_empty(), "a piece would replace another");
                *waiting = data;
            }
            Frame::Trailers(trailers) => *last = Some(Last::Trailers(trailers)),
            Frame::End => *last = Some(Last::End),
        }
        // Where the stream is gone, that shows at what comes next.
        let _ = shared.lock().send(*id, waiting, last);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_send(context).map_err(Broken::from)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.lock().let_go(self.id);
    }
}
