//! Waits until something holds.
//!
//! In: a check. Out: its value, or an error with what it said last. Every wait of the tests is one of these: none of
//! them sleeps for a time and hopes.

use anyhow::{Result, anyhow};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Tries `check` until it succeeds; fails with its last error after `limit`.
///
/// # Errors
/// When the time is over.
pub async fn eventually<T, F: Future<Output = Result<T>>>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> F,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let error = match check().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if Instant::now() >= end {
            return Err(anyhow!("{what}: not within {limit:?}: {error:#}"));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Seconds, shorter to write.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
