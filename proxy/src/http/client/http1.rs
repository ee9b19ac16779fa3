//! The life of a client's connection: one request after another; or HTTP/2, where its first bytes say so.
//!
//! In: a connection. Out: its requests. While it rests it holds no buffer, and it ends at once when its listener goes or
//! when it rested too long.

use super::{
    http2,
    linger::linger,
    side::{Http1Client, Next},
    upgrade::{self, Agreed},
};
use crate::{
    cause::Cause,
    http::{
        Worker,
        exchange::{self, Call, Known, exchange},
        head::{RequestHead, framing, hygiene, parse, parse::Bounds},
        http2::PREFACE,
        wire::{alarm::Alarm, http1::Http1, stream::Stream},
    },
    middleware::Answer,
    route::Route,
};
use bytes::BytesMut;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};
use weft_contract::policy::RequestLimits;

/// How long a client that connected just before its listener went may still send its first request.
const FIRST: Duration = Duration::from_millis(500);

/// What came next on a connection.
enum Came {
    /// A request.
    Request(RequestHead),
    /// The first bytes of HTTP/2.
    Http2,
    /// Nothing that can be answered.
    Nothing,
    /// Something that is refused.
    Refused(Answer),
}

/// Serves a connection to its end.
pub async fn serve(worker: &Arc<Worker>, known: Arc<Known>, tcp: TcpStream) {
    let mut connection = Box::new(Http1::new(Stream::Plain(tcp)));
    let mut alarm = Alarm::default();
    let stop = known.arrival.stop.clone();
    let mut stopped = pin!(stop.cancelled());
    let mut first = true;
    loop {
        connection.rest();
        if !rest(worker, &mut connection, &mut alarm, stopped.as_mut(), first).await {
            return;
        }
        let route = worker.route(&known);
        // On the heap, and only as long as there is a request: a connection that rests is small.
        let turn = Box::pin(turn(worker, &known, route, connection, &mut alarm, first));
        connection = match turn.await {
            Turn::Next(next) => next,
            Turn::Http2(before, stream) => {
                return Box::pin(http2::serve(worker, known, stream, before)).await; // large, and few
            }
            Turn::End => return,
        };
        first = false;
    }
}

/// Waits for the next request; false where there will be none.
async fn rest(
    worker: &Worker,
    connection: &mut Http1,
    alarm: &mut Alarm,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
    first: bool,
) -> bool {
    if !connection.input.is_empty() {
        return true; // it came together with the last one
    }
    let mut until = Instant::now() + worker.limits.idle;
    let mut stopping = false;
    poll_fn(|context| {
        // A request that is already there is served, also when the listener goes at the same moment.
        if let Poll::Ready(readable) = connection.stream.poll_readable(context) {
            return Poll::Ready(readable.is_ok());
        }
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            if !first {
                return Poll::Ready(false);
            }
            stopping = true;
            until = until.min(Instant::now() + FIRST);
        }
        alarm.poll(context, until).map(|()| false)
    })
    .await
}

/// How the connection goes on after one turn.
enum Turn {
    Next(Box<Http1>),
    Http2(BytesMut, Stream),
    End,
}

/// One request and its answer.
async fn turn(
    worker: &Arc<Worker>,
    known: &Known,
    route: Option<Arc<Route>>,
    mut connection: Box<Http1>,
    alarm: &mut Alarm,
    first: bool,
) -> Turn {
    let limits = route.map(|route| route.policy.limits.clone()).unwrap_or_default();
    let request = match read(&mut connection, alarm, &limits, first).await {
        Came::Request(request) => request,
        Came::Http2 => return Turn::Http2(connection.input.split(), connection.stream),
        Came::Nothing => return Turn::End,
        Came::Refused(answer) => return refuse(worker, known, connection, answer).await,
    };
    let started = Instant::now();
    let hop = hygiene::hop(&request.head, request.version);
    let framing = match framing::request(&request) {
        Ok(framing) => framing,
        Err(error) => {
            let cause =
                if error == framing::Error::Coding { Cause::NotImplemented } else { Cause::BadRequest };
            let answer = Answer::of(cause).with_text(error.to_string());
            return refuse(worker, known, connection, answer).await;
        }
    };
    match upgrade::h2c(&request, &hop, framing, &mut connection).await {
        Agreed::No => {}
        Agreed::Http2(before) => return Turn::Http2(before, connection.stream),
        Agreed::Broken => return Turn::End,
    }
    let upgrade = upgrade::protocol(&request, &hop);
    connection.expect_body(framing);
    let mut client = Http1Client::new(connection, &request, &hop, upgrade.clone());
    let call = Call { started, request, hop, framing, upgrade };
    exchange(worker, known, &call, &mut client, alarm).await;
    match client.finish() {
        Next::Request(connection) => Turn::Next(connection),
        Next::Linger(connection) => {
            linger(connection.stream, u64::MAX).await;
            Turn::End
        }
        Next::Close => Turn::End,
    }
}

/// Reads a request's head.
async fn read(connection: &mut Http1, alarm: &mut Alarm, limits: &RequestLimits, first: bool) -> Came {
    let bounds = Bounds { bytes: limits.head_bytes as usize, fields: limits.header_count as usize };
    let until = Instant::now() + limits.head_timeout;
    let mut looked = 0;
    poll_fn(|context| {
        loop {
            if first && begins_http2(&connection.input) {
                if connection.input.len() >= PREFACE.len() {
                    return Poll::Ready(Came::Http2);
                }
            } else if may_be_complete(&connection.input, looked) {
                looked = connection.input.len();
                match parse::request(&mut connection.input, bounds) {
                    Ok(Some(request)) => return Poll::Ready(Came::Request(request)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Came::Refused(refusal(error))),
                }
            } else if connection.input.len() > bounds.bytes {
                return Poll::Ready(Came::Refused(Answer::of(Cause::HeadTooLarge)));
            }
            match connection.poll_fill(context) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Came::Nothing),
                Poll::Pending => {
                    let late = alarm.poll(context, until);
                    return late.map(|()| Came::Refused(Answer::of(Cause::RequestTimeout)));
                }
            }
        }
    })
    .await
}

/// Whether a connection's first bytes are HTTP/2's, as far as they have come.
fn begins_http2(input: &[u8]) -> bool {
    let here = input.len().min(PREFACE.len());
    here > 0 && input[..here] == PREFACE[..here]
}

/// Whether it is worth while to parse: a client that sends byte by byte must not make each one cost a whole head.
fn may_be_complete(input: &[u8], looked: usize) -> bool {
    if input.is_empty() || input.len() == looked {
        return false;
    }
    let new = &input[looked.saturating_sub(3)..];
    looked == 0 || new.windows(2).any(|pair| pair == b"\n\n" || pair == b"\n\r")
}

fn refusal(error: parse::Error) -> Answer {
    match error {
        parse::Error::TooLarge => Answer::of(Cause::HeadTooLarge),
        parse::Error::Version => Answer::of(Cause::BadRequest).with_status(505).with_text(error.to_string()),
        parse::Error::Syntax(_) => Answer::of(Cause::BadRequest).with_text(error.to_string()),
    }
}

/// Answers what cannot be exchanged, and ends the connection: nobody knows where the next request would begin.
async fn refuse(worker: &Worker, known: &Known, connection: Box<Http1>, answer: Answer) -> Turn {
    tracing::debug!(client = %known.client.address, flag = answer.cause.flag(), text = %answer.text, "refused");
    let mut client = Http1Client::unread(connection);
    if exchange::refuse(worker, known, &mut client, &answer).await {
        linger(client.connection.stream, u64::MAX).await;
    }
    Turn::End
}
