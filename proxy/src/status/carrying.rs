//! Which Services with a limit of the whole cluster have requests here.
//!
//! In: the counters of the plan's routes, each time that the operator asks. Out: the Services whose counter moved within
//! the last half minute. The operator asks more often than that (every 10 s at least), so nothing need be watched between.

use crate::plan::Plan;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use weft_contract::{ServiceKey, policy::RateLimitScope};

/// How long a Service counts as carried after its last request.
const RECENT: Duration = Duration::from_secs(30);

/// What the counters said when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Carrying(BTreeMap<ServiceKey, Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    requests: u64,
    moved: Option<Instant>,
}

// === impl Carrying ===

impl Carrying {
    /// Looks at the counters again; the Services that are carried, sorted.
    pub(super) fn look(&mut self, plan: &Plan, now: Instant) -> Vec<ServiceKey> {
        let mut counters = BTreeMap::<ServiceKey, u64>::new();
        for route in plan.routes().values() {
            let limit = route.policy.rate_limit.as_ref();
            if limit.is_some_and(|limit| limit.scope == RateLimitScope::Cluster) {
                *counters.entry(route.target.service.clone()).or_default() += route.traffic.carried_so_far();
            }
        }
        self.look_at(counters, now)
    }

    fn look_at(&mut self, counters: BTreeMap<ServiceKey, u64>, now: Instant) -> Vec<ServiceKey> {
        // What is no longer asked for is forgotten, so that this grows no larger than the configuration.
        self.0.retain(|service, _| counters.contains_key(service));
        for (service, requests) in counters {
            let seen = self.0.entry(service).or_default();
            if requests != seen.requests {
                *seen = Seen { requests, moved: Some(now) };
            }
        }
        let is_recent = |moved: Instant| now.saturating_duration_since(moved) < RECENT;
        let recent = self.0.iter().filter(|(_, seen)| seen.moved.is_some_and(is_recent));
        recent.map(|(service, _)| service.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(carrying: &mut Carrying, counters: &[(&str, u64)], now: Instant) -> Vec<String> {
        let counters =
            counters.iter().map(|(name, count)| (ServiceKey::new("shop", *name), *count)).collect();
        carrying.look_at(counters, now).into_iter().map(|service| service.name).collect()
    }

    #[test]
    fn a_service_is_carried_for_half_a_minute_after_its_counter_moved() {
        let (start, mut carrying) = (Instant::now(), Carrying::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(look(&mut carrying, &[("a", 0), ("b", 3)], at(0)), ["b"]);
        assert_eq!(look(&mut carrying, &[("a", 1), ("b", 3)], at(10)), ["a", "b"]);
        assert_eq!(look(&mut carrying, &[("a", 1), ("b", 3)], at(29)), ["a", "b"]);
        assert_eq!(look(&mut carrying, &[("a", 1), ("b", 3)], at(30)), ["a"]);
        assert_eq!(look(&mut carrying, &[("a", 1), ("b", 4)], at(40)), ["b"]);
    }

    #[test]
    fn what_goes_is_forgotten() {
        let (now, mut carrying) = (Instant::now(), Carrying::default());
        assert_eq!(look(&mut carrying, &[("a", 5)], now), ["a"]);
        assert!(look(&mut carrying, &[], now).is_empty());
        assert!(carrying.0.is_empty());
        assert!(look(&mut carrying, &[("a", 0)], now).is_empty(), "with a new counter");
    }
}
