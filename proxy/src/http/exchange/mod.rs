//! One request, from its head to the last byte of its answer.
//!
//! In: a request on a client's connection. Out: the answer of an endpoint, or one of the proxy's own that says why there is
//! none. The steps, in this order: admit, wait, try (and try again), relay; and whatever came of it is counted once.

mod access;
mod admit;
mod deadline;
mod farewell;
mod one_try;
mod outcome;
mod record;
mod relay;
mod replay;
mod tries;
mod way;

pub use access::TARGET as ACCESS_LOG;
pub use way::open_to_copy;

use super::{
    Worker,
    client::Client,
    head::{RequestHead, framing::Framing, hygiene::Hop},
    wire::{Frame, alarm::Alarm},
};
use crate::{
    cause::Cause,
    guard::SourceSlot,
    listen::Arrival,
    middleware,
    middleware::{Answer, Changes},
    route::{NoWay, Route, Way},
};
use bytes::Bytes;
use http::{HeaderMap, Version};
use std::{
    mem,
    sync::{Arc, OnceLock},
    task::Poll,
};
use tokio::time::Instant;

/// Who is connected, and where; made once for a connection.
#[derive(Debug)]
pub struct Known {
    /// Where the connection arrived.
    pub arrival: Arrival,
    /// Who it is.
    pub client: middleware::Client,
    /// Its part in the bulkhead, once it has asked for something.
    source: OnceLock<SourceSlot>,
}

/// A request whose head was read.
#[derive(Debug)]
pub struct Call {
    /// When its first byte came, or so.
    pub started: Instant,
    /// Its head.
    pub request: RequestHead,
    /// What the connection's own fields of the head said.
    pub hop: Hop,
    /// How its body ends.
    pub framing: Framing,
    /// The protocol that it wants to change to.
    pub upgrade: Option<Bytes>,
}

/// Why an exchange came to no answer of an endpoint.
#[derive(Debug)]
pub enum Failed {
    /// The client is gone, or broke the protocol within its body.
    Client,
    /// The proxy answers itself.
    Answer(Box<Answer>),
}

// === impl Failed ===

impl Failed {
    /// The same, so that a page of another origin can read why, if it could read the endpoint's answer.
    fn with_cors(self, changes: &Changes) -> Self {
        match self {
            Self::Client => Self::Client,
            Self::Answer(answer) => answer.with_cors(changes).into(),
        }
    }
}

impl From<Answer> for Failed {
    fn from(answer: Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl From<Cause> for Failed {
    fn from(cause: Cause) -> Self {
        Self::Answer(Box::new(Answer::of(cause)))
    }
}

// === impl Known ===

impl Known {
    /// What is known of a connection that arrived.
    #[must_use]
    pub fn new(arrival: Arrival) -> Self {
        let client = middleware::Client::new(arrival.client.ip());
        Self { arrival, client, source: OnceLock::new() }
    }
}

/// Exchanges one request for its answer.
pub async fn exchange<C: Client>(
    worker: &Worker,
    known: &Known,
    call: &Call,
    client: &mut C,
    alarm: &mut Alarm,
) {
    let grpc = call.request.is_grpc();
    let Some((route, way)) = way::find(worker, known, &call.request) else {
        client.leave();
        own_answer(worker, client, &Answer::of(Cause::NoService), grpc).await;
        return;
    };
    let line = access::Line::begin(known, &route.target, call);
    let mut record = record::Record::new(Arc::clone(&route.traffic), call.started, line);
    let done = answered(worker, known, &route, way, call, client, alarm, &mut record).await;
    match done {
        Ok(()) => {}
        Err(Failed::Client) => {
            record.client_gone();
            client.abort();
        }
        Err(Failed::Answer(answer)) => {
            record.own(answer.cause, answer.status);
            tracing::debug!(
                service = %route.target.service,
                flag = answer.cause.flag(),
                status = answer.status,
                "answered by the proxy"
            );
            if client.is_answered() {
                let tell = grpc && call.request.version == Version::HTTP_2;
                if !(tell && end_call(client, answer.grpc_trailers(&worker.node)).await) {
                    client.abort();
                }
            } else {
                // Whoever breaks the rules may mean something else by what follows; and so does what follows CONNECT.
                let astray = answer.status == 400 || answer.cause == Cause::MethodRefused;
                if astray || worker.is_leaving(known) {
                    client.leave();
                }
                own_answer(worker, client, &answer, grpc).await;
            }
        }
    }
}

#[allow(clippy::too_many_arguments)] // what an exchange has, each borrowed for itself
async fn answered<C: Client>(
    worker: &Worker,
    known: &Known,
    route: &Arc<Route>,
    way: Result<Way, NoWay>,
    call: &Call,
    client: &mut C,
    alarm: &mut Alarm,
    record: &mut record::Record,
) -> Result<(), Failed> {
    let mut admitted = admit::admit(worker, known, route, way, call)?;
    let mut deadlines = deadline::Deadlines::new(route, call);
    if admitted.must_wait() {
        Box::pin(admit::wait(&mut admitted, client, alarm, &deadlines)).await?; // rare
        admitted.ready = Instant::now();
    }
    record.splits(admitted.way.backend.take());
    let mut tried = tries::tries(worker, route, call, &admitted, client, alarm, &mut deadlines, record)
        .await
        .map_err(|failed| failed.with_cors(&admitted.changes))?;
    let relayed =
        relay::relay(worker, known, call, &mut admitted, &mut tried, client, alarm, &mut deadlines, record)
            .await
            .map_err(|failed| failed.with_cors(&admitted.changes))?;
    relay::finish(worker, known, route, call, &admitted.changes, tried, relayed);
    Ok(())
}

/// Ends a gRPC call whose answer has begun with a status, which says more than a reset. False where the client does not
/// even read what is already there.
async fn end_call<C: Client>(client: &mut C, mut trailers: HeaderMap) -> bool {
    std::future::poll_fn(|context| {
        if !matches!(client.poll_ready(context), Poll::Ready(Ok(()))) {
            return Poll::Ready(false);
        }
        client.put(Frame::Trailers(mem::take(&mut trailers)));
        Poll::Ready(matches!(client.poll_flush(context), Poll::Ready(Ok(()))))
    })
    .await
}

/// Answers what cannot be exchanged, and counts that; false where the client is gone.
pub async fn refuse<C: Client>(worker: &Worker, known: &Known, client: &mut C, answer: &Answer) -> bool {
    if let Some(route) = worker.route(known) {
        route.traffic.own(answer.cause);
    }
    own_answer(worker, client, answer, false).await
}

/// Sends an answer of the proxy's own; false where the client is gone, which needs none.
async fn own_answer<C: Client>(worker: &Worker, client: &mut C, answer: &Answer, grpc: bool) -> bool {
    client.put_own(answer.render(&worker.node, grpc));
    std::future::poll_fn(|context| client.poll_flush(context)).await.is_ok()
}
