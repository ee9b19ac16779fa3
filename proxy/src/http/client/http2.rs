//! The life of a client's connection of HTTP/2: requests side by side.
//!
//! In: a connection. Out: its requests, each on a task of its own on the same thread. When its listener goes the client is
//! told so by GOAWAY, and what is under way is finished.

use super::{
    linger::linger,
    side::{Client, Http2Client},
};
use crate::{
    cause::Cause,
    http::{
        Worker,
        exchange::{self, Call, Known, exchange},
        head::{framing::Framing, hygiene::Hop},
        http2::{self, Connection, Ours, Reason, Refused},
        wire::{alarm::Alarm, stream::Stream},
    },
    middleware::Answer,
};
use bytes::BytesMut;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

/// How much of one body, and of all bodies of a connection, a client may send before it is asked for more: what a fast
/// network carries within one round trip.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// After so many requests at once, those that were read get their turn: some of them may have been given up already
/// (CVE-2023-44487, "rapid reset").
const BATCH: usize = 32;
/// How much of what a client still sends is read away when its connection has ended, so that it can read why.
const LEFT: u64 = 1024 * 1024;
/// What is right away.
const HASTY: Duration = Duration::from_secs(1);
/// How long a client that was told to go may take to do so when nothing is under way.
const LEAVING: Duration = Duration::from_secs(5);
/// How long a connection of a retiring proxy goes on before its client is told: until the mesh's Services lead elsewhere,
/// for a client that is told connects anew at once.
const BEFORE_GOAWAY: Duration = Duration::from_secs(1);
/// How long the first settings may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The requests of a connection.
#[derive(Default)]
struct Requests {
    all: AtomicUsize,
    under_way: AtomicUsize,
    /// The client gave up right away.
    hasty: AtomicUsize,
}

/// One that is under way, until this is dropped.
struct UnderWay(Arc<Requests>);

/// Serves a connection to its end; `input` was read of it already, its preface the first.
pub async fn serve(worker: &Arc<Worker>, known: Arc<Known>, socket: Stream, input: BytesMut) {
    let mut connection = Connection::server(ours(worker, &known), socket, input);
    let requests = Arc::new(Requests::default());
    let mut leave = pin!(told_to_leave(worker, &known));
    let mut alarm = Alarm::default();
    let (mut leaving, mut settled) = (false, false);
    let mut batch = 0;
    loop {
        if batch == BATCH {
            batch = 0;
            yield_now().await;
        }
        batch += 1;
        let mut rests = None;
        let accepted = poll_fn(|context| {
            loop {
                if let Poll::Ready(accepted) = connection.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
                batch = 0;
                if leaving || leave.as_mut().poll(context).is_pending() {
                    if requests.under_way.load(Ordering::Relaxed) > 0 {
                        return Poll::Pending;
                    }
                    if connection.is_settled() != settled {
                        (settled, rests) = (true, None);
                    }
                    let patience = patience(worker, leaving, settled);
                    let until = *rests.get_or_insert_with(|| Instant::now() + patience);
                    ready!(alarm.poll(context, until));
                    if leaving || !settled {
                        return Poll::Ready(None); // it does not even read that it shall go
                    }
                }
                (leaving, rests) = (true, None);
                connection.leave();
            }
        })
        .await;
        let Some(asked) = accepted else { break };
        let counted = UnderWay::new(&requests);
        if requests.is_attack(worker.limits.http2_resets) {
            tracing::debug!(client = %known.client.address, "ended: the client resets what it asks for");
            connection.end(Reason::ENHANCE_YOUR_CALM, "too much was given up");
            continue;
        }
        if asked.stream.has_failed() {
            requests.hasty.fetch_add(1, Ordering::Relaxed); // it was given up before it was looked at
            continue;
        }
        answer(Arc::clone(worker), Arc::clone(&known), Asked::read(asked), counted);
    }
    if let Some(what) = connection.failure() {
        tracing::debug!(client = %known.client.address, what, "a connection ended");
    }
    linger(connection.into_socket(), LEFT).await;
}

/// How long a connection may rest.
fn patience(worker: &Worker, leaving: bool, settled: bool) -> Duration {
    match (leaving, settled) {
        (true, _) => LEAVING,
        (false, true) => worker.limits.idle,
        (false, false) => HANDSHAKE,
    }
}

fn ours(worker: &Worker, known: &Known) -> Ours {
    let limits = worker.route(known).map(|route| route.policy.limits.clone()).unwrap_or_default();
    Ours {
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        head_bytes: limits.head_bytes,
        streams: worker.limits.http2_streams,
    }
}

/// Answers a request on a task of its own. What it is was read before and is only borrowed there: what an async function takes
/// by value it keeps twice. And it is boxed, for a task moves what it runs several times.
fn answer(worker: Arc<Worker>, known: Arc<Known>, mut asked: Asked, counted: UnderWay) {
    tokio::spawn(Box::pin(async move {
        let started = Instant::now();
        let answered = asked.answer(&worker, &known).await;
        if !answered && started.elapsed() < HASTY {
            counted.0.hasty.fetch_add(1, Ordering::Relaxed);
        }
    }));
}

/// Ends when the client is to be told to connect anew.
async fn told_to_leave(worker: &Worker, known: &Known) {
    let retired = async {
        worker.status.drain.retiring().await;
        sleep(BEFORE_GOAWAY).await;
    };
    tokio::select! {
        () = known.arrival.stop.cancelled() => {}
        () = retired => {}
    }
}

// === impl Requests ===

impl Requests {
    fn is_attack(&self, most: usize) -> bool {
        let hasty = self.hasty.load(Ordering::Relaxed);
        hasty > most && hasty * 2 > self.all.load(Ordering::Relaxed)
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn new(requests: &Arc<Requests>) -> Self {
        requests.all.fetch_add(1, Ordering::Relaxed);
        requests.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(requests))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that was read, or one that cannot be.
struct Asked {
    client: Http2Client,
    call: Result<Call, Answer>,
}

// === impl Asked ===

impl Asked {
    fn read(asked: http2::Asked) -> Self {
        let started = Instant::now();
        let http2::Asked { request, stream, ends } = asked;
        let (request, length) = match request {
            Ok(request) => request,
            Err(refused) => {
                let cause = match refused {
                    Refused::TooLarge => Cause::HeadTooLarge,
                    Refused::Malformed(_) | Refused::Unforwardable(_) => Cause::BadRequest,
                };
                let answer = Answer::of(cause).with_text(refused.to_string());
                return Self { client: Http2Client::unread(stream), call: Err(answer) };
            }
        };
        let framing = match length {
            // What follows a request for another protocol is that protocol's, once it is agreed on.
            _ if ends || request.protocol.is_some() => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let trailers = request.head.get("te").is_some();
        let hop = Hop { trailers, ..Hop::default() };
        let upgrade = request.protocol.clone();
        let client = Http2Client::new(stream, &request);
        Self { client, call: Ok(Call { started, request, hop, framing, upgrade }) }
    }

    /// Answers it; false where its client gave up before there was an answer.
    async fn answer(&mut self, worker: &Worker, known: &Known) -> bool {
        let Self { client, call } = self;
        match call {
            Ok(call) => exchange(worker, known, call, client, &mut Alarm::default()).await,
            Err(answer) => {
                exchange::refuse(worker, known, client, answer).await;
            }
        }
        client.is_answered()
    }
}
