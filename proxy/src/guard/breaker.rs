//! The circuit breaker of a Service: when its expression holds, nobody is let through for a while.
//!
//! In: what became of each request. Out: whether the next may pass.
//!
//! ```text
//!            the expression holds                10 s pass
//!   closed ----------------------> open --------------------------> recovering
//!     ^                             ^                                 |     |
//!     |                             +--------- it holds again --------+     |
//!     +----------------------------------- 10 s pass -----------------------+
//! ```
//!
//! It means what Traefik's does: the expression is looked at with an answer, at most every 100 ms, over the last ten
//! seconds; tripping forgets what was measured; while it recovers, a share of requests passes that grows from none to
//! all. In two things it differs, both for Services with few requests. The recovery begins by the clock, not with the first
//! request after the pause, so that a Service that nobody called meanwhile is not shown as open for ever and refuses no
//! first caller. And what ends while it is open (it was let through before) is not counted against the recovery.

use super::window::Window;
use crate::{balance::Dice, clock::Clock};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use weft_contract::{
    expression::Expression,
    policy::{BREAKER_CHECK, BREAKER_FALLBACK, BREAKER_RECOVERY},
};

/// What a failed connection counts as in a `ResponseCodeRatio`: the status that its client gets.
const NETWORK_ERROR: u16 = 502;
/// When to come again while the breaker recovers. Short, for who comes then may be let through; and were it the end of
/// the recovery, all would come at once.
const RECOVERING_RETRY_AFTER: Duration = Duration::from_secs(1);
const CHECK: u64 = BREAKER_CHECK.as_nanos() as u64;
const FALLBACK: u64 = BREAKER_FALLBACK.as_nanos() as u64;
const RECOVERY: u64 = BREAKER_RECOVERY.as_nanos() as u64;

/// A circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    expression: Expression,
    state: Arc<State>,
}

/// Shared by the breakers of successive plans with the same expression.
#[derive(Debug)]
struct State {
    clock: Clock,
    window: Window,
    /// When it tripped, in nanoseconds of the clock plus 1; 0 where it is closed.
    tripped: AtomicU64,
    /// When it tripped last, likewise; 0 where it never did.
    last_trip: AtomicU64,
    trips: AtomicU64,
    /// From when on the expression is looked at again.
    next_check: AtomicU64,
}

/// The circuit breaker does not let a request through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// When to come again.
    pub retry_after: Duration,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The answer's status; none where there was no answer: a network error.
    pub status: Option<u16>,
    /// How long it took.
    pub latency: Duration,
}

/// What it does at some time.
enum Phase {
    Closed,
    /// For so many nanoseconds still.
    Open(u64),
    /// Since so many nanoseconds.
    Recovering(u64),
}

// === impl Breaker ===

impl Breaker {
    /// A circuit breaker; it goes on from where `previous` is, if that has the same expression.
    #[must_use]
    pub fn new(expression: Expression, previous: Option<&Self>) -> Self {
        let state = match previous {
            Some(previous) if previous.expression == expression => Arc::clone(&previous.state),
            _ => Arc::new(State::new(expression.asks_for_latency())),
        };
        Self { expression, state }
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// When it may not, and when to come again.
    pub fn admit(&self, dice: &Dice, now: Instant) -> Result<(), Open> {
        if self.state.tripped.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        match self.state.phase(self.state.clock.nanoseconds(now)) {
            Phase::Closed => Ok(()),
            Phase::Open(rest) => Err(Open { retry_after: Duration::from_nanos(rest) }),
            Phase::Recovering(since) if dice.fraction() < since as f64 / RECOVERY as f64 => Ok(()),
            Phase::Recovering(_) => Err(Open { retry_after: RECOVERING_RETRY_AFTER }),
        }
    }

    /// Takes note of what became of a request, and trips if that is too much.
    pub fn observe(&self, outcome: Sample, now: Instant) {
        let Sample { status, latency } = outcome;
        let state = &*self.state;
        let now = state.clock.nanoseconds(now);
        if matches!(state.phase(now), Phase::Open(_)) {
            return;
        }
        let second = now / 1_000_000_000;
        state.window.record(status.unwrap_or(NETWORK_ERROR), latency, second);
        if state.time_to_check(now) && self.expression.holds(&state.window.at(second)) {
            state.trip(now);
        }
    }

    /// How often it tripped.
    #[must_use]
    pub fn trips(&self) -> u64 {
        self.state.trips.load(Ordering::Relaxed)
    }

    /// When it tripped last.
    #[must_use]
    pub fn last_trip(&self) -> Option<Instant> {
        let at = self.state.last_trip.load(Ordering::Relaxed).checked_sub(1)?;
        self.state.clock.time(at)
    }

    /// Whether it lets less than all through: it is open, or recovers.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        !matches!(self.state.phase(self.state.clock.nanoseconds(now)), Phase::Closed)
    }
}

// === impl State ===

impl State {
    fn new(latencies: bool) -> Self {
        Self {
            clock: Clock::default(),
            window: Window::new(latencies),
            tripped: AtomicU64::new(0),
            last_trip: AtomicU64::new(0),
            trips: AtomicU64::new(0),
            next_check: AtomicU64::new(0),
        }
    }

    fn phase(&self, now: u64) -> Phase {
        let tripped = self.tripped.load(Ordering::Acquire);
        let Some(at) = tripped.checked_sub(1) else { return Phase::Closed };
        match now.saturating_sub(at) {
            since if since < FALLBACK => Phase::Open(FALLBACK - since),
            since if since < FALLBACK + RECOVERY => Phase::Recovering(since - FALLBACK),
            _ => {
                // So that the next need not reckon. If it tripped anew meanwhile, that stands.
                let _ = self.tripped.compare_exchange(tripped, 0, Ordering::AcqRel, Ordering::Relaxed);
                Phase::Closed
            }
        }
    }

    /// Whether it is time to look at the expression; true for one of those that ask at once.
    fn time_to_check(&self, now: u64) -> bool {
        let next = self.next_check.load(Ordering::Relaxed);
        now >= next
            && self
                .next_check
                .compare_exchange(next, now + CHECK, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn trip(&self, now: u64) {
        let before = self.tripped.load(Ordering::Acquire);
        if self.tripped.compare_exchange(before, now + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.window.clear();
            self.last_trip.store(now + 1, Ordering::Relaxed);
            self.trips.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
