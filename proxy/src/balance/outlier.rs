//! When one endpoint is set aside, for how long, and how it comes back.
//!
//! In: verdicts. Out: whether the endpoint takes part. It is set aside after some failures in a row, or when its success
//! rate is bad and the others' is clearly better. When its pause is over, one request probes it: success brings it back,
//! failure sets it aside for twice as long. Who may be set aside at all is [`Group`](super::group::Group)'s to say.

use super::{
    dice::Roll,
    window::{Tally, Window},
};
use crate::clock::{Ticks, nanoseconds};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use weft_contract::policy::Outlier;

/// A pause that is over when this number of ticks is reached never is: a request probes the endpoint.
const PROBING: Ticks = Ticks::MAX;

/// This long in health takes one doubling of the pause back.
const FORGIVEN: Ticks = 10_000_000_000;

/// The part of a pause that is left to chance, so that the proxies of all nodes don't probe in the same moment.
const JITTER: f64 = 0.2;

/// More doublings than this are beyond any longest pause.
const MOST_DOUBLINGS: u32 = 20;

/// The health of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// 0 while it takes part; else until when it is set aside, or [`PROBING`].
    until: AtomicU64,
    /// Failures in a row.
    consecutive: AtomicU32,
    /// Pauses in a row.
    pauses: AtomicU32,
    /// Since when it takes part.
    since: AtomicU64,
    pub(super) window: Window,
}

impl Health {
    /// Whether it takes part.
    pub(super) fn takes_part(&self) -> bool {
        self.until.load(Ordering::Relaxed) == 0
    }

    /// Takes what a request showed into account.
    pub(super) fn count(&self, failed: bool, now: Ticks) {
        self.window.count(failed, now);
        if failed {
            self.consecutive.fetch_add(1, Ordering::Relaxed);
        } else if self.consecutive.load(Ordering::Relaxed) != 0 {
            self.consecutive.store(0, Ordering::Relaxed);
        }
    }

    /// Whether there were too many failures in a row.
    pub(super) fn fails_in_a_row(&self, outlier: &Outlier) -> bool {
        outlier.consecutive != 0 && self.consecutive.load(Ordering::Relaxed) >= outlier.consecutive
    }

    /// Its tally, where it is bad enough to compare it with the others'.
    pub(super) fn suspicious(&self, outlier: &Outlier, now: Ticks) -> Option<Tally> {
        let tally = self.window.tally(now);
        let enough = tally.total >= u64::from(outlier.fewest);
        (enough && tally.below(outlier.success_percent)).then_some(tally)
    }

    /// Sets it aside.
    pub(super) fn set_aside(&self, outlier: &Outlier, now: Ticks, roll: Roll) {
        let healthy = if self.takes_part() {
            now.saturating_sub(self.since.load(Ordering::Relaxed)) / FORGIVEN
        } else {
            0
        };
        let before = self.pauses.load(Ordering::Relaxed);
        let pauses = before.saturating_sub(u32::try_from(healthy).unwrap_or(u32::MAX)).saturating_add(1);
        self.pauses.store(pauses, Ordering::Relaxed);
        let jitter = 1.0 - JITTER * roll.fraction();
        self.rest_until(now.saturating_add((self.pause(outlier) as f64 * jitter) as Ticks));
    }

    /// Lets it take part again, with a clean sheet but for the number of its pauses.
    pub(super) fn bring_back(&self, now: Ticks) {
        self.window.clear();
        self.consecutive.store(0, Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
        self.until.store(0, Ordering::Relaxed);
    }

    /// Whether its pause is over, and nobody probes it yet.
    pub(super) fn is_due(&self, now: Ticks) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && until <= now
    }

    /// Takes the one probe, if it is to be had: when the pause is over, or with `early` before.
    pub(super) fn claim(&self, now: Ticks, early: bool) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        let free = until != 0 && until != PROBING && (early || until <= now);
        free && self.until.compare_exchange(until, PROBING, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a request probes it.
    pub(super) fn is_probed(&self) -> bool {
        self.until.load(Ordering::Relaxed) == PROBING
    }

    /// The probe that began at `started` ended without a verdict: the next has to wait as long as after a failure, or
    /// an endpoint that never answers would take one client after the other.
    pub(super) fn give_back(&self, outlier: &Outlier, started: Ticks) {
        let until = started.saturating_add(self.pause(outlier)).min(PROBING - 1);
        let _ = self.until.compare_exchange(PROBING, until, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Until when it is set aside, to tell who comes back first.
    pub(super) fn until(&self) -> Ticks {
        self.until.load(Ordering::Relaxed)
    }

    fn pause(&self, outlier: &Outlier) -> Ticks {
        let doublings = self.pauses.load(Ordering::Relaxed).saturating_sub(1).min(MOST_DOUBLINGS);
        let longest = nanoseconds(outlier.longest_pause);
        nanoseconds(outlier.pause).saturating_mul(1 << doublings).min(longest)
    }

    fn rest_until(&self, until: Ticks) {
        self.until.store(until.clamp(1, PROBING - 1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Dice;

    const SECOND: Ticks = 1_000_000_000;

    /// The pause in seconds, rounded up past what chance took off.
    fn pause(health: &Health, now: Ticks) -> f64 {
        (health.until() - now) as f64 / SECOND as f64
    }

    #[test]
    fn pauses_grow_up_to_the_longest_with_some_of_each_left_to_chance() {
        let (health, outlier, dice) = (Health::default(), Outlier::default(), Dice::new(1));
        for full in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            health.set_aside(&outlier, SECOND, dice.roll());
            let pause = pause(&health, SECOND);
            assert!(pause > 0.79 * full && pause <= full, "{pause} of {full}");
        }
    }

    #[test]
    fn health_takes_doublings_back() {
        let (health, outlier, dice) = (Health::default(), Outlier::default(), Dice::new(1));
        for _ in 0..5 {
            health.set_aside(&outlier, SECOND, dice.roll());
        }
        health.bring_back(SECOND);
        health.set_aside(&outlier, 31 * SECOND, dice.roll());
        // Five pauses, three forgiven, one more: the third, of 4 seconds.
        let third = pause(&health, 31 * SECOND);
        assert!((3.1..=4.0).contains(&third), "{third}");
    }

    #[test]
    fn the_probe_is_had_once() {
        let (health, dice) = (Health::default(), Dice::new(1));
        assert!(!health.claim(SECOND, true), "one that takes part needs none");
        health.set_aside(&Outlier::default(), SECOND, dice.roll());
        assert!(!health.claim(SECOND, false) && !health.is_due(SECOND));
        assert!(health.is_due(2 * SECOND) && health.claim(2 * SECOND, false));
        assert!(!health.is_due(2 * SECOND) && !health.claim(9 * SECOND, true));
        health.give_back(&Outlier::default(), 2 * SECOND);
        assert!(!health.claim(2 * SECOND, false) && health.claim(3 * SECOND, false));
    }
}
