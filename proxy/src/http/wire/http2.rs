//! One stream of HTTP/2 after its heads, to a client or to an endpoint.
//!
//! In: the two halves of the stream. Out: bodies both ways as frames, with HTTP/2's flow control behind `poll_ready`: what
//! one side does not read, the other is not asked for.

use super::{Broken, Frame, Side};
use crate::http::head::hygiene;
use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use std::{
    mem,
    task::{Context, Poll, ready},
};

/// A piece of at least this size is not copied, and with so much gathered nothing more is taken.
const LARGE: usize = 8 * 1024;
/// How much that was read the sender may at most not have been told of: telling it of each small frame costs as much as
/// reading one.
const UNTOLD: usize = 16 * 1024;

/// The stream.
#[derive(Debug)]
pub struct Http2 {
    /// None where nothing is sent, or not yet.
    pub send: Option<SendStream<Bytes>>,
    /// None where nothing comes, or not yet.
    pub receive: Option<RecvStream>,
    /// Small pieces, gathered into one frame: a stream of small messages costs by the frame.
    gathered: BytesMut,
    /// A piece that is large enough for frames of its own.
    waiting: Bytes,
    last: Option<Last>,
    /// What was read, and the sender may send again, but was not told of.
    untold: usize,
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
        Self { send, receive, gathered: BytesMut::new(), waiting: Bytes::new(), last: None, untold: 0 }
    }

    /// Ends the stream at once, for this reason.
    pub fn reset(&mut self, reason: Reason) {
        if let Some(send) = &mut self.send {
            send.send_reset(reason);
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(send) = &mut self.send else {
            self.gathered.clear();
            self.waiting.clear();
            self.last = None;
            return Poll::Ready(Ok(()));
        };
        loop {
            if self.waiting.is_empty() {
                self.waiting = self.gathered.split().freeze();
            }
            if self.waiting.is_empty() {
                break;
            }
            send.reserve_capacity(self.waiting.len());
            let room = match ready!(send.poll_capacity(context)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(reset(send, context))),
            };
            let piece = self.waiting.split_to(room.min(self.waiting.len()));
            let all = self.waiting.is_empty() && self.gathered.is_empty();
            let with_end = all && matches!(self.last, Some(Last::End));
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

impl Side for Http2 {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        let Some(receive) = &mut self.receive else { return Poll::Ready(Ok(Frame::End)) };
        let came = receive.poll_data(context);
        if let Poll::Ready(Some(Ok(data))) = &came {
            self.untold += data.len();
        }
        // Where nothing more is there it is told at once, for it may wait for that.
        if self.untold >= UNTOLD || (self.untold > 0 && !matches!(came, Poll::Ready(Some(_)))) {
            receive.flow_control().release_capacity(mem::take(&mut self.untold))?;
        }
        if let Some(data) = ready!(came) {
            return Poll::Ready(Ok(Frame::Data(data?)));
        }
        let trailers = ready!(receive.poll_trailers(context))?;
        Poll::Ready(Ok(trailers.map_or(Frame::End, |trailers| Frame::trailers(hygiene::trailing(trailers)))))
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.waiting.is_empty() && self.gathered.len() < LARGE {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(context)
    }

    fn put(&mut self, frame: Frame) {
        match frame {
            Frame::Data(data) if self.gathered.is_empty() && data.len() >= LARGE => self.waiting = data,
            Frame::Data(data) => {
                if !self.gathered.is_empty() && self.gathered.capacity() - self.gathered.len() < data.len() {
                    self.gathered.reserve(LARGE); // there will be more of them
                }
                self.gathered.extend_from_slice(&data);
            }
            Frame::Trailers(trailers) => self.last = Some(Last::Trailers(trailers)),
            Frame::End => self.last = Some(Last::End),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_send(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::{future::poll_fn, time::Duration};
    use tokio::{io::duplex, time::timeout};

    #[tokio::test]
    async fn a_sender_that_waits_is_told_what_was_read() {
        let (ours, theirs) = duplex(1024 * 1024);
        let sender = async {
            let (mut send, connection) = h2::client::handshake(theirs).await.unwrap();
            tokio::spawn(connection);
            let (answer, mut body) =
                send.send_request(Request::get("http://a/").body(()).unwrap(), false).unwrap();
            body.send_data(Bytes::from(vec![7; 64 * 1024]), true).unwrap();
            (send, answer, body)
        };
        let window = u32::try_from(UNTOLD / 2).unwrap();
        let receiver = h2::server::Builder::new().initial_window_size(window).handshake::<_, Bytes>(ours);
        let (_sending, receiver) = tokio::join!(sender, receiver);
        let mut receiver = receiver.unwrap();
        let (request, _respond) = receiver.accept().await.unwrap().unwrap();
        tokio::spawn(async move { receiver.accept().await.is_none() });
        let mut stream = Http2::new(None, Some(request.into_body()));
        let mut came = 0;
        loop {
            let next = poll_fn(|context| stream.poll_frame(context));
            let frame = timeout(Duration::from_secs(10), next).await.expect("the sender goes on").unwrap();
            match frame {
                Frame::Data(data) => came += data.len(),
                Frame::Trailers(_) | Frame::End => break,
            }
        }
        assert_eq!(came, 64 * 1024);
    }
}
