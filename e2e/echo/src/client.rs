//! Sends HTTP requests.
//!
//! In: a URL. Out: the answer of an echo server, how long it took, or why there was none.

use crate::{
    answer::Answer,
    arguments::{Connect, Get, Question},
    lookup::Names,
    summary::{Summary, milliseconds},
};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures::{StreamExt, stream};
use h2::Reason;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    error::Error,
    num::NonZeroU16,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

/// What came of one request.
pub struct Outcome {
    /// The answer, or why there was none.
    pub answer: Result<Answer, String>,
    /// The answer's status, where there was one; 0 where not.
    pub status: u16,
    /// The answer's header fields.
    pub headers: BTreeMap<String, String>,
    /// The fields behind its body.
    pub trailers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: String,
    /// From when it counts.
    pub start: Instant,
    /// How long it took.
    pub latency: Duration,
}

/// A client of one URL.
pub struct Client {
    /// Each has one connection over HTTP/2, and as many as it takes over HTTP/1.
    pools: Vec<Pool<HttpConnector<Names>, Full<Bytes>>>,
    /// Which of them is next.
    turn: AtomicUsize,
    /// As many as may be under way, where that is bounded.
    room: Option<Semaphore>,
    names: Names,
    url: Uri,
    connect: Connect,
    question: Question,
    body: Bytes,
    limit: Duration,
}

impl Client {
    /// A client of `url`; a request may take `limit`, the look-up and the connection included.
    pub fn new(url: &str, connect: Connect, limit: Duration) -> Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let host = url.host().filter(|_| url.scheme_str() == Some("http"));
        let host = host.with_context(|| format!("{url} is not a URL such as http://HOST/"))?;
        let names = Names::of(host)?;
        let pools = vec![pool(&names, connect)];
        let (turn, question, body) = (AtomicUsize::new(0), Question::default(), Bytes::new());
        Ok(Self { pools, turn, room: None, names, url, connect, question, body, limit })
    }

    /// The same, which sends this.
    pub fn asking(self, question: Question) -> Self {
        Self { body: vec![b'w'; question.body].into(), question, ..self }
    }

    /// The same, which has so many connections: HTTP/2 at once and in turn, HTTP/1 as they are needed, for each carries
    /// one request at a time.
    pub fn within(self, connections: Option<NonZeroU16>) -> Self {
        let Some(count) = connections.map(|count| usize::from(count.get())) else { return self };
        if self.connect.http2 {
            let pools = (0..count).map(|_| pool(&self.names, self.connect)).collect();
            return Self { pools, ..self };
        }
        Self { room: Some(Semaphore::new(count)), ..self }
    }

    /// Sends one request; its latency counts from `start`.
    pub async fn send(&self, start: Instant) -> Outcome {
        let mut outcome = Outcome { start, ..Outcome::default() };
        outcome.answer = match timeout(self.limit, self.exchange(&mut outcome)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err("timeout".to_owned()),
        };
        outcome.latency = start.elapsed();
        outcome
    }

    async fn exchange(&self, outcome: &mut Outcome) -> Result<Answer> {
        let _room = match &self.room {
            Some(room) => Some(room.acquire().await?),
            None => None,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.pools.len();
        let response = match self.pools[turn].request(self.request()?).await {
            // The server never looked at it, so it may be sent again (RFC 9113, section 8.7).
            Err(error) if is_unprocessed(&error) => self.pools[turn].request(self.request()?).await,
            other => other,
        };
        let response = response.map_err(|error| {
            let when = if error.is_connect() { "connect" } else { "exchange" };
            anyhow!("{when}: {}", root_cause(&error))
        })?;
        let status = response.status();
        outcome.status = status.as_u16();
        outcome.headers = fields(response.headers());
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| anyhow!("body: {}", root_cause(&error)))?;
        outcome.trailers = body.trailers().map(fields).unwrap_or_default();
        outcome.body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if !status.is_success() {
            bail!("status {}", outcome.status);
        }
        Ok(serde_json::from_str(&outcome.body).unwrap_or_default()) // other servers than ours answer otherwise
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        let Question { method, body: _, headers } = &self.question;
        let mut request = Request::builder().method(method).uri(&self.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(self.body.clone()))?)
    }
}

fn pool(names: &Names, connect: Connect) -> Pool<HttpConnector<Names>, Full<Bytes>> {
    let mut connector = HttpConnector::new_with_resolver(names.clone());
    connector.set_nodelay(true);
    let mut builder = Pool::builder(TokioExecutor::new());
    builder.http2_only(connect.http2);
    if connect.no_keep_alive {
        builder.pool_max_idle_per_host(0);
    }
    builder.build(connector)
}

/// The outermost text of an error says only "client error"; the cause says what happened.
pub fn root_cause(error: &dyn Error) -> &dyn Error {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

/// Whether an HTTP/2 server said that it never looked at the request: by a GOAWAY that leaves it out, or by refusing it.
pub fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let left_out = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
            return error.is_remote() && (left_out || error.reason() == Some(Reason::REFUSED_STREAM));
        }
        cause = error.source();
    }
    false
}

/// Header fields as text.
pub fn fields(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            answer: Err("nothing was sent".to_owned()),
            status: 0,
            headers: BTreeMap::new(),
            trailers: BTreeMap::new(),
            body: String::new(),
            start: Instant::now(),
            latency: Duration::ZERO,
        }
    }
}

/// Sends requests that wait for one another; whether all were answered.
pub async fn get(arguments: Get) -> Result<bool> {
    let Get { url, count, concurrency, interval, timeout, connect, question, json, summary: only_summary } =
        arguments;
    let client = &Client::new(&url, connect, timeout)?.asking(question);
    let mut summary = Summary::default();
    let send = |number| async move {
        if number > 0 {
            sleep(interval).await;
        }
        client.send(Instant::now()).await
    };
    let mut outcomes = stream::iter(0..count).map(send).buffer_unordered(concurrency.into());
    while let Some(outcome) = outcomes.next().await {
        summary.add(&outcome);
        match &outcome.answer {
            _ if only_summary => {}
            _ if json => println!("{}", outcome.json()),
            Ok(_) => println!("{}", outcome.body.trim_end()),
            Err(error) => eprintln!("{url}: {error}"),
        }
    }
    if only_summary { summary.print() } else { Ok(summary.all_ok()) }
}

impl Outcome {
    /// As JSON. Without a status there was no answer at all.
    pub fn json(&self) -> Value {
        let Self { answer, status, headers, trailers, body: _, start: _, latency } = self;
        let mut json = match answer {
            Ok(answer) => json!({"answer": answer}),
            Err(error) => json!({"error": error}),
        };
        json["ms"] = milliseconds(*latency).into();
        if *status != 0 {
            json["status"] = (*status).into();
            json["headers"] = json!(headers);
            json["trailers"] = json!(trailers);
        }
        json
    }
}
