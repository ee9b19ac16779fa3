//! Sums up a series of requests.
//!
//! In: the outcome of each. Out: one line of JSON.

use crate::client::Outcome;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// The sum.
#[derive(Default, Serialize)]
pub struct Summary {
    sent: u64,
    ok: u64,
    failed: u64,
    errors: BTreeMap<String, u64>,
    nodes: BTreeMap<String, u64>,
    peers: BTreeMap<String, u64>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    #[serde(skip)]
    latencies: Vec<Duration>,
}

impl Summary {
    /// Adds one outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        self.sent += 1;
        self.latencies.push(outcome.latency);
        match &outcome.answer {
            Ok(answer) => {
                self.ok += 1;
                *self.nodes.entry(answer.node.clone()).or_default() += 1;
                let host = answer.peer.rsplit_once(':').map_or(answer.peer.as_str(), |(host, _)| host);
                *self.peers.entry(host.trim_matches(['[', ']']).to_owned()).or_default() += 1;
            }
            Err(error) => {
                self.failed += 1;
                *self.errors.entry(error.clone()).or_default() += 1;
            }
        }
    }

    /// Whether every request was answered.
    pub fn all_ok(&self) -> bool {
        self.failed == 0
    }

    /// Prints it; whether every request was answered.
    pub fn print(mut self) -> serde_json::Result<bool> {
        self.latencies.sort_unstable();
        let quantile = |part: usize| {
            let index = (self.latencies.len() * part / 100).min(self.latencies.len().saturating_sub(1));
            self.latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
        };
        (self.p50_ms, self.p99_ms, self.max_ms) = (quantile(50), quantile(99), quantile(100));
        println!("{}", serde_json::to_string(&self)?);
        Ok(self.all_ok())
    }
}
