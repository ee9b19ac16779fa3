//! What the owners of streams do: they send, take what came, and let go.

use super::{
    frame::{self, LARGEST, Reason, flag},
    hpack::encode,
    state::{Role, State},
    streams::{Entry, Failure, Half},
};
use crate::http::{
    head::ResponseHead,
    wire::{Broken, Frame},
};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use std::task::{Context, Poll};

/// What is written last on a stream.
#[derive(Debug)]
pub enum Last {
    /// Nothing but the end.
    End,
    /// Trailers.
    Trailers(HeaderMap),
}

// === impl State ===

impl State {
    /// Sends the fields of a head; with `ends`, nothing follows.
    ///
    /// # Errors
    /// Where the stream is gone.
    pub fn send_head(
        &mut self,
        id: u32,
        ends: bool,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Failure> {
        let entry = self.alive(id)?;
        entry.sending = if ends { Half::Ended } else { Half::Open };
        self.put_fields(id, if ends { flag::END_STREAM } else { 0 }, write);
        if ends {
            self.check(id);
        }
        Ok(())
    }

    /// Sends an interim answer.
    ///
    /// # Errors
    /// Where the stream is gone.
    pub fn send_interim(&mut self, id: u32, write: impl FnOnce(&mut BytesMut)) -> Result<(), Failure> {
        self.alive(id)?;
        self.put_fields(id, 0, write);
        Ok(())
    }

    /// Whatever length the answer on a stream says, it says nothing of what comes.
    pub fn ignore_length(&mut self, id: u32) {
        if let Some(entry) = self.streams.get(id) {
            entry.ignores_length = true;
        }
    }

    /// Sends as much of `data` as windows allow, and `last` behind all of it; whether nothing is left.
    ///
    /// # Errors
    /// Where the stream is gone.
    pub fn send(&mut self, id: u32, data: &mut Bytes, last: &mut Option<Last>) -> Result<bool, Failure> {
        while !data.is_empty() {
            let (shared, is_full) = (self.send_window, self.output.is_full());
            let entry = self.alive(id)?;
            if entry.sending != Half::Open {
                data.clear(); // nobody takes it
                break;
            }
            let room = entry.send_window.min(shared);
            if room <= 0 || is_full {
                return Ok(false);
            }
            let size = data.len().min(LARGEST).min(usize::try_from(room).unwrap_or(LARGEST));
            let sent = i64::try_from(size).unwrap_or(i64::MAX);
            entry.send_window -= sent;
            self.send_window -= sent;
            self.output.put_data(id, data.split_to(size));
            self.wake_driver();
        }
        if let Some(last) = last.take() {
            let entry = self.alive(id)?;
            if entry.sending == Half::Open {
                entry.sending = Half::Ended;
                match last {
                    Last::End => self.output.put_end(id),
                    Last::Trailers(trailers) => {
                        self.put_fields(id, flag::END_STREAM, |out| super::compose::trailers(out, &trailers));
                    }
                }
                self.check(id);
                self.wake_driver();
            }
        }
        Ok(true)
    }

    /// Waits for room for what `send` has left.
    pub fn wait_to_send(&mut self, id: u32, context: &Context<'_>) {
        let shared = self.send_window <= 0 || self.output.is_full();
        if let Some(entry) = self.streams.get(id) {
            entry.wait_to_write(context);
            if shared {
                self.streams.wait(id);
            }
        }
    }

    /// Whether more data can be taken for a stream: only its own window may hold it back, once it is put.
    ///
    /// # Errors
    /// Where the stream is gone.
    pub fn poll_room(&mut self, id: u32, context: &Context<'_>) -> Poll<Result<(), Failure>> {
        let is_full = self.output.is_full();
        let entry = self.alive(id)?;
        if is_full {
            entry.wait_to_write(context);
            self.streams.wait(id);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// The next head of an answer.
    pub fn poll_head(&mut self, id: u32, context: &Context<'_>) -> Poll<Result<ResponseHead, Failure>> {
        let entry = self.entry_of(id)?;
        if let Some(head) = entry.heads.pop_front() {
            return Poll::Ready(Ok(head));
        }
        if let Some(failure) = entry.failure {
            return Poll::Ready(Err(failure));
        }
        entry.wait_to_read(context);
        Poll::Pending
    }

    /// The next part of a body.
    pub fn poll_frame(&mut self, id: u32, context: &Context<'_>) -> Poll<Result<Frame, Failure>> {
        let entry = self.entry_of(id)?;
        if let Some(data) = entry.data.next() {
            self.was_read(id, data.len());
            return Poll::Ready(Ok(Frame::Data(data)));
        }
        if entry.receiving == Half::Ended {
            let trailers = entry.trailers.take().unwrap_or_default();
            return Poll::Ready(Ok(Frame::trailers(trailers)));
        }
        if let Some(failure) = entry.failure {
            return Poll::Ready(Err(failure));
        }
        entry.wait_to_read(context);
        Poll::Pending
    }

    /// Whether a body has come to its end, and all of it was taken.
    #[must_use]
    pub fn is_read(&mut self, id: u32) -> bool {
        self.streams.get(id).is_none_or(|entry| {
            entry.receiving == Half::Ended && entry.data.is_empty() && entry.trailers.is_none()
        })
    }

    /// Whether a stream has failed.
    #[must_use]
    pub fn has_failed(&mut self, id: u32) -> bool {
        self.streams.get(id).is_none_or(|entry| entry.failure.is_some())
    }

    /// Ends when a stream has failed.
    pub fn poll_failed(&mut self, id: u32, context: &Context<'_>) -> Poll<()> {
        match self.streams.get(id) {
            Some(entry) if entry.failure.is_none() => {
                entry.register(context);
                Poll::Pending
            }
            Some(_) | None => Poll::Ready(()),
        }
    }

    /// Ends when a stream may be opened, or never can.
    pub fn poll_open(&mut self, context: &Context<'_>) -> Poll<()> {
        let has_room = self.under_way() < self.theirs.streams as usize && !self.output.is_full();
        if self.is_closed_to_new() || has_room {
            return Poll::Ready(());
        }
        self.wait(context);
        Poll::Pending
    }

    /// Ends when the other side's settings have come, or never will.
    pub fn poll_settled(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.theirs.settled || self.gone.is_some() {
            return Poll::Ready(());
        }
        self.wait(context);
        Poll::Pending
    }

    /// Resets a stream.
    pub fn reset_stream(&mut self, id: u32, reason: Reason) {
        if self.alive(id).is_ok_and(|entry| !entry.is_over()) {
            self.output.put(|out| frame::reset(out, id, reason));
            if let Some(entry) = self.streams.get(id) {
                entry.fail(Failure::Wrong("it was reset"));
            }
            self.check(id);
            self.wake_driver();
        }
    }

    /// The owner of a stream lets it go; where it has not come to its end, the other side is told.
    pub fn let_go(&mut self, id: u32) {
        let Some(entry) = self.streams.get(id) else { return };
        let unread = entry.data.size();
        let answered = self.role == Role::Server && entry.sending == Half::Ended;
        let reset = match entry.failure {
            Some(Failure::Wrong(_)) => true,
            Some(Failure::Reset(_) | Failure::Unprocessed(_) | Failure::Gone(_)) => false,
            None if entry.is_over() => false,
            None if entry.sending == Half::Idle && self.role == Role::Client => false, // it never began
            None => {
                // With NO_ERROR a server says that the answer is whole, and the rest of the request of no use (section 8.1).
                let reason = if answered { Reason::NO_ERROR } else { Reason::CANCEL };
                self.output.put(|out| frame::reset(out, id, reason));
                true
            }
        };
        self.streams.remove(id, reset);
        self.taken(unread);
        self.changed();
        if self.output.size() > 0 || self.streams.is_empty() {
            self.wake_driver(); // it may have to go, or may rest now
        }
    }

    /// Nobody will open streams on this connection.
    pub fn release(&mut self) {
        self.released = true;
        self.wake_driver();
    }

    /// So many bytes of a stream were taken: by its owner, or for they were padding.
    pub(super) fn was_read(&mut self, id: u32, count: usize) {
        let most = self.ours.stream_window / 4;
        if let Some(entry) = self.streams.get(id)
            && entry.receiving == Half::Open
            && entry.failure.is_none()
        {
            entry.untold += u32::try_from(count).unwrap_or(u32::MAX);
            if entry.untold >= most {
                let by = std::mem::take(&mut entry.untold);
                entry.receive_window += i64::from(by);
                self.output.put(|out| frame::window_update(out, id, by));
                self.wake_driver();
            }
        }
        self.taken(count);
    }

    /// So many bytes of the connection's window were taken. The other side is told when a quarter of the window is gone.
    pub(super) fn taken(&mut self, count: usize) {
        self.untold += u32::try_from(count).unwrap_or(u32::MAX);
        if self.untold >= self.ours.connection_window / 4 {
            let by = std::mem::take(&mut self.untold);
            self.receive_window += i64::from(by);
            self.output.put(|out| frame::window_update(out, 0, by));
            self.wake_driver();
        }
    }

    fn put_fields(&mut self, id: u32, flags: u8, write: impl FnOnce(&mut BytesMut)) {
        let begun = std::mem::replace(&mut self.has_sent_fields, true);
        let largest = self.theirs.largest_frame.min(LARGEST);
        self.output.put_fields(id, flags, largest, |out| {
            if !begun {
                encode::without_table(out);
            }
            write(out);
        });
        self.wake_driver();
    }

    fn entry_of(&mut self, id: u32) -> Result<&mut Entry, Failure> {
        self.streams.get(id).ok_or(Failure::Gone("the stream has ended"))
    }

    fn alive(&mut self, id: u32) -> Result<&mut Entry, Failure> {
        let entry = self.entry_of(id)?;
        match entry.failure {
            None => Ok(entry),
            Some(failure) => Err(failure),
        }
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reset(reason) => Self::Reset(reason),
            Failure::Unprocessed(reason) => Self::Unprocessed(reason),
            Failure::Wrong(what) => Self::Protocol(what.to_owned()),
            Failure::Gone(what) => Self::Gone(what),
        }
    }
}
