//! Keeps the operator from fighting with whatever takes the zones out again and again.
//!
//! In: when that happened. Out: how long to wait before they are added again.

use std::time::Duration;
use tokio::time::Instant;

/// The first wait; it doubles with each time.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// After this long without, the next time is the first again.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How often the zones were taken out lately.
#[derive(Clone, Debug, Default)]
pub struct Reverts {
    times: u32,
    last: Option<Instant>,
}

impl Reverts {
    /// Counts one more.
    pub fn note(&mut self, now: Instant) {
        self.times = if self.is_recent(now) { self.times.saturating_add(1) } else { 1 };
        self.last = Some(now);
    }

    /// How long to wait yet. The first time is answered at once.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Duration {
        let delay = match self.times {
            0 | 1 => Duration::ZERO,
            times => FIRST.saturating_mul(1 << (times - 2).min(8)).min(LONGEST),
        };
        self.last.map_or(Duration::ZERO, |last| (last + delay).saturating_duration_since(now))
    }

    /// Whether it happened more than once lately.
    #[must_use]
    pub fn is_fight(&self, now: Instant) -> bool {
        self.times > 1 && self.is_recent(now)
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < FORGOTTEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_answered_at_once_the_next_ever_later_and_peace_is_remembered() {
        let mut reverts = Reverts::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            reverts.note(Instant::now());
            let wait = reverts.wait(Instant::now());
            waits.push(wait.as_secs());
            advance(wait).await;
            assert_eq!(reverts.wait(Instant::now()), Duration::ZERO);
        }
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60]);
        assert!(reverts.is_fight(Instant::now()));
        advance(FORGOTTEN).await;
        assert!(!reverts.is_fight(Instant::now()));
        reverts.note(Instant::now());
        assert_eq!(reverts.wait(Instant::now()), Duration::ZERO);
    }
}
