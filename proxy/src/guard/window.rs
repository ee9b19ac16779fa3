//! What became of the requests of the last ten seconds, for a circuit breaker.
//!
//! In: the status and the latency of each. Out: the ratios and quantiles that an expression asks for.
//!
//! Ten slots of one second each. A slot says which second it holds; who first comes with a later one clears it. What
//! comes in the microsecond in which another thread clears is not counted.

use std::{
    array,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use weft_contract::expression::Measures;

/// How many seconds are remembered.
const SECONDS: u64 = 10;
/// A count for each status; one above the last is counted as the last.
const STATUSES: usize = 1000;
/// Latencies are counted in microseconds, each octave in this many steps: at most 1.6 % are added to one.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: u32 = 6;
/// Up to 2^32 microseconds, which is above an hour; a longer latency counts as that.
const OCTAVES: usize = 32 - STEP_BITS as usize;
/// The first octave's steps, below 2 * STEPS microseconds, are exact, and stand for two octaves.
const LATENCIES: usize = STEPS * (OCTAVES + 1);

/// Counts of the last ten seconds.
#[derive(Debug)]
pub(super) struct Window {
    slots: [Slot; SECONDS as usize],
    /// Whether latencies are kept, which takes most of the memory.
    latencies: bool,
}

#[derive(Debug, Default)]
struct Slot {
    stamp: AtomicU64,
    /// Made at the first use: most Services have a circuit breaker for the day it is needed.
    counts: OnceLock<Counts>,
}

#[derive(Debug)]
struct Counts {
    statuses: Box<[AtomicU32]>,
    latencies: Box<[AtomicU32]>,
}

/// The window as seen in one second.
#[derive(Debug)]
pub(super) struct View<'a> {
    window: &'a Window,
    second: u64,
}

/// The stamp of a slot that holds nothing.
const EMPTY: u64 = 0;

/// The stamp of a slot that holds this second.
fn ready(second: u64) -> u64 {
    (second + 1) << 1
}

/// The stamp of a slot that is being cleared for this second.
fn clearing(second: u64) -> u64 {
    ready(second) | 1
}

/// Which count a latency belongs to.
fn step_of(latency: Duration) -> usize {
    let microseconds = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
    let octave = (u32::BITS - microseconds.leading_zeros()).saturating_sub(STEP_BITS + 1);
    // The leading one is among these bits, but for the first octave, where it makes the second half of its steps.
    octave as usize * STEPS + (microseconds >> octave) as usize
}

/// The largest latency of a count, in microseconds.
fn largest_of(step: usize) -> u64 {
    let octave = (step / STEPS).saturating_sub(1);
    let within = step - octave * STEPS;
    ((within as u64 + 1) << octave) - 1
}

// === impl Window ===

impl Window {
    pub(super) fn new(latencies: bool) -> Self {
        Self { slots: array::from_fn(|_| Slot::default()), latencies }
    }

    /// Counts a request that was answered in this second.
    pub(super) fn record(&self, status: u16, latency: Duration, second: u64) {
        let Some(counts) = self.counts(second) else { return };
        counts.statuses[usize::from(status).min(STATUSES - 1)].fetch_add(1, Ordering::Relaxed);
        if self.latencies {
            counts.latencies[step_of(latency)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        for slot in &self.slots {
            slot.stamp.store(EMPTY, Ordering::Release);
        }
    }

    /// What was counted in the ten seconds that end with this one.
    pub(super) fn at(&self, second: u64) -> View<'_> {
        View { window: self, second }
    }

    fn counts(&self, second: u64) -> Option<&Counts> {
        let slot = &self.slots[(second % SECONDS) as usize];
        let stamp = slot.stamp.load(Ordering::Acquire);
        if stamp == ready(second) {
            return slot.counts.get();
        }
        // A thread that was held up for ten seconds has nothing to say about this second.
        if stamp >= ready(second) {
            return None;
        }
        let claimed =
            slot.stamp.compare_exchange(stamp, clearing(second), Ordering::AcqRel, Ordering::Relaxed);
        claimed.ok()?;
        match slot.counts.get() {
            Some(counts) => counts.clear(),
            None => {
                slot.counts.get_or_init(|| Counts::new(self.latencies));
            }
        }
        // Unless all was forgotten meanwhile.
        let cleared =
            slot.stamp.compare_exchange(clearing(second), ready(second), Ordering::AcqRel, Ordering::Relaxed);
        cleared.ok()?;
        slot.counts.get()
    }
}

// === impl Counts ===

impl Counts {
    fn new(latencies: bool) -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU32::new(0)).collect();
        Self { statuses: zeros(STATUSES), latencies: zeros(if latencies { LATENCIES } else { 0 }) }
    }

    fn clear(&self) {
        for count in self.statuses.iter().chain(&self.latencies) {
            count.store(0, Ordering::Relaxed);
        }
    }
}

// === impl View ===

impl View<'_> {
    fn counts(&self) -> impl Iterator<Item = &Counts> {
        let slots = self.window.slots.iter().filter(|slot| {
            let stamp = slot.stamp.load(Ordering::Acquire);
            // Ready, and of the last ten seconds.
            stamp & 1 == 0 && stamp != EMPTY && stamp + (SECONDS << 1) > ready(self.second)
        });
        slots.filter_map(|slot| slot.counts.get())
    }

    /// How many had a status from `from` up to, but not including, `to`.
    fn statuses(&self, from: u16, to: u16) -> u64 {
        let range = usize::from(from).min(STATUSES)..usize::from(to).min(STATUSES);
        let of = |counts: &Counts| match counts.statuses.get(range.clone()) {
            Some(statuses) => statuses.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum(),
            None => 0, // `from` above `to`: nothing lies between
        };
        self.counts().map(of).sum()
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Measures for View<'_> {
    /// Failed connections are counted as 502. A 502 or 504 of the endpoint's own counts too, as in Traefik.
    fn network_error_ratio(&self) -> f64 {
        ratio(self.statuses(502, 503) + self.statuses(504, 505), self.statuses(0, u16::MAX))
    }

    fn response_code_ratio(&self, from: u16, to: u16, by_from: u16, by_to: u16) -> f64 {
        ratio(self.statuses(from, to), self.statuses(by_from, by_to))
    }

    fn latency_at_quantile_ms(&self, quantile: f64) -> f64 {
        let mut merged = [0_u64; LATENCIES];
        for counts in self.counts() {
            for (sum, count) in merged.iter_mut().zip(&counts.latencies) {
                *sum += u64::from(count.load(Ordering::Relaxed));
            }
        }
        let total: u64 = merged.iter().sum();
        // Rounded as the histogram that Traefik uses does it.
        let wanted = ((quantile.min(100.0) / 100.0 * total as f64 + 0.5) as u64).max(1);
        let mut seen = 0;
        let found = merged.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0.0, |step| largest_of(step) as f64 / 1000.0)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
