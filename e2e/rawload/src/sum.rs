//! Sums up.
//!
//! In: what became of each part of a load. Out: a line of JSON.

use anyhow::Result;
use serde::Serialize;
use std::{collections::BTreeMap, io::Write, time::Duration};

/// What all of it came to.
#[derive(Debug, Default, Serialize)]
pub struct Sum {
    /// How much came through: megabytes, connections, exchanges or datagrams.
    pub ok: f64,
    /// How many connections did not do what they were to.
    pub failed: u64,
    /// Datagrams that were sent, where those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// How long it took.
    pub seconds: f64,
    /// Quantiles of exchanges in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<f64>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// Why something failed, and how often.
    pub errors: BTreeMap<String, u64>,
}

impl Sum {
    /// A failure more.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        *self.errors.entry(format!("{error:#}")).or_default() += 1;
    }

    /// One part's outcome more: how much came through, or why it failed.
    pub fn add(&mut self, outcome: Result<f64>) {
        match outcome {
            Ok(amount) => self.ok += amount,
            Err(error) => self.fail(&error),
        }
    }

    /// Fills in the quantiles.
    pub fn rank(&mut self, mut times: Vec<Duration>) {
        times.sort_unstable();
        (self.p50_us, self.p99_us) = (quantile(&times, 500), quantile(&times, 990));
    }

    /// Says it.
    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

/// The value that so many of a thousand do not exceed (nearest rank), in microseconds.
fn quantile(sorted: &[Duration], permille: usize) -> Option<f64> {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).map(|time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let mut sum = Sum::default();
        sum.rank((1..=1000).rev().map(Duration::from_micros).collect());
        let rounded = [sum.p50_us, sum.p99_us].map(|value| value.unwrap().round() as u32);
        assert_eq!(rounded, [500, 990]);
        assert_eq!(quantile(&[], 500), None);
    }
}
