//! Sends HTTP requests.
//!
//! In: a URL. Out: the answer of an echo server, how long it took, or why there was none.

use crate::{
    answer::Answer,
    arguments::{Connect, Get},
    lookup,
    summary::Summary,
};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::{StreamExt, stream};
use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri, header::HOST};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What came of one request.
pub struct Outcome {
    /// The answer, or why there was none.
    pub answer: Result<Answer, String>,
    /// The body as it came.
    pub body: String,
    /// How long it took.
    pub latency: Duration,
}

/// A client of one URL.
pub struct Client {
    pool: Pool<HttpConnector, Empty<Bytes>>,
    /// None where the URL has an address, which works without any /etc/resolv.conf.
    resolver: Option<TokioResolver>,
    url: Uri,
    http2: bool,
    limit: Duration,
}

impl Client {
    /// A client of `url`; a request may take `limit`, the look-up and the connection included.
    pub fn new(url: &str, connect: Connect, limit: Duration) -> Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let host = url.host().filter(|_| url.scheme_str() == Some("http"));
        let host = host.with_context(|| format!("{url} is not a URL such as http://HOST/"))?;
        let resolver = if lookup::literal(host).is_some() { None } else { Some(lookup::resolver()?) };
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.http2_only(connect.http2);
        if connect.no_keep_alive {
            builder.pool_max_idle_per_host(0);
        }
        Ok(Self { pool: builder.build_http(), resolver, url, http2: connect.http2, limit })
    }

    /// Sends one request; its latency counts from `start`.
    pub async fn send(&self, start: Instant) -> Outcome {
        let sent = timeout(self.limit, self.exchange()).await;
        let (answer, body) = match sent {
            Ok(Ok((answer, body))) => (Ok(answer), body),
            Ok(Err(error)) => (Err(format!("{error:#}")), String::new()),
            Err(_) => (Err("timeout".to_owned()), String::new()),
        };
        Outcome { answer, body, latency: start.elapsed() }
    }

    async fn exchange(&self) -> Result<(Answer, String)> {
        let host = self.url.host().context("a URL needs a host")?;
        let authority = self.url.authority().context("a URL needs a host")?.as_str();
        let port = self.url.port_u16().unwrap_or(80);
        let place = lookup::place(host, port, self.resolver.as_ref()).await?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(format!("http://{place}{path}"));
        if !self.http2 {
            request = request.header(HOST, authority); // HTTP/2 would send it beside the :authority of the URL, and they must be the same
        }
        let response = self.pool.request(request.body(Empty::new())?).await.map_err(|error| {
            // The outermost text says only "client error"; the cause says what happened.
            let mut cause: &dyn std::error::Error = &error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            anyhow::anyhow!("{}: {cause}", if error.is_connect() { "connect" } else { "exchange" })
        })?;
        let status = response.status();
        let body = response.into_body().collect().await.context("body")?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() {
            bail!("status {}", status.as_u16());
        }
        Ok((serde_json::from_str(&body).unwrap_or_default(), body)) // other servers than ours answer otherwise
    }
}

/// Sends requests that wait for one another; whether all were answered.
pub async fn get(arguments: Get) -> Result<bool> {
    let Get { url, count, concurrency, interval, timeout, connect, json, summary: only_summary } = arguments;
    let client = &Client::new(&url, connect, timeout)?;
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
        let milliseconds = outcome.latency.as_secs_f64() * 1000.0;
        match &outcome.answer {
            _ if only_summary => {}
            Ok(answer) if json => println!("{}", json!({"answer": answer, "ms": milliseconds})),
            Err(error) if json => println!("{}", json!({"error": error, "ms": milliseconds})),
            Ok(_) => println!("{}", outcome.body.trim_end()),
            Err(error) => eprintln!("{url}: {error}"),
        }
    }
    if only_summary { summary.print() } else { Ok(summary.all_ok()) }
}
