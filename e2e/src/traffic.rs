//! Traffic from client pods.
//!
//! In: a client pod and where to call. Out: what came back, as the echo client sums it up.

use crate::{
    cluster::Cluster,
    wait::{eventually, seconds},
};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// What a series of requests came to; one line of JSON that the echo client prints.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Summary {
    /// How many were sent.
    pub sent: u64,
    /// How many were answered as they should be.
    pub ok: u64,
    /// How many were not.
    pub failed: u64,
    /// Why not, and how often.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// Which nodes the answering pods run on, and how often.
    #[serde(default)]
    pub nodes: BTreeMap<String, u64>,
    /// From which addresses the answering pods were called, and how often.
    #[serde(default)]
    pub peers: BTreeMap<String, u64>,
    /// Which pods answered, and how often.
    #[serde(default)]
    pub pods: BTreeMap<String, u64>,
    /// How many streams or WebSockets were opened.
    #[serde(default)]
    pub opened: u64,
    /// How many messages were sent once more on a new one.
    #[serde(default)]
    pub resent: u64,
    /// From when the first request that failed was meant to be sent until the last one was.
    #[serde(default)]
    pub failing_ms: f64,
    /// Within which time 99 of 100 were answered.
    #[serde(default)]
    pub p99_ms: f64,
}

/// One answer, or why there was none; what the echo client prints with `--json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// What the echo server said.
    pub answer: Option<Value>,
    /// Why it is not as it should be.
    pub error: Option<String>,
    /// The answer's status; 0 where there was no answer.
    pub status: u16,
    /// The answer's header fields.
    pub headers: BTreeMap<String, String>,
    /// The fields behind its body.
    pub trailers: BTreeMap<String, String>,
}

/// A client pod.
#[derive(Clone)]
pub struct ClientPod {
    /// The cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
}

impl ClientPod {
    /// Runs the echo client with these arguments; what it printed, or an error with that.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let command: Vec<&str> = std::iter::once("/weft-echo").chain(arguments.iter().copied()).collect();
        let output = self.cluster.exec(&self.namespace, &self.pod, &command).await?;
        ensure!(output.success, "{arguments:?} failed: {}{}", output.stdout, output.stderr);
        Ok(output.stdout)
    }

    /// Sends `count` requests one after the other, each on a connection of its own.
    ///
    /// # Errors
    /// When the client cannot be run; failed requests are in the summary.
    pub async fn get(&self, url: &str, count: u32) -> Result<Summary> {
        let count = count.to_string();
        self.summary(&["get", url, "--count", &count, "--no-keep-alive", "--timeout", "5s", "--summary"])
            .await
    }

    /// Sends requests at a constant rate for some time, in the background.
    #[must_use]
    pub fn load(&self, url: &str, rate: u32, seconds: u32) -> JoinHandle<Result<Summary>> {
        let (client, url) = (self.clone(), url.to_owned());
        let (rate, duration) = (rate.to_string(), format!("{seconds}s"));
        tokio::spawn(async move {
            client.summary(&["load", &url, "--rate", &rate, "--duration", &duration]).await
        })
    }

    /// Runs the echo client with these arguments, which print one outcome a line; failures are in the outcomes.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn outcomes(&self, arguments: &[&str]) -> Result<Vec<Outcome>> {
        let command: Vec<&str> = std::iter::once("/weft-echo").chain(arguments.iter().copied()).collect();
        let output = self.cluster.exec(&self.namespace, &self.pod, &command).await?;
        let lines = output.stdout.lines().filter(|line| line.starts_with('{'));
        let outcomes: Vec<Outcome> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(!outcomes.is_empty(), "{arguments:?} printed nothing: {}", output.stderr);
        Ok(outcomes)
    }

    /// Sends one request with these arguments besides.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn ask(&self, url: &str, more: &[&str]) -> Result<Outcome> {
        let arguments: Vec<&str> = ["get", url, "--json"].iter().chain(more).copied().collect();
        self.outcomes(&arguments).await?.pop().context("no outcome")
    }

    /// Posts to a pod, past the mesh, to make it fail or heal; see the echo server's paths.
    ///
    /// # Errors
    /// When it does not do so.
    pub async fn switch(&self, address: &str, path: &str) -> Result<()> {
        let outcome = self.ask(&format!("http://{address}:8080/admin/{path}"), &["--method", "POST"]).await?;
        ensure!(outcome.status == 200, "{path}: {outcome:?}");
        Ok(())
    }

    /// Runs the echo client with these arguments and `--summary`'s output, in the background.
    #[must_use]
    pub fn start(&self, arguments: Vec<String>) -> JoinHandle<Result<Summary>> {
        let client = self.clone();
        tokio::spawn(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            client.summary(&arguments).await
        })
    }

    /// Runs the echo client with these arguments; its summary.
    ///
    /// # Errors
    /// When the client cannot be run; failed requests are in the summary.
    pub async fn summary(&self, arguments: &[&str]) -> Result<Summary> {
        let command: Vec<&str> = std::iter::once("/weft-echo").chain(arguments.iter().copied()).collect();
        let output = self.cluster.exec(&self.namespace, &self.pod, &command).await?;
        let line = output.stdout.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
        serde_json::from_str(line)
            .with_context(|| format!("{arguments:?}: {}{}", output.stdout, output.stderr))
    }
}

impl Outcome {
    /// A text that the echo server said, such as `pod`, or `headers` and then a name.
    #[must_use]
    pub fn said(&self, path: &[&str]) -> Option<&str> {
        path.iter().fold(self.answer.as_ref(), |value, name| value?.get(name))?.as_str()
    }
}

impl Summary {
    /// Adds what another client's came to. What is not a count is the larger of both.
    pub fn add(&mut self, other: &Self) {
        let Self { sent, ok, failed, errors, nodes, peers, pods, opened, resent, failing_ms, p99_ms } = other;
        let counts = [
            (&mut self.sent, sent),
            (&mut self.ok, ok),
            (&mut self.failed, failed),
            (&mut self.opened, opened),
            (&mut self.resent, resent),
        ];
        counts.into_iter().for_each(|(sum, count)| *sum += count);
        let maps = [
            (&mut self.errors, errors),
            (&mut self.nodes, nodes),
            (&mut self.peers, peers),
            (&mut self.pods, pods),
        ];
        for (sums, counts) in maps {
            for (name, count) in counts {
                *sums.entry(name.clone()).or_default() += count;
            }
        }
        self.failing_ms = self.failing_ms.max(*failing_ms);
        self.p99_ms = self.p99_ms.max(*p99_ms);
    }

    /// Demands that every request was answered, and that there were some.
    ///
    /// # Errors
    /// When one failed.
    pub fn all_ok(&self) -> Result<()> {
        ensure!(self.sent > 0 && self.failed == 0 && self.ok == self.sent, "requests failed: {self:?}");
        Ok(())
    }
}

/// Calls until so many pods each answered a share that counts, a fortieth. Balancing goes by latency: whoever was slow once is left
/// alone for some seconds.
///
/// # Errors
/// When a request failed, or a pod gets none.
pub async fn until_spread<F: Future<Output = Result<Summary>>>(
    pods: usize,
    mut call: impl FnMut() -> F,
) -> Result<Summary> {
    eventually("every pod is called", seconds(30), || {
        let summary = call();
        async move {
            let summary = summary.await.and_then(|summary| summary.all_ok().map(|()| summary));
            let Ok(Summary { pods: shares, sent, .. }) = &summary else { return Ok(summary) };
            let fewest = shares.values().min().copied().unwrap_or_default();
            ensure!(shares.len() == pods && fewest * 40 >= *sent, "{shares:?}");
            Ok(summary)
        }
    })
    .await?
}
