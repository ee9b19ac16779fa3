//! The client of the service.
//!
//! In: a URL and a method. Out: the outcome of each call, or of each message of a stream both ways.

use super::{
    Kind, SERVICE,
    message::{Ask, Reply},
};
use crate::{
    answer::Answer,
    arguments::{Grpc as Arguments, Series},
    client::{Outcome, fields, is_unprocessed},
    gather::{Teller, gather},
    lookup::Names,
    series::{End, Line, Lines, Place, Plan, exchange},
    summary::Summary,
};
use anyhow::{Context, Result};
use futures::{StreamExt, channel::mpsc, stream};
use hyper::{HeaderMap, Uri};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Code, Extensions, Request, Status, Streaming, body::Body, client::Grpc, codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
};
use tonic_prost::ProstCodec;

type Connection = Pool<HttpConnector<Names>, Body>;

/// What every call has in common.
#[derive(Clone)]
struct Call {
    connection: Connection,
    url: Uri,
    arguments: Arc<Arguments>,
}

/// Makes all calls; what they came to.
pub async fn run(arguments: Arguments) -> Result<Summary> {
    let (count, print) = (arguments.series.count, !arguments.summary);
    let calls = calls(arguments)?;
    gather(count, calls.len(), print, |sender, count, teller| calls[sender].clone().send(count, teller)).await
}

/// Makes one call.
#[cfg(test)]
pub async fn one(arguments: Arguments) -> Result<Outcome> {
    Ok(calls(arguments)?[0].call(0, &mut Lines::default()).await)
}

/// What each sender has: several share a connection.
fn calls(arguments: Arguments) -> Result<Vec<Call>> {
    let url: Uri = arguments.url.parse().with_context(|| format!("{:?} is not a URL", arguments.url))?;
    let host = url.host().filter(|_| url.scheme_str() == Some("http"));
    let names = Names::of(host.with_context(|| format!("{url} is not a URL such as http://HOST/"))?)?;
    let (connections, concurrency) = (arguments.series.connections.get(), arguments.concurrency.get());
    let arguments = Arc::new(arguments);
    let connected = (0..connections).flat_map(|_| {
        let call =
            Call { connection: connection(&names), url: url.clone(), arguments: Arc::clone(&arguments) };
        std::iter::repeat_n(call, concurrency.into())
    });
    Ok(connected.collect())
}

/// What opens one connection at a time, and the next where that one has ended.
fn connection(names: &Names) -> Connection {
    let mut connector = HttpConnector::new_with_resolver(names.clone());
    connector.set_nodelay(true);
    Pool::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

impl Call {
    /// Makes so many calls, one after the other.
    async fn send(self, count: u64, teller: Teller) -> Lines {
        let Series { interval, timeout: limit, reconnect, .. } = self.arguments.series;
        let messages = self.arguments.messages;
        let tell = |outcome| drop(teller.send(outcome));
        if self.arguments.kind == Kind::Bidi {
            let messages_in_all = count * messages.get();
            let plan =
                Plan { messages: messages_in_all, per_line: Some(messages), interval, limit, reconnect };
            return exchange(&self, plan, tell).await;
        }
        let mut lines = Lines::default();
        for number in 0..count {
            if number > 0 {
                sleep(interval).await;
            }
            let start = Instant::now();
            let mut outcome = timeout(limit, self.call(number, &mut lines))
                .await
                .unwrap_or_else(|_| Outcome { answer: Err("timeout".to_owned()), ..Outcome::default() });
            (outcome.start, outcome.latency) = (start, start.elapsed());
            tell(outcome);
        }
        lines
    }

    /// Makes one call. One that the server says it never looked at is made once more, as gRPC's clients do ("transparent
    /// retries" of its proposal A6).
    async fn call(&self, number: u64, lines: &mut Lines) -> Outcome {
        let mut called = self.once(number).await;
        if called.as_ref().is_err_and(|status| is_unprocessed(status)) {
            lines.resent += 1;
            called = self.once(number).await;
        }
        let (answer, metadata) = match called {
            Ok((reply, metadata)) => (Ok(reply.into()), metadata),
            Err(status) => (Err(text(&status)), status.metadata().clone().into_headers()),
        };
        Outcome { answer, headers: fields(&metadata), ..Outcome::default() }
    }

    /// The reply, or the first of them, with the metadata before and behind it.
    async fn once(&self, number: u64) -> Result<(Reply, HeaderMap), Status> {
        let messages = self.arguments.messages.get();
        let interval = self.arguments.series.interval;
        let (mut grpc, path, codec) = (self.grpc(), self.path()?, ProstCodec::<Ask, Reply>::default());
        match self.arguments.kind {
            Kind::Unary => {
                let reply = grpc.unary(self.request(self.ask(number)), path, codec).await?;
                let (metadata, reply, _) = reply.into_parts();
                expect(reply.number, number)?;
                Ok((reply, metadata.into_headers()))
            }
            Kind::Client => {
                let asks: Vec<Ask> = (0..messages).map(|number| self.ask(number)).collect();
                let asks = stream::iter(asks).enumerate().then(move |(index, ask)| async move {
                    if index > 0 {
                        sleep(interval).await;
                    }
                    ask
                });
                let reply = grpc.client_streaming(self.request(asks), path, codec).await?;
                let (metadata, reply, _): (_, Reply, _) = reply.into_parts();
                expect(reply.number, messages)?;
                Ok((reply, metadata.into_headers()))
            }
            Kind::Server | Kind::Bidi => {
                let replies = grpc.server_streaming(self.request(self.ask(number)), path, codec).await?;
                let (metadata, replies, _) = replies.into_parts();
                let mut metadata = metadata.into_headers();
                let (reply, trailers) = all(replies, messages).await?;
                metadata.extend(trailers.into_headers());
                Ok((reply, metadata))
            }
        }
    }

    fn grpc(&self) -> Grpc<Connection> {
        Grpc::with_origin(self.connection.clone(), self.url.clone())
    }

    fn path(&self) -> Result<PathAndQuery, Status> {
        let path = format!("{SERVICE}{}", self.arguments.kind.name());
        path.parse().map_err(|_| Status::internal("this is not a path"))
    }

    fn ask(&self, number: u64) -> Ask {
        let Arguments { messages, payload, code, series, .. } = &*self.arguments;
        let interval_ms = u64::try_from(series.interval.as_millis()).unwrap_or(u64::MAX);
        let payload = vec![b'w'; *payload].into();
        Ask { number, payload, messages: messages.get(), interval_ms, code: *code }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let headers: HeaderMap = self.arguments.metadata.iter().cloned().collect();
        let mut request =
            Request::from_parts(MetadataMap::from_headers(headers), Extensions::default(), message);
        if let Some(deadline) = self.arguments.deadline {
            request.set_timeout(deadline); // told to the other side, which must keep it; the client's own limit is another
        }
        request
    }
}

/// The first of a stream of replies, numbered from 0, and the trailers behind the last.
async fn all(mut replies: Streaming<Reply>, messages: u64) -> Result<(Reply, MetadataMap), Status> {
    let (mut first, mut count) = (None, 0);
    while let Some(reply) = replies.message().await? {
        expect(reply.number, count)?;
        count += 1;
        first.get_or_insert(reply);
    }
    expect(count, messages)?;
    let trailers = replies.trailers().await?.unwrap_or_default();
    Ok((first.unwrap_or_default(), trailers))
}

fn expect(is: u64, should_be: u64) -> Result<(), Status> {
    if is == should_be { Ok(()) } else { Err(Status::data_loss(format!("{is} instead of {should_be}"))) }
}

/// A status as it is summed up.
fn text(status: &Status) -> String {
    format!("grpc {} {}", status.code() as i32, status.message())
}

/// A stream both ways.
struct Stream {
    asks: mpsc::UnboundedSender<Ask>,
    replies: Streaming<Reply>,
    next: Ask,
}

impl Place for Call {
    type Line = Stream;

    async fn open(&self) -> Result<Stream, End> {
        let (asks, receiver) = mpsc::unbounded();
        let path = self.path().map_err(end)?;
        let replies = self.grpc().streaming(self.request(receiver), path, ProstCodec::default()).await;
        Ok(Stream { asks, replies: replies.map_err(end)?.into_inner(), next: self.ask(0) })
    }
}

impl Line for Stream {
    async fn send(&mut self, number: u64) -> Result<(), End> {
        // Where the stream has ended, what ended it is read next.
        let _ = self.asks.unbounded_send(Ask { number, ..self.next.clone() });
        Ok(())
    }

    async fn receive(&mut self) -> Result<(u64, Answer), End> {
        match self.replies.message().await {
            Ok(Some(reply)) => Ok((reply.number, reply.into())),
            Ok(None) => Err(End::Orderly("the stream ended".to_owned())),
            Err(status) => Err(end(status)),
        }
    }

    async fn close(self) {
        let Self { asks, mut replies, next: _ } = self;
        drop(asks);
        while let Ok(Some(_)) = replies.message().await {}
    }
}

/// UNAVAILABLE is what gRPC has for a server that goes away; clients are to try again.
fn end(status: Status) -> End {
    if status.code() == Code::Unavailable || is_unprocessed(&status) {
        End::Orderly(text(&status))
    } else {
        End::Broken(text(&status))
    }
}
