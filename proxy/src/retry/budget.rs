//! How much may be retried in all, so that retries cannot make an overload worse.
//!
//! In: every request, and every wish for a retry. Out: whether the wish is granted: a share of the requests of the last ten
//! seconds, and a fixed number a second besides, which lets a Service with few requests retry at all.

use crate::clock::Clock;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;
use weft_contract::policy::{RETRY_BUDGET_WINDOW, RetryBudget};

const SECONDS: u64 = RETRY_BUDGET_WINDOW.as_secs();

/// A budget for retries.
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    floor_per_second: u64,
    state: Arc<State>,
}

/// Shared by the budgets of successive plans: what was retried was, whatever is allowed from now on.
#[derive(Debug, Default)]
struct State {
    clock: Clock,
    requests: Counter,
    retries: Counter,
}

/// Counts the events of the last ten seconds, second by second. Each slot holds its second in the upper half and its count
/// in the lower, so that both change at once and nothing is lost when a slot passes to another second.
#[derive(Debug, Default)]
struct Counter([AtomicU64; SECONDS as usize]);

const COUNT_BITS: u32 = 32;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

// === impl Budget ===

impl Budget {
    /// A budget; what `previous` counted counts.
    #[must_use]
    pub fn new(budget: &RetryBudget, previous: Option<&Self>) -> Self {
        let RetryBudget { percent, floor_per_second } = budget;
        let state = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.state));
        Self { percent: u64::from(*percent), floor_per_second: u64::from(*floor_per_second), state }
    }

    /// Takes note of a request: its first try, not those after.
    pub fn request(&self, now: Instant) {
        self.state.requests.add(self.state.clock.seconds(now));
    }

    /// Takes a retry out of the budget. Whether there was one.
    #[must_use]
    pub fn withdraw(&self, now: Instant) -> bool {
        let State { clock, requests, retries } = &*self.state;
        let second = clock.seconds(now);
        let allowed = requests.sum(second) * self.percent / 100 + self.floor_per_second * SECONDS;
        // Counted first and looked at then, so that of many who ask at once no more are granted than there are.
        retries.add(second);
        if retries.sum(second) <= allowed {
            return true;
        }
        retries.take_back(second);
        false
    }
}

// === impl Counter ===

impl Counter {
    fn slot(&self, second: u64) -> &AtomicU64 {
        &self.0[(second % SECONDS) as usize]
    }

    fn add(&self, second: u64) {
        let slot = self.slot(second);
        let mut held = slot.load(Ordering::Relaxed);
        // A thread that was held up for ten seconds finds a later one, and counts there.
        while held >> COUNT_BITS < second {
            let first = (second << COUNT_BITS) | 1;
            match slot.compare_exchange_weak(held, first, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => held = changed,
            }
        }
        slot.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes an [`Counter::add`] of this second, which must have been.
    fn take_back(&self, second: u64) {
        let one_less = |held: u64| (held >> COUNT_BITS == second && held & COUNT > 0).then(|| held - 1);
        // Where the slot holds another second already, what was added is forgotten anyway.
        let _ = self.slot(second).fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// How many in the ten seconds that end with this one.
    fn sum(&self, second: u64) -> u64 {
        let held = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        held.filter(|held| (held >> COUNT_BITS) + SECONDS > second).map(|held| held & COUNT).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn budget(percent: u32, floor_per_second: u32) -> Budget {
        Budget::new(&RetryBudget { percent, floor_per_second }, None)
    }

    fn withdrawn(budget: &Budget, now: Instant) -> usize {
        (0..100_000).take_while(|_| budget.withdraw(now)).count()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_a_share_of_the_requests_of_ten_seconds_and_a_floor() {
        let now = Instant::now();
        let budget = budget(20, 3);
        (0..1000).for_each(|_| budget.request(now));
        assert_eq!(withdrawn(&budget, now), 230);
        assert_eq!(withdrawn(&budget, now + seconds(9)), 0, "what was refused is not counted either");
        assert_eq!(withdrawn(&budget, now + seconds(10)), 30, "the requests are forgotten, and the retries");
        assert_eq!(withdrawn(&budget, now + seconds(19)), 0);
        assert_eq!(withdrawn(&budget, now + seconds(3600)), 30);
    }

    #[test]
    fn without_share_and_floor_there_is_none() {
        let now = Instant::now();
        let budget = budget(0, 0);
        budget.request(now);
        assert!(!budget.withdraw(now));
    }

    #[test]
    fn a_new_plan_goes_on_with_what_was_counted() {
        let now = Instant::now();
        let before = budget(20, 0);
        (0..100).for_each(|_| before.request(now));
        assert_eq!(withdrawn(&before, now), 20);
        let after = Budget::new(&RetryBudget { percent: 50, floor_per_second: 0 }, Some(&before));
        assert_eq!(withdrawn(&after, now), 30);
    }

    /// Everything fails for ten minutes, and every request would be tried twice more.
    #[test]
    fn retries_cannot_storm() {
        const PER_SECOND: u64 = 500;
        let start = Instant::now();
        let budget = budget(20, 10);
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for second in 0..600 {
            for number in 0..PER_SECOND {
                let now = start + seconds(second) + Duration::from_micros(number * 1_000_000 / PER_SECOND);
                budget.request(now);
                requests += 1;
                retries += (0..2).take_while(|_| budget.withdraw(now)).count() as u64;
            }
        }
        let most = requests / 5 + 10 * (600 + SECONDS);
        assert!(retries <= most, "{retries} of {requests}");
        assert!(retries >= most * 9 / 10, "and what is allowed can be had: {retries} of {requests}");
    }

    #[test]
    fn threads_at_once_get_no_more_than_there_are() {
        let now = Instant::now();
        let budget = budget(20, 0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| budget.request(now)));
            }
        });
        let granted = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| budget.withdraw(now)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert!((1..=800).contains(&granted), "{granted}");
        assert_eq!(granted + withdrawn(&budget, now), 800);
    }

    proptest! {
        #[test]
        fn in_no_ten_seconds_more_is_granted_than_there_is(
            steps in prop::collection::vec((0_u64..3_000, 0_u32..30, 0_u32..30), 1..60), percent in 0_u32..120, floor in 0_u32..4,
        ) {
            let budget = budget(percent, floor);
            let mut now = Instant::now();
            let start = now;
            budget.state.clock.seconds(start);
            let (mut requests, mut granted) = (Vec::new(), Vec::new());
            for (pause, ask, wish) in steps {
                now += Duration::from_millis(pause);
                let second = (now - start).as_secs();
                for _ in 0..ask {
                    budget.request(now);
                    requests.push(second);
                }
                for _ in 0..wish {
                    let recent = |events: &[u64]| {
                        events.iter().filter(|event| **event + SECONDS > second).count() as u64
                    };
                    let allowed = recent(&requests) * u64::from(percent) / 100 + u64::from(floor) * SECONDS;
                    let expected = recent(&granted) < allowed;
                    prop_assert_eq!(budget.withdraw(now), expected);
                    if expected {
                        granted.push(second);
                    }
                }
            }
        }
    }
}
