//! Traffic from client pods.
//!
//! In: a client pod and where to call. Out: what came back, as the echo client sums it up.

use crate::cluster::Cluster;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// What a series of requests came to; one line of JSON that the echo client prints.
#[derive(Clone, Debug, Deserialize)]
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

    async fn summary(&self, arguments: &[&str]) -> Result<Summary> {
        let command: Vec<&str> = std::iter::once("/weft-echo").chain(arguments.iter().copied()).collect();
        let output = self.cluster.exec(&self.namespace, &self.pod, &command).await?;
        let line = output.stdout.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
        serde_json::from_str(line)
            .with_context(|| format!("{arguments:?}: {}{}", output.stdout, output.stderr))
    }
}

impl Summary {
    /// Demands that every request was answered, and that there were some.
    ///
    /// # Errors
    /// When one failed.
    pub fn all_ok(&self) -> Result<()> {
        ensure!(self.sent > 0 && self.failed == 0 && self.ok == self.sent, "requests failed: {self:?}");
        Ok(())
    }
}
