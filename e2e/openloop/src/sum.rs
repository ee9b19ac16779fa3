//! Sums up.
//!
//! In: the outcome of each request. Out: counts, quantiles, and every latency, so that rounds can be put together.

use anyhow::Result;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// What all requests came to. Latencies are in nanoseconds, sorted; quantiles in microseconds.
#[derive(Debug, Default, Serialize)]
pub struct Sum {
    sent: u64,
    ok: u64,
    failed: u64,
    errors: BTreeMap<String, u64>,
    /// How late this program itself was to send, which is part of each latency.
    late_p50_us: f64,
    late_p99_us: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    nanoseconds: Vec<u64>,
    #[serde(skip)]
    late: Vec<u64>,
}

impl Sum {
    /// A request is sent, so much later than it was meant to be.
    pub fn sent(&mut self, late: Duration) {
        self.sent += 1;
        self.late.push(nanoseconds(late));
    }

    /// A request is done; where it `counts`, it is added.
    pub fn add(&mut self, counts: bool, outcome: Result<Duration>) {
        match outcome {
            Ok(latency) if counts => {
                self.ok += 1;
                self.nanoseconds.push(nanoseconds(latency));
            }
            Ok(_) => {}
            // Even of the first ones: a target that does not answer must not look well.
            Err(error) => {
                self.failed += 1;
                *self.errors.entry(format!("{error:#}")).or_default() += 1;
            }
        }
    }

    /// Sorts, and fills in the quantiles.
    pub fn rank(mut self) -> Self {
        self.nanoseconds.sort_unstable();
        self.late.sort_unstable();
        (self.late_p50_us, self.late_p99_us) = (quantile(&self.late, 500), quantile(&self.late, 990));
        (self.p50_us, self.p99_us) = (quantile(&self.nanoseconds, 500), quantile(&self.nanoseconds, 990));
        (self.p999_us, self.max_us) = (quantile(&self.nanoseconds, 999), quantile(&self.nanoseconds, 1000));
        self
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The value that so many of a thousand do not exceed (nearest rank), in microseconds.
fn quantile(sorted: &[u64], permille: usize) -> f64 {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).map_or(0.0, |nanoseconds| Duration::from_nanos(*nanoseconds).as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_those_that_count() {
        let mut sum = Sum::default();
        sum.add(false, Ok(Duration::from_secs(1)));
        for number in (1..=1000).rev() {
            sum.sent(Duration::ZERO);
            sum.add(true, Ok(Duration::from_micros(number)));
        }
        sum.add(false, Err(anyhow::anyhow!("connect")));
        let sum = sum.rank();
        assert_eq!((sum.sent, sum.ok, sum.failed), (1000, 1000, 1));
        let quantiles = [sum.p50_us, sum.p99_us, sum.p999_us, sum.max_us].map(f64::round);
        assert_eq!(format!("{quantiles:?}"), "[500.0, 990.0, 999.0, 1000.0]");
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(quantile(&[], 990).to_bits(), 0.0_f64.to_bits());
    }
}
