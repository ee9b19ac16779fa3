//! Sends HTTP requests.
//!
//! In: a URL. Out: the answer of an echo server, how long it took, or why there was none.

use crate::{answer::Answer, arguments::Get, lookup, summary::Summary};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri, header::HOST};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
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
    resolver: TokioResolver,
    url: Uri,
    limit: Duration,
}

impl Client {
    /// A client of `url`.
    pub fn new(url: &str, keep_alive: bool, limit: Duration) -> Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let mut builder = Pool::builder(TokioExecutor::new());
        if !keep_alive {
            builder.pool_max_idle_per_host(0);
        }
        Ok(Self { pool: builder.build_http(), resolver: lookup::resolver()?, url, limit })
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
        let place = lookup::place(&self.resolver, host, self.url.port_u16().unwrap_or(80)).await?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.url.authority().context("a URL needs a host")?.as_str();
        let request =
            Request::get(format!("http://{place}{path}")).header(HOST, authority).body(Empty::new())?;
        let response = self.pool.request(request).await.map_err(|error| {
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
        Ok((serde_json::from_str(&body).unwrap_or_default(), body))
    }
}

/// Sends requests one after the other; whether all were answered.
pub async fn get(arguments: Get) -> Result<bool> {
    let Get { url, count, interval, timeout, no_keep_alive, summary: only_summary } = arguments;
    let client = Client::new(&url, !no_keep_alive, timeout)?;
    let mut summary = Summary::default();
    for number in 0..count {
        if number > 0 {
            sleep(interval).await;
        }
        let outcome = client.send(Instant::now()).await;
        summary.add(&outcome);
        match &outcome.answer {
            Ok(_) if only_summary => {}
            Ok(_) => println!("{}", outcome.body.trim_end()),
            Err(error) => eprintln!("{url}: {error}"),
        }
    }
    if only_summary { Ok(summary.print()?) } else { Ok(summary.all_ok()) }
}
