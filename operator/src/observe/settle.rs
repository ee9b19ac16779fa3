//! Waits until changes settle.
//!
//! In: a [`Notify`] that is told of each change. Out: one return of [`settled`] per burst of changes, after a quiet
//! moment, but never later than a ceiling: changes without end must not hide themselves, as kube-runtime's debounce
//! lets them.

use std::time::Duration;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// How long nothing must change. Long enough for the handful of objects of one rollout step to arrive together.
pub const QUIET: Duration = Duration::from_millis(50);
/// The longest that a change waits.
pub const CEILING: Duration = Duration::from_secs(1);

/// Returns once there was a change and then quiet, or the ceiling passed.
pub async fn settled(changes: &Notify) {
    changes.notified().await;
    let ceiling = Instant::now() + CEILING;
    loop {
        let quiet = Instant::now() + QUIET;
        if timeout_at(quiet.min(ceiling), changes.notified()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_tick_after_quiet() {
        let changes = Notify::new();
        changes.notify_one();
        changes.notify_one();
        let start = Instant::now();
        settled(&changes).await;
        assert_eq!(start.elapsed(), QUIET);
        assert!(timeout(CEILING * 2, settled(&changes)).await.is_err(), "no change, no tick");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_are_seen_at_the_ceiling() {
        let changes = Arc::new(Notify::new());
        let source = Arc::clone(&changes);
        let endless = tokio::spawn(async move {
            loop {
                source.notify_one();
                sleep(QUIET / 2).await;
            }
        });
        let start = Instant::now();
        settled(&changes).await;
        assert!(start.elapsed() <= CEILING + QUIET, "{:?}", start.elapsed());
        endless.abort();
    }
}
