//! One stream of HTTP/2 after its heads, to a client or to an endpoint.
//!
//! In: the two halves of the stream. Out: bodies both ways as frames, with HTTP/2's flow control behind `poll_ready`: what
//! one side does not read, the other is not asked for.

use super::{Broken, Frame, Side};
use crate::http::head::hygiene;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName};
use std::task::{Context, Poll, ready};

/// The stream.
#[derive(Debug)]
pub struct Http2 {
    /// None where nothing is sent, or not yet.
    pub send: Option<SendStream<Bytes>>,
    /// None where nothing comes, or not yet.
    pub receive: Option<RecvStream>,
    waiting: Bytes,
    last: Option<Last>,
}

/// How the body that is sent ends.
#[derive(Debug)]
enum Last {
    End,
    Trailers(HeaderMap),
}

// === impl Http2 ===

impl Http2 {
    /// A stream whose halves are these.
    #[must_use]
    pub fn new(send: Option<SendStream<Bytes>>, receive: Option<RecvStream>) -> Self {
        Self { send, receive, waiting: Bytes::new(), last: None }
    }

    /// Ends the stream at once, for this reason.
    pub fn reset(&mut self, reason: Reason) {
        if let Some(send) = &mut self.send {
            send.send_reset(reason);
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(send) = &mut self.send else {
            self.waiting.clear();
            self.last = None;
            return Poll::Ready(Ok(()));
        };
        while !self.waiting.is_empty() {
            send.reserve_capacity(self.waiting.len());
            let room = match ready!(send.poll_capacity(context)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(reset(send, context))),
            };
            let piece = self.waiting.split_to(room.min(self.waiting.len()));
            let with_end = self.waiting.is_empty() && matches!(self.last, Some(Last::End));
            send.send_data(piece, with_end)?;
            if with_end {
                self.last = None;
            }
        }
        match self.last.take() {
            None => {}
            Some(Last::End) => send.send_data(Bytes::new(), true)?,
            Some(Last::Trailers(trailers)) => send.send_trailers(trailers)?,
        }
        Poll::Ready(Ok(()))
    }
}

/// Why nothing more can be sent.
fn reset(send: &mut SendStream<Bytes>, context: &mut Context<'_>) -> Broken {
    match send.poll_reset(context) {
        Poll::Ready(Ok(reason)) => Broken::Reset(reason.into()),
        Poll::Ready(Err(error)) => Broken::Reset(error),
        Poll::Pending => Broken::Ended,
    }
}

/// Trailers without what may not be one.
fn clean(mut trailers: HeaderMap) -> HeaderMap {
    let wrong = |name: &&HeaderName| !hygiene::is_trailer(name.as_str().as_bytes());
    while let Some(name) = trailers.keys().find(wrong).cloned() {
        trailers.remove(name);
    }
    trailers
}

impl Side for Http2 {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        let Some(receive) = &mut self.receive else { return Poll::Ready(Ok(Frame::End)) };
        if let Some(data) = ready!(receive.poll_data(context)) {
            let data = data?;
            receive.flow_control().release_capacity(data.len())?;
            return Poll::Ready(Ok(Frame::Data(data)));
        }
        let trailers = ready!(receive.poll_trailers(context))?;
        Poll::Ready(Ok(trailers.map_or(Frame::End, |trailers| Frame::Trailers(clean(trailers)))))
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_send(context)
    }

    fn put(&mut self, frame: Frame) {
        match frame {
            Frame::Data(data) => {
                debug_assert!(self.waiting.is_empty(), "a piece would replace another");
                self.waiting = data;
            }
            Frame::Trailers(trailers) => self.last = Some(Last::Trailers(trailers)),
            Frame::End => self.last = Some(Last::End),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_send(context)
    }
}
