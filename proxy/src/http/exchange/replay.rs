//! Moves a request's body to an endpoint, and keeps it for another try.
//!
//! In: the client's body. Out: the same at the endpoint; and again at another one, as long as it is not larger than what
//! may be kept.

use super::{Call, Failed};
use crate::{
    cause::Cause,
    http::{
        client::Client,
        endpoint::Exchange,
        head::framing::Framing,
        wire::{Broken, Frame, Side},
    },
    middleware::Answer,
};
use std::task::{Context, Poll, ready};

/// The body.
#[derive(Debug)]
pub struct Replay {
    kept: Vec<Frame>,
    /// How many of those this try has sent.
    sent: usize,
    size: u64,
    /// How many bytes are kept at most.
    limit: u64,
    /// How many bytes there may be at most.
    bound: Option<u64>,
    /// The client has sent all.
    complete: bool,
    /// Something is missing in what was kept.
    truncated: bool,
    /// Whether this try has flushed the end.
    finished: bool,
    /// The endpoint has all that the client sent so far, which is not all there is.
    starved: bool,
    /// Counts what moved.
    pub moved: u64,
}

/// Which side failed.
#[derive(Debug)]
pub enum Fault {
    /// The client's.
    Client(Failed),
    /// The endpoint's.
    Endpoint(Broken),
}

// === impl Replay ===

impl Replay {
    /// A body before its first byte, of which up to `limit` bytes are kept, and which may have `bound` bytes.
    #[must_use]
    pub fn new(call: &Call, limit: u64, bound: Option<u64>) -> Self {
        let complete = call.framing == Framing::Empty;
        Self {
            kept: Vec::new(),
            sent: 0,
            size: 0,
            limit,
            bound,
            complete,
            truncated: false,
            finished: false,
            starved: false,
            moved: 0,
        }
    }

    /// What an upgraded connection carries to the endpoint, until it ends.
    #[must_use]
    pub fn tunnel() -> Self {
        Self {
            kept: Vec::new(),
            sent: 0,
            size: 0,
            limit: 0,
            bound: None,
            complete: false,
            truncated: false,
            finished: false,
            starved: false,
            moved: 0,
        }
    }

    /// Another try begins: everything is sent again.
    pub fn rewind(&mut self) {
        self.sent = 0;
        self.finished = false;
    }

    /// Whether everything that was taken is still there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.truncated
    }

    /// Whether the client is still to send something.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.complete
    }

    /// Whether it is the client who is waited for.
    #[must_use]
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether all has been sent.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// There will be no other try: nothing more is kept, but for a copy that is wanted.
    pub fn settle(&mut self, copy: bool) {
        if !copy {
            self.limit = 0;
            if self.sent == self.kept.len() {
                self.kept = Vec::new();
                self.sent = 0;
                self.truncated |= self.size > 0;
            }
        }
    }

    /// What was kept, where nothing is missing.
    #[must_use]
    pub fn into_kept(self) -> Option<Vec<Frame>> {
        (self.complete && !self.truncated).then_some(self.kept)
    }

    /// Moves what can be moved; ends when all has been sent.
    pub fn poll_upload<C: Client>(
        &mut self,
        context: &mut Context<'_>,
        client: &mut C,
        endpoint: &mut Exchange,
    ) -> Poll<Result<(), Fault>> {
        self.starved = false;
        loop {
            if self.complete && self.sent == self.kept.len() {
                ready!(endpoint.poll_flush(context)).map_err(Fault::Endpoint)?;
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            ready!(endpoint.poll_ready(context)).map_err(Fault::Endpoint)?;
            if let Some(frame) = self.kept.get(self.sent) {
                endpoint.put(frame.clone());
                self.sent += 1;
                continue;
            }
            match client.poll_frame(context) {
                Poll::Ready(Ok(frame)) => {
                    self.moved += 1;
                    self.take(&frame).map_err(Fault::Client)?;
                    endpoint.put(frame);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Client(refusal(error)))),
                Poll::Pending => {
                    ready!(endpoint.poll_flush(context)).map_err(Fault::Endpoint)?;
                    self.starved = true;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Notes a frame on its way to the endpoint.
    fn take(&mut self, frame: &Frame) -> Result<(), Failed> {
        self.complete = frame.is_last();
        if let Frame::Data(data) = frame {
            self.size += data.len() as u64;
            if self.bound.is_some_and(|bound| self.size > bound) {
                return Err(Cause::BodyTooLarge.into());
            }
        }
        if !self.truncated && self.size <= self.limit {
            self.kept.push(frame.clone());
            self.sent += 1;
        } else {
            self.truncated = true;
            self.kept = Vec::new();
            self.sent = 0;
        }
        Ok(())
    }
}

/// What a client is told whose body cannot be read.
fn refusal(error: Broken) -> Failed {
    match error {
        Broken::Io(_) | Broken::Ended | Broken::Reset(_) | Broken::Unprocessed(_) | Broken::Gone(_) => {
            Failed::Client
        }
        Broken::Protocol(what) => Answer::of(Cause::BadRequest).with_text(what).into(),
    }
}
