//! Ends what would go on for ever, when the proxy goes.
//!
//! In: a WebSocket or a gRPC stream, and the word that the proxy closes. Out: the moment to end it, and how to say so: a
//! Close frame (RFC 6455, 1001 "going away"), or the gRPC code UNAVAILABLE, upon both of which clients connect anew. The
//! moment is one at which nothing is under way: the endpoint has spoken last, and nobody has since.

use crate::{
    drain::Drain,
    http::{
        client::Client,
        endpoint::Exchange,
        wire::{Broken, Frame, Side},
    },
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How long nothing must move.
const QUIET: Duration = Duration::from_millis(20);
/// After so long without such a moment, any is taken at which the endpoint has spoken last.
const LONGEST_SEARCH: Duration = Duration::from_secs(5);
/// How long an endpoint may take to end what it was told to end.
const HEARD: Duration = Duration::from_secs(2);
/// What goes on for so many turns is taken for a stream.
const STREAM: u32 = 3;

/// What it is that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A WebSocket.
    WebSocket,
    /// A gRPC stream.
    Grpc,
    /// Something that cannot be told.
    Other,
}

/// The farewell of one exchange.
pub struct Farewell {
    kind: Kind,
    drain: Drain,
    turns: u32,
    closing: Option<BoxFuture<'static, ()>>,
    since: Option<Instant>,
    /// When something moved last; counts from `since` on.
    moved: Instant,
    /// Whether the client has spoken last.
    unanswered: bool,
}

// === impl Farewell ===

impl Farewell {
    /// The farewell of an exchange that begins to be relayed.
    #[must_use]
    pub fn new(kind: Kind, drain: &Drain, moved: Instant) -> Self {
        Self { kind, drain: drain.clone(), turns: 0, closing: None, since: None, moved, unanswered: false }
    }

    /// Bytes moved: from the client, from the endpoint.
    pub fn moved(&mut self, up: bool, down: bool) {
        if self.since.is_some() && (up || down) {
            self.moved = Instant::now();
        }
        self.unanswered = !down && (up || self.unanswered);
    }

    /// When to look again; none while nothing is to be ended. Registers for the word to close.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Option<Instant> {
        if self.kind == Kind::Other {
            return None;
        }
        if let Some(since) = self.since {
            return Some((self.moved + QUIET).min(since + LONGEST_SEARCH));
        }
        self.turns = self.turns.saturating_add(1);
        if self.turns < STREAM {
            return None; // most gRPC calls end before this
        }
        let drain = &self.drain;
        let closing = self.closing.get_or_insert_with(|| {
            let drain = drain.clone();
            Box::pin(async move { drain.closing().await })
        });
        if closing.as_mut().poll(context).is_pending() {
            return None;
        }
        let now = Instant::now();
        self.since = Some(now);
        self.moved = now;
        Some(now + QUIET)
    }

    /// Whether this is the moment.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let Some(since) = self.since else { return false };
        let quiet = now.saturating_duration_since(self.moved) >= QUIET;
        !self.unanswered && (quiet || now.saturating_duration_since(since) >= LONGEST_SEARCH)
    }
}

/// Says farewell to both sides.
///
/// # Errors
/// Where one of them is gone already.
pub async fn say<C: Client>(kind: Kind, client: &mut C, endpoint: &mut Exchange) -> Result<(), Broken> {
    match kind {
        Kind::Other => Ok(()),
        Kind::WebSocket => {
            // The client's own frames are masked (RFC 6455, section 5.3); a mask of zeros is one.
            let to_client = Bytes::from_static(&[0x88, 2, 0x03, 0xe9]);
            let to_endpoint = Bytes::from_static(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
            send(client, [Frame::Data(to_client), Frame::End]).await?;
            send(endpoint, [Frame::Data(to_endpoint), Frame::End]).await?;
            let _ = timeout(HEARD, read_away(endpoint)).await; // however that went, it is over now
            Ok(())
        }
        Kind::Grpc => {
            let mut trailers = HeaderMap::new();
            trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("14"));
            let text = HeaderValue::from_static("weft: the proxy is going; connect anew");
            trailers.insert(HeaderName::from_static("grpc-message"), text);
            send(client, [Frame::Trailers(trailers)]).await
        }
    }
}

/// Waits for the endpoint's own end. Were its stream of HTTP/2 given up before, what was said last would be taken back.
async fn read_away(endpoint: &mut Exchange) -> Result<(), Broken> {
    while !poll_fn(|context| endpoint.poll_frame(context)).await?.is_last() {}
    Ok(())
}

async fn send<S: Side, const COUNT: usize>(side: &mut S, frames: [Frame; COUNT]) -> Result<(), Broken> {
    for frame in frames {
        poll_fn(|context| side.poll_ready(context)).await?;
        side.put(frame);
    }
    poll_fn(|context| -> Poll<Result<(), Broken>> { side.poll_flush(context) }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Patience;
    use tokio::time::advance;

    async fn closing() -> Farewell {
        let drain = Drain::default();
        let going = drain.clone();
        let patience = Patience { quiet: Duration::ZERO, deadline: Duration::from_secs(60) };
        tokio::spawn(async move { going.go(patience, || 1).await });
        drain.closing().await;
        let mut farewell = Farewell::new(Kind::WebSocket, &drain, Instant::now());
        poll_fn(|context| {
            for _ in 0..STREAM {
                farewell.poll(context);
            }
            Poll::Ready(())
        })
        .await;
        farewell
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_ends_and_one_that_waits_for_its_answer_does_not() {
        let mut farewell = closing().await;
        assert!(!farewell.is_due(Instant::now()), "not before it was quiet for a while");
        farewell.moved(true, false);
        advance(QUIET * 2).await;
        assert!(!farewell.is_due(Instant::now()), "the client has asked something");
        farewell.moved(false, true);
        assert!(!farewell.is_due(Instant::now()));
        advance(QUIET).await;
        assert!(farewell.is_due(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_ends_after_an_answer() {
        let mut farewell = closing().await;
        advance(LONGEST_SEARCH).await;
        farewell.moved(true, false);
        assert!(!farewell.is_due(Instant::now()));
        farewell.moved(false, true);
        assert!(farewell.is_due(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_proxy_stays_nothing_ends() {
        let mut farewell = Farewell::new(Kind::Grpc, &Drain::default(), Instant::now());
        poll_fn(|context| {
            for _ in 0..10 {
                assert_eq!(farewell.poll(context), None);
            }
            Poll::Ready(())
        })
        .await;
        advance(LONGEST_SEARCH * 2).await;
        assert!(!farewell.is_due(Instant::now()));
    }
}
