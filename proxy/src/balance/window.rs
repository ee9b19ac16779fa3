//! How many requests of the last ten seconds failed.
//!
//! In: outcomes. Out: a tally. Two halves of five seconds take turns, so that the tally is over the last five to ten
//! seconds; each half is one number, so that counting is one step.

use crate::clock::Ticks;
use std::sync::atomic::{AtomicU64, Ordering};

/// Half of the ten seconds.
const HALF: Ticks = 5_000_000_000;

/// From the highest bit: 16 of the half's number, 24 of requests, 24 of failures. 16 million requests in five seconds
/// are more than one endpoint ever gets.
const NUMBER: u32 = 48;
const TOTAL: u32 = 24;
const MASK: u64 = (1 << 24) - 1;

/// Counts outcomes.
#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; 2]);

/// Requests, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) total: u64,
    pub(super) failed: u64,
}

// === impl Window ===

impl Window {
    pub(super) fn count(&self, failed: bool, now: Ticks) {
        let (half, one) = (now / HALF, (1 << TOTAL) | u64::from(failed));
        let bucket = &self.0[(half & 1) as usize];
        let before = bucket.load(Ordering::Relaxed);
        if before >> NUMBER != tag(half) {
            let fresh = tag(half) << NUMBER | one;
            if bucket.compare_exchange(before, fresh, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
        bucket.fetch_add(one, Ordering::Relaxed);
    }

    pub(super) fn tally(&self, now: Ticks) -> Tally {
        let half = now / HALF;
        let mut tally = Tally::default();
        for half in [half, half.wrapping_sub(1)] {
            let bucket = self.0[(half & 1) as usize].load(Ordering::Relaxed);
            if bucket >> NUMBER == tag(half) {
                tally += Tally { total: bucket >> TOTAL & MASK, failed: bucket & MASK };
            }
        }
        tally
    }

    pub(super) fn clear(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

fn tag(half: u64) -> u64 {
    half & 0xffff
}

// === impl Tally ===

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.failed += other.failed;
    }
}

impl Tally {
    /// Whether fewer than this share, in percent, succeeded.
    pub(super) fn below(self, success_percent: u32) -> bool {
        (self.total - self.failed.min(self.total)) * 100 < u64::from(success_percent) * self.total
    }

    /// Whether these failed at most half as often as `other`.
    pub(super) fn clearly_better_than(self, other: Self) -> bool {
        self.total > 0
            && u128::from(self.failed) * 2 * u128::from(other.total)
                <= u128::from(other.failed) * u128::from(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Ticks = 1_000_000_000;

    #[test]
    fn outcomes_count_for_five_to_ten_seconds() {
        let window = Window::default();
        window.count(true, SECOND);
        window.count(false, 6 * SECOND);
        assert_eq!(window.tally(9 * SECOND), Tally { total: 2, failed: 1 });
        assert_eq!(window.tally(11 * SECOND), Tally { total: 1, failed: 0 });
        assert_eq!(window.tally(16 * SECOND), Tally::default());
        window.count(true, 21 * SECOND);
        assert_eq!(window.tally(21 * SECOND), Tally { total: 1, failed: 1 });
    }

    #[test]
    fn a_share_is_compared_with_the_others() {
        let (own, others) = (Tally { total: 10, failed: 6 }, Tally { total: 100, failed: 30 });
        assert!(own.below(50) && !own.below(40) && !others.below(50));
        assert!(others.clearly_better_than(own));
        assert!(!Tally { total: 100, failed: 31 }.clearly_better_than(own));
        assert!(!Tally::default().clearly_better_than(own), "nothing is known of the others");
    }
}
