//! Which circuit breakers are open, or were a moment ago.
//!
//! In: the breakers of the plan's routes. Out: what the operator makes Events of.

use crate::plan::Plan;
use std::time::Duration;
use tokio::time::Instant;
use weft_contract::Trip;

/// How long a trip is told after it happened: the operator asks every ten seconds, and may miss some answers.
const RECENT: Duration = Duration::from_secs(60);

/// The breakers that are open or tripped lately, sorted.
pub(super) fn tripped(plan: &Plan, now: Instant) -> Vec<Trip> {
    let trips = plan.routes().values().filter_map(|route| {
        let breaker = route.guards.breaker.as_ref()?;
        let last = breaker.last_trip()?;
        let open = breaker.is_open(now);
        (open || now.saturating_duration_since(last) < RECENT).then(|| Trip {
            service: route.target.service.clone(),
            port: route.target.port,
            times: breaker.trips(),
            open,
        })
    });
    let mut trips: Vec<Trip> = trips.collect();
    trips.sort();
    trips
}
