//! Time as one number, which an atomic can hold.

use std::time::Duration;
use tokio::time::Instant;

/// Nanoseconds since a clock's start, from 1 on, so that 0 can stand for "never".
pub(super) type Ticks = u64;

/// Counts from when the first balancer of a Service's port was made; those that follow it count on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn starting(now: Instant) -> Self {
        Self(now)
    }

    pub(super) fn ticks(self, now: Instant) -> Ticks {
        nanoseconds(now.saturating_duration_since(self.0)).saturating_add(1)
    }
}

/// A duration in ticks.
pub(super) fn nanoseconds(duration: Duration) -> Ticks {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
