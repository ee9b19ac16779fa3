//! What the endpoints of one port of a Service have in common: how many of them may be set aside, and who waits for one.
//!
//! In: who belongs to it, and which of them fail. Out: who is set aside and who comes back; never more than the limit.
//! Counting takes the lock below; it is taken only where an endpoint's part changes, not on the way of a request.

use super::{dice::Roll, room::Room, state::EndpointState, window::Tally};
use crate::clock::{Clock, Ticks};
use arc_swap::ArcSwap;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::time::Instant;
use weft_contract::policy::Outlier;

/// How many of the others are asked for what latency is usual; more would not tell more.
const SAMPLE: usize = 16;

/// Lives on while balancers come and go, as the states of the endpoints do.
#[derive(Debug)]
pub(super) struct Group {
    /// What all that is known of its members counts by.
    clock: Clock,
    members: ArcSwap<Members>,
    /// How many are set aside.
    set_aside: AtomicUsize,
    /// When the first pause ends that nobody probes after yet, or [`Ticks::MAX`]: what a request has to look at.
    next_due: AtomicU64,
    changing: Mutex<()>,
    pub(super) room: Room,
}

#[derive(Debug, Default)]
struct Members {
    outlier: Outlier,
    /// Weak, for each of them holds the group.
    states: Vec<Weak<EndpointState>>,
}

// === impl Group ===

impl Default for Group {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            members: ArcSwap::default(),
            set_aside: AtomicUsize::new(0),
            next_due: AtomicU64::new(Ticks::MAX),
            changing: Mutex::default(),
            room: Room::default(),
        }
    }
}

impl Group {
    /// Nanoseconds of its clock, from 1 on, so that 0 can stand for "never".
    pub(super) fn ticks(&self, now: Instant) -> Ticks {
        self.clock.nanoseconds(now).saturating_add(1)
    }

    /// From now on these belong to it. Those set aside beyond what is allowed among so many come back.
    pub(super) fn regroup(&self, states: &[Arc<EndpointState>], outlier: &Outlier, now: Ticks) {
        let members = Arc::new(Members {
            outlier: outlier.clone(),
            states: states.iter().map(Arc::downgrade).collect(),
        });
        let _changing = self.lock();
        let mut aside: Vec<_> = states.iter().filter(|state| !state.health.takes_part()).collect();
        aside.sort_by_key(|state| state.health.until());
        let excess = aside.len().saturating_sub(members.most());
        aside.iter().take(excess).for_each(|state| state.bring_back(None, now));
        self.count(&members);
        self.members.store(members);
    }

    /// Whether a pause is over, so that a request should probe.
    pub(super) fn is_any_due(&self, now: Ticks) -> bool {
        self.next_due.load(Ordering::Relaxed) <= now
    }

    /// `state` failed: sets it aside if that is called for, and allowed.
    pub(super) fn failed(&self, state: &EndpointState, now: Ticks, roll: Roll) {
        let members = self.members.load();
        if self.set_aside.load(Ordering::Relaxed) >= members.most() || !members.is_outlier(state, now) {
            return;
        }
        let _changing = self.lock();
        let members = self.members.load();
        // Anything may have changed before the lock was had.
        if members.has(state) && state.health.takes_part() && members.set_aside() < members.most() {
            state.health.set_aside(&members.outlier, now, roll);
            tracing::debug!(address = %state.address, "endpoint set aside");
        }
        self.count(&members);
    }

    /// The request that probes `state` has its verdict.
    pub(super) fn probed(&self, state: &EndpointState, failed: bool, now: Ticks, roll: Roll) {
        let _changing = self.lock();
        let members = self.members.load();
        // It may have been brought back meanwhile.
        if state.health.is_probed() {
            if failed {
                state.health.set_aside(&members.outlier, now, roll);
            } else {
                state.bring_back(members.typical_latency(state, now, roll), now);
                tracing::debug!(address = %state.address, "endpoint is back");
            }
        }
        self.count(&members);
    }

    /// A request probes one of them.
    pub(super) fn claimed(&self) {
        let _changing = self.lock();
        self.count(&self.members.load());
    }

    /// The request that probes `state` ended without a verdict.
    pub(super) fn abandoned(&self, state: &EndpointState, started: Ticks) {
        let _changing = self.lock();
        let members = self.members.load();
        state.health.give_back(&members.outlier, started);
        self.count(&members);
    }

    /// What the other endpoints' latency is, as far as there are others.
    pub(super) fn typical_latency(&self, state: &EndpointState, now: Ticks, roll: Roll) -> Option<f32> {
        self.members.load().typical_latency(state, now, roll)
    }

    /// Whether `state`, which asks to be left alone, can be: while more than half are left to do the work, or half.
    pub(super) fn can_spare(&self, state: &EndpointState, now: Ticks) -> bool {
        let members = self.members.load();
        let spared = members.others(state).filter(|other| other.is_avoided(now)).count();
        (spared + 1) * 2 <= members.states.len()
    }

    /// Brings what is counted up to date; with the lock held.
    fn count(&self, members: &Members) {
        let aside =
            members.states.iter().filter_map(Weak::upgrade).filter(|state| !state.health.takes_part());
        let (count, next_due) = aside.fold((0, Ticks::MAX), |(count, next_due), state| {
            (count + 1, next_due.min(state.health.until()))
        });
        self.set_aside.store(count, Ordering::Relaxed);
        self.next_due.store(next_due, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could leave half done.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Members ===

impl Members {
    /// How many may be set aside at once.
    fn most(&self) -> usize {
        self.states.len() * self.outlier.most_percent.min(50) as usize / 100
    }

    fn has(&self, state: &EndpointState) -> bool {
        self.states.iter().any(|member| std::ptr::eq(member.as_ptr(), state))
    }

    fn others<'a>(&'a self, state: &'a EndpointState) -> impl Iterator<Item = Arc<EndpointState>> + 'a {
        let others = self.states.iter().filter(move |member| !std::ptr::eq(member.as_ptr(), state));
        others.filter_map(Weak::upgrade)
    }

    fn set_aside(&self) -> usize {
        let members = self.states.iter().filter_map(Weak::upgrade);
        members.filter(|state| !state.health.takes_part()).count()
    }

    fn is_outlier(&self, state: &EndpointState, now: Ticks) -> bool {
        if state.health.fails_in_a_row(&self.outlier) {
            return true;
        }
        let Some(own) = state.health.suspicious(&self.outlier, now) else { return false };
        let mut others = Tally::default();
        // Those set aside do worse by themselves; the question is whether it could go better.
        for other in self.others(state).filter(|other| other.health.takes_part()) {
            others += other.health.window.tally(now);
        }
        others.clearly_better_than(own)
    }

    fn typical_latency(&self, state: &EndpointState, now: Ticks, roll: Roll) -> Option<f32> {
        let first = if self.states.is_empty() { 0 } else { roll.one(self.states.len()) };
        let (before, after) = self.states.split_at(first);
        let (mut sum, mut count) = (0.0, 0);
        for other in after.iter().chain(before).take(SAMPLE).filter_map(Weak::upgrade) {
            if !std::ptr::eq(&raw const *other, state) && other.health.takes_part() {
                sum += other.latency.estimate(now);
                count += 1;
            }
        }
        (count > 0).then(|| sum / count as f32)
    }
}
