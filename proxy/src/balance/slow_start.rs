//! Lets an endpoint that has just come, or come back, warm up.
//!
//! In: since when it takes part. Out: its weight, which grows from a tenth to the whole. A choice that would fall on it
//! is left to another with what is missing of its weight as the probability, so that its share follows its weight,
//! whatever the algorithm.

use super::dice::Dice;
use crate::clock::Ticks;
use std::sync::atomic::{AtomicU64, Ordering};

/// The weight at first: enough requests to warm up with.
const LEAST: f64 = 0.1;

/// Since when an endpoint warms up; 0 when it does not.
#[derive(Debug, Default)]
pub(super) struct Warming(AtomicU64);

impl Warming {
    /// It starts to warm up.
    pub(super) fn start(&self, now: Ticks) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Whether it leaves this choice to another.
    pub(super) fn yields(&self, now: Ticks, slow_start: Ticks, dice: &Dice) -> bool {
        let weight = self.weight(now, slow_start);
        weight < 1.0 && dice.fraction() >= weight
    }

    fn weight(&self, now: Ticks, slow_start: Ticks) -> f64 {
        let since = self.0.load(Ordering::Relaxed);
        if since == 0 {
            return 1.0;
        }
        let elapsed = now.saturating_sub(since);
        if elapsed >= slow_start {
            // So that the next one need not reckon. Where it has started anew meanwhile, that stands.
            let _ = self.0.compare_exchange(since, 0, Ordering::Relaxed, Ordering::Relaxed);
            return 1.0;
        }
        LEAST + (1.0 - LEAST) * elapsed as f64 / slow_start as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_grows_evenly() {
        let warming = Warming::default();
        assert_eq!(warming.weight(1, 100), 1.0);
        warming.start(1_000);
        let weights = [1_000, 1_050, 1_099].map(|now| warming.weight(now, 100));
        assert_eq!(weights[..2], [0.1, 0.55]);
        assert!(weights[2] < 1.0);
        assert_eq!(warming.weight(1_100, 100), 1.0);
        assert_eq!(warming.weight(1_050, 100), 1.0, "it is over for good");
    }

    #[test]
    fn without_slow_start_the_weight_is_whole_at_once() {
        let warming = Warming::default();
        warming.start(1_000);
        assert_eq!(warming.weight(1_000, 0), 1.0);
    }
}
