//! Sums up a series of requests.
//!
//! In: the outcome of each. Out: one line of JSON.

use crate::client::Outcome;
use anyhow::Result;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The sum.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// How many were sent.
    pub sent: u64,
    /// How many were answered as they should be.
    pub ok: u64,
    /// How many were not.
    pub failed: u64,
    /// Why not, and how often.
    pub errors: BTreeMap<String, u64>,
    /// The nodes of the servers that answered, and how often.
    pub nodes: BTreeMap<String, u64>,
    /// The addresses that those were called from, and how often.
    pub peers: BTreeMap<String, u64>,
    /// The pods that answered, and how often.
    pub pods: BTreeMap<String, u64>,
    /// How many streams or WebSockets were opened.
    pub opened: u64,
    /// How many messages were sent once more on a new one.
    pub resent: u64,
    /// From when the first request that failed was meant to be sent until the last one was.
    pub failing_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    #[serde(skip)]
    failing: Option<(Instant, Instant)>,
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
                *self.pods.entry(answer.pod.clone()).or_default() += 1;
                let host = answer.peer.rsplit_once(':').map_or(answer.peer.as_str(), |(host, _)| host);
                *self.peers.entry(host.trim_matches(['[', ']']).to_owned()).or_default() += 1;
            }
            Err(error) => {
                self.failed += 1;
                let (first, last) = self.failing.get_or_insert((outcome.start, outcome.start));
                (*first, *last) = ((*first).min(outcome.start), (*last).max(outcome.start));
                self.failing_ms = milliseconds(*last - *first);
                *self.errors.entry(error.clone()).or_default() += 1;
            }
        }
    }

    /// Whether every request was answered.
    pub fn all_ok(&self) -> bool {
        self.failed == 0
    }

    /// Tells how far it is, on standard error.
    pub fn tell(&self) {
        eprintln!("{} sent and done, {} of them failed", self.sent, self.failed);
    }

    /// Prints it; whether every request was answered.
    pub fn print(mut self) -> Result<bool> {
        self.rank();
        println!("{}", serde_json::to_string(&self)?);
        Ok(self.all_ok())
    }

    fn rank(&mut self) {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        let quantile = |permille: usize| {
            let latency = self.latencies.get((self.latencies.len() * permille / 1000).min(last));
            latency.map_or(0.0, |latency| milliseconds(*latency))
        };
        (self.p50_ms, self.p99_ms, self.p999_ms, self.max_ms) =
            (quantile(500), quantile(990), quantile(999), quantile(1000));
    }
}

/// A time as it is printed.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;

    fn outcome(answer: Result<&str, &str>, milliseconds: u64) -> Outcome {
        let answered = |peer: &str| Answer {
            node: "node-1".into(),
            pod: "web-1".into(),
            peer: peer.into(),
            ..Answer::default()
        };
        let latency = Duration::from_millis(milliseconds);
        let answer = answer.map(answered).map_err(str::to_owned);
        Outcome { answer, start: Instant::now(), latency, ..Outcome::default() }
    }

    #[test]
    fn outcomes_add_up() {
        let mut summary = Summary::default();
        summary.add(&outcome(Ok("10.0.0.1:1"), 1));
        summary.add(&outcome(Ok("10.0.0.1:2"), 2));
        summary.add(&outcome(Ok("[fd00::1]:3"), 3));
        assert!(summary.all_ok());
        summary.add(&outcome(Err("timeout"), 4));
        assert!(!summary.all_ok());
        assert_eq!((summary.sent, summary.ok, summary.failed), (4, 3, 1));
        assert_eq!(summary.peers, BTreeMap::from([("10.0.0.1".into(), 2), ("fd00::1".into(), 1)]));
        assert_eq!(summary.nodes, BTreeMap::from([("node-1".into(), 3)]));
        assert_eq!(summary.pods, BTreeMap::from([("web-1".into(), 3)]));
        assert_eq!(summary.errors, BTreeMap::from([("timeout".into(), 1)]));
    }

    #[test]
    fn latencies_are_ranked_in_whatever_order_they_came() {
        let mut summary = Summary::default();
        summary.rank();
        assert_eq!(summary.max_ms.to_bits(), 0.0_f64.to_bits());
        for milliseconds in (1..=2000).rev() {
            summary.add(&outcome(Ok(""), milliseconds));
        }
        summary.rank();
        let rounded = [summary.p50_ms, summary.p99_ms, summary.p999_ms, summary.max_ms].map(f64::round);
        assert_eq!(format!("{rounded:?}"), "[1001.0, 1981.0, 1999.0, 2000.0]");
    }

    #[test]
    fn the_time_of_failures_is_from_the_first_sent_to_the_last_sent() {
        let start = Instant::now();
        let mut summary = Summary::default();
        let mut at = |answer, milliseconds| {
            let sent = start + Duration::from_millis(milliseconds);
            summary.add(&Outcome { start: sent, ..outcome(answer, 1) });
            summary.failing_ms.round()
        };
        assert_eq!(at(Ok(""), 0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(at(Err("connect"), 700).to_bits(), 0.0_f64.to_bits());
        assert_eq!(at(Ok(""), 800).to_bits(), 0.0_f64.to_bits());
        assert_eq!(at(Err("connect"), 900).to_bits(), 200.0_f64.to_bits());
        // Outcomes come in the order in which requests end.
        assert_eq!(at(Err("timeout"), 600).to_bits(), 300.0_f64.to_bits());
    }
}
