//! Points in time as numbers that fit an atomic.
//!
//! In: the time now, whenever somebody has it. Out: nanoseconds since the first of them.

use std::{sync::OnceLock, time::Duration};
use tokio::time::Instant;

/// A point in time, or a time between two, in nanoseconds of a clock.
pub type Ticks = u64;

/// Counts from the first time that it is shown. It is a part of state that requests share, so it does not lock.
#[derive(Debug, Default)]
pub struct Clock(OnceLock<Instant>);

// === impl Clock ===

impl Clock {
    /// Nanoseconds since the first call; 0 for a time before, which a thread may have read and not yet used.
    pub fn nanoseconds(&self, now: Instant) -> Ticks {
        nanoseconds(now.saturating_duration_since(*self.0.get_or_init(|| now)))
    }

    /// Whole seconds since the first call.
    pub fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(*self.0.get_or_init(|| now)).as_secs()
    }

    /// The time that is so many nanoseconds after the first call; none before that.
    pub fn time(&self, nanoseconds: Ticks) -> Option<Instant> {
        self.0.get()?.checked_add(Duration::from_nanos(nanoseconds))
    }
}

/// A duration in ticks; what is longer than five hundred years is that.
#[must_use]
pub fn nanoseconds(duration: Duration) -> Ticks {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_its_first_call() {
        let clock = Clock::default();
        let start = Instant::now();
        assert_eq!(clock.time(5), None);
        assert_eq!(clock.nanoseconds(start), 0);
        assert_eq!(clock.nanoseconds(start + Duration::new(2, 3)), 2_000_000_003);
        assert_eq!(clock.seconds(start + Duration::new(2, 3)), 2);
        assert_eq!(clock.time(2_000_000_003), Some(start + Duration::new(2, 3)));
        assert_eq!(clock.nanoseconds(start - Duration::from_secs(1)), 0);
    }
}
