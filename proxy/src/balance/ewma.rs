//! How long an endpoint takes to answer: a peak-EWMA.
//!
//! In: latencies, as they are seen. Out: an estimate. A slower answer is believed at once, a faster one little by
//! little; and without answers the estimate falls, so that an endpoint that was slow once is tried again.

use crate::clock::Ticks;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The time constant: what was seen this long ago still counts for a third.
const DECAY: Duration = Duration::from_secs(10);

/// What an endpoint of which nothing is known is taken for. Small, so that it is found out.
pub(super) const UNKNOWN: f32 = 0.001;

/// Ticks are counted in units of 2^20 ns, about a millisecond: 32 bits of them last 52 days.
const UNIT: u32 = 20;

/// An estimate in seconds and when it was made, as one number: threads that write at once may lose a sample of one
/// another, but never mix two.
#[derive(Debug)]
pub(super) struct Ewma(AtomicU64);

impl Ewma {
    pub(super) fn new(seconds: f32, now: Ticks) -> Self {
        Self(AtomicU64::new(pack(seconds, now)))
    }

    /// The estimate in seconds.
    pub(super) fn estimate(&self, now: Ticks) -> f32 {
        let (seconds, weight) = self.read(now);
        seconds * weight
    }

    /// Takes a latency into account.
    pub(super) fn add(&self, sample: f32, now: Ticks) {
        let (seconds, weight) = self.read(now);
        let peak = sample.max(sample + (seconds - sample) * weight);
        self.set(peak, now);
    }

    /// Forgets everything but this.
    pub(super) fn set(&self, seconds: f32, now: Ticks) {
        self.0.store(pack(seconds, now), Ordering::Relaxed);
    }

    /// What was stored, and how much of it still counts.
    fn read(&self, now: Ticks) -> (f32, f32) {
        let packed = self.0.load(Ordering::Relaxed);
        // Another thread's clock may have been read a little later than ours.
        let units = (coarse(now).wrapping_sub(packed as u32) as i32).max(0);
        let age = units as f32 * ((1_u64 << UNIT) as f32 / 1e9) / DECAY.as_secs_f32();
        let weight = if age < 0.01 { 1.0 - age } else { (-age).exp() };
        (f32::from_bits((packed >> 32) as u32), weight)
    }
}

fn coarse(now: Ticks) -> u32 {
    (now >> UNIT) as u32
}

fn pack(seconds: f32, now: Ticks) -> u64 {
    u64::from(seconds.to_bits()) << 32 | u64::from(coarse(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Ticks = 1_000_000_000;

    fn near(left: f32, right: f32) -> bool {
        (left - right).abs() < 0.02 * right
    }

    #[test]
    fn a_slower_answer_is_believed_at_once() {
        let latency = Ewma::new(0.01, 0);
        latency.add(1.0, SECOND);
        assert!(near(latency.estimate(SECOND), 1.0));
    }

    #[test]
    fn faster_answers_are_believed_with_time() {
        let latency = Ewma::new(1.0, 0);
        for tenth in 1..=100 {
            latency.add(0.1, tenth * SECOND / 10);
        }
        // After one time constant 1/e of the difference is left.
        assert!(near(latency.estimate(10 * SECOND), 0.1 + 0.9 * (-1.0_f32).exp()));
    }

    #[test]
    fn many_answers_within_a_unit_of_time_decay_like_few() {
        let latency = Ewma::new(1.0, 0);
        for step in 1..=200_000 {
            latency.add(0.1, step * SECOND / 20_000);
        }
        assert!(near(latency.estimate(10 * SECOND), 0.1 + 0.9 * (-1.0_f32).exp()));
    }

    #[test]
    fn without_answers_the_estimate_falls() {
        let latency = Ewma::new(1.0, 0);
        assert!(near(latency.estimate(20 * SECOND), (-2.0_f32).exp()));
    }

    #[test]
    fn a_clock_read_earlier_changes_nothing() {
        let latency = Ewma::new(1.0, 20 * SECOND);
        assert!(near(latency.estimate(10 * SECOND), 1.0));
    }
}
