//! One timer for all that may take too long on a connection.
//!
//! In: the nearest of the deadlines that hold now. Out: when it has passed. The timer is moved only when a nearer deadline
//! comes up; where the deadline moved away meanwhile, it rings in vain once and is set anew. So a connection whose
//! deadlines move with every byte costs no work on the timer for most of them.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer; it costs nothing before it is needed.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

// === impl Alarm ===

impl Alarm {
    /// Ends when `deadline` has passed.
    pub fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if sleep.deadline() >= deadline || Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_away_is_kept() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let first = poll_fn(|context| Poll::Ready(alarm.poll(context, start + Duration::from_secs(1)))).await;
        assert!(first.is_pending());
        poll_fn(|context| alarm.poll(context, start + Duration::from_secs(5))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_nearer_deadline_is_heard_in_time() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let first =
            poll_fn(|context| Poll::Ready(alarm.poll(context, start + Duration::from_secs(60)))).await;
        assert!(first.is_pending());
        poll_fn(|context| alarm.poll(context, start + Duration::from_secs(1))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
