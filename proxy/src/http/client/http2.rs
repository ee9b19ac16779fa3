//! The life of a client's connection of HTTP/2: requests side by side.
//!
//! In: a connection. Out: its requests, each on a task of its own on the same thread. When its listener goes the client is
//! told so by GOAWAY, and what is under way is finished.

use super::side::{Client, Http2Client};
use crate::{
    cause::Cause,
    http::{
        Worker,
        exchange::{self, Call, Known, exchange},
        head::{framing::Framing, hygiene::Hop, translate},
        wire::{alarm::Alarm, http2::Http2, rewound::Rewound},
    },
    middleware::Answer,
};
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::Request;
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
use tokio::time::{Instant, sleep, timeout};

/// How much of one body, and of all bodies of a connection, a client may send before it is asked for more: what a fast
/// network carries within one round trip.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// How many streams that the client has reset may wait to be cleaned up before the connection is ended as an attack
/// (CVE-2023-44487, "rapid reset").
const MOST_RESET: usize = 100;
/// What is right away.
const HASTY: Duration = Duration::from_secs(1);
/// How long a client that was told to go may take to do so when nothing is under way.
const LEAVING: Duration = Duration::from_secs(5);
/// How much of one stream's answer waits in memory for a client that does not read.
const LARGEST_SEND_BUFFER: usize = 256 * 1024;
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

/// Serves a connection to its end.
pub async fn serve(worker: &Arc<Worker>, known: Arc<Known>, io: Rewound) {
    let limits = worker.route(&known).map(|route| route.policy.limits.clone()).unwrap_or_default();
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(worker.limits.http2_streams)
        .max_header_list_size(limits.head_bytes)
        .max_pending_accept_reset_streams(MOST_RESET)
        .max_send_buffer_size(LARGEST_SEND_BUFFER)
        .enable_connect_protocol();
    let handshake = timeout(HANDSHAKE, builder.handshake::<_, Bytes>(io));
    let Ok(Ok(mut connection)) = handshake.await else { return };
    let requests = Arc::new(Requests::default());
    let mut leave = pin!(told_to_leave(worker, &known));
    let mut alarm = Alarm::default();
    let mut leaving = false;
    loop {
        let mut rests = None;
        let accepted = poll_fn(|context| {
            loop {
                if let Poll::Ready(accepted) = connection.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
                if leaving || leave.as_mut().poll(context).is_pending() {
                    if requests.under_way.load(Ordering::Relaxed) > 0 {
                        return Poll::Pending;
                    }
                    let patience = if leaving { LEAVING } else { worker.limits.idle };
                    let until = *rests.get_or_insert_with(|| Instant::now() + patience);
                    ready!(alarm.poll(context, until));
                    if leaving {
                        return Poll::Ready(None); // it does not even read that it shall go
                    }
                }
                (leaving, rests) = (true, None);
                connection.graceful_shutdown();
            }
        })
        .await;
        let Some(Ok((request, respond))) = accepted else { return };
        if requests.is_attack(worker.limits.http2_resets) {
            tracing::debug!(client = %known.client.address, "ended: the client resets what it asks for");
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            continue;
        }
        let counted = UnderWay::new(&requests);
        let (worker, known) = (Arc::clone(worker), Arc::clone(&known));
        // Read here and only borrowed there: what an async function takes by value it keeps twice. And boxed, for a task moves
        // what it runs several times.
        let mut asked = Asked::read(request, respond);
        tokio::spawn(Box::pin(async move {
            let started = Instant::now();
            let answered = asked.answer(&worker, &known).await;
            if !answered && started.elapsed() < HASTY {
                counted.0.hasty.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
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
    fn read(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let ended = body.is_end_stream();
        let stream = Http2::new(None, Some(body));
        let read = translate::request(&parts).and_then(|request| {
            let length = translate::length(&request.head)?;
            Ok((request, length))
        });
        let (request, length) = match read {
            Ok(read) => read,
            Err(error) => {
                let answer = Answer::of(Cause::BadRequest).with_text(error.to_string());
                return Self { client: Http2Client::unread(respond, stream), call: Err(answer) };
            }
        };
        let framing = match length {
            // What follows a request for another protocol is that protocol's, once it is agreed on.
            _ if ended || request.protocol.is_some() => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let trailers = request.head.get("te").is_some();
        let hop = Hop { trailers, ..Hop::default() };
        let upgrade = request.protocol.clone();
        let client = Http2Client::new(respond, stream, &request);
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
