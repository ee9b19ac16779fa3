//! Failures on purpose, switched while the server runs.
//!
//! In: `POST /admin/fail?status=503&percent=50&delay=1s`. Out: what becomes of each request after it. Which ones fail is
//! counted out and not drawn, so that of a hundred exactly so many do.

use crate::query::Query;
use hyper::StatusCode;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// What becomes of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// They are answered with this status; none answers them as ever.
    pub status: Option<StatusCode>,
    /// They wait so long before.
    pub delay: Duration,
    /// The share of them, in percent.
    pub percent: u64,
}

impl Fault {
    /// What a request to the switch asks for.
    pub fn read(query: &Query) -> Result<Self, String> {
        let status: Option<StatusCode> = query.number("status")?;
        if status.is_some_and(|status| status.is_informational()) {
            return Err("such a status could not be the last answer\n".to_owned());
        }
        Ok(Self { status, delay: query.time("delay")?, percent: query.number("percent")?.unwrap_or(100) })
    }
}

/// A share of many, spread evenly.
#[derive(Debug, Default)]
pub struct Share(AtomicU64);

impl Share {
    /// Before the first.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether the next one belongs to it.
    pub fn next(&self, percent: u64) -> bool {
        let before = self.0.fetch_add(1, Ordering::Relaxed) % 100;
        let of = |count: u64| count * percent.min(100) / 100;
        of(before + 1) > of(before)
    }
}

/// The switch.
#[derive(Debug)]
pub struct Switch {
    fault: watch::Sender<Fault>,
    share: Share,
}

impl Default for Switch {
    fn default() -> Self {
        Self { fault: watch::channel(Fault::default()).0, share: Share::default() }
    }
}

impl Switch {
    /// From now on requests fail so; the default lets them be.
    pub fn turn(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Waits where the next request should, and tells with which status it fails, if it does.
    pub async fn pass(&self) -> Option<StatusCode> {
        let Fault { status, delay, percent } = *self.fault.borrow();
        if !self.share.next(percent) {
            return None;
        }
        sleep(delay).await;
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_met_exactly_and_spread() {
        for percent in [0, 1, 33, 50, 100, 250] {
            let share = Share::default();
            let taken: Vec<bool> = (0..1000).map(|_| share.next(percent)).collect();
            let count = taken.iter().filter(|taken| **taken).count() as u64;
            assert_eq!(count, percent.min(100) * 10);
            assert_eq!(taken[..100].iter().filter(|taken| **taken).count() as u64 * 10, count);
        }
        let half = Share::default();
        assert_eq!([(); 4].map(|()| half.next(50)), [false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_switched_holds_until_it_is_switched_back() {
        let switch = Switch::default();
        assert_eq!(switch.pass().await, None);
        let slow = Fault { status: None, delay: Duration::from_secs(1), percent: 100 };
        switch.turn(slow);
        let start = tokio::time::Instant::now();
        assert_eq!(switch.pass().await, None);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        switch.turn(Fault { status: Some(StatusCode::BAD_GATEWAY), delay: Duration::ZERO, percent: 100 });
        assert_eq!(switch.pass().await, Some(StatusCode::BAD_GATEWAY));
        switch.turn(Fault::default());
        assert_eq!(switch.pass().await, None);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
