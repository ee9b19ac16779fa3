//! How the proxy goes: serving -> retiring -> closing (-> cutting) -> gone.
//!
//! In: the word that the process shall end, and how many connections there are. Out: the phase, which every other
//! station obeys, and the moment to exit. While *retiring* the proxy says it is not ready but still accepts, for it
//! takes Kubernetes a moment to send clients elsewhere; every answer tells its client to connect anew. While *closing*
//! nothing is accepted and what is in flight is finished. *Gone* is when nothing is left, or at the deadline, at which
//! what is left is *cut*.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

/// How long what is cut at the deadline may take to be so: it takes a moment of each worker's.
const CUTTING: Duration = Duration::from_millis(200);
/// How often it is looked whether the last connection is gone.
const LOOK: Duration = Duration::from_millis(20);

/// Where the proxy is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    Serving,
    /// Everything is served still, but clients are told to go elsewhere.
    Retiring,
    /// Nothing new is accepted.
    Closing,
    /// What is left is ended: a TCP connection by a reset, for the end of the process would look like the end of what
    /// the other side had to say.
    Cutting,
}

/// The phase, shared by all stations.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    /// The same as an atomic, read once a request.
    retiring: Arc<AtomicBool>,
}

/// How long the steps may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a retiring proxy still accepts.
    pub quiet: Duration,
    /// After how long in all it goes whatever is left.
    pub deadline: Duration,
}

// === impl Drain ===

impl Default for Drain {
    fn default() -> Self {
        Self { phase: Arc::new(watch::channel(Phase::Serving).0), retiring: Arc::default() }
    }
}

impl Drain {
    /// Whether clients are to be told to connect anew.
    #[must_use]
    pub fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Relaxed)
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Ends when clients are to be told to connect anew.
    pub async fn retiring(&self) {
        self.reached(Phase::Retiring).await;
    }

    /// Ends when nothing is accepted any more.
    pub async fn closing(&self) {
        self.reached(Phase::Closing).await;
    }

    /// Ends when the deadline has come.
    pub async fn cutting(&self) {
        self.reached(Phase::Cutting).await;
    }

    async fn reached(&self, wanted: Phase) {
        let mut phase = self.phase.subscribe();
        // The sender lives in `self`, so that this cannot fail.
        let _ = phase.wait_for(|phase| *phase >= wanted).await;
    }

    fn enter(&self, phase: Phase) {
        self.retiring.store(phase >= Phase::Retiring, Ordering::Relaxed);
        self.phase.send_replace(phase);
    }

    /// Goes through all phases; ends when the process may exit. Says whether nothing was left.
    pub async fn go(&self, patience: Patience, connections: impl Fn() -> usize) -> bool {
        let deadline = Instant::now() + patience.deadline;
        self.enter(Phase::Retiring);
        tracing::info!(connections = connections(), "retiring: still accepting, no longer ready");
        sleep(patience.quiet.min(patience.deadline)).await;
        self.enter(Phase::Closing);
        tracing::info!(connections = connections(), "closing: finishing what is in flight");
        let empty = async {
            // One look later, so that what was just accepted is counted.
            loop {
                sleep(LOOK).await;
                if connections() == 0 {
                    return;
                }
            }
        };
        tokio::pin!(empty);
        let finished = timeout_at(deadline, &mut empty).await.is_ok();
        if !finished {
            self.enter(Phase::Cutting);
            let _ = timeout(CUTTING, empty).await;
        }
        tracing::info!(connections = connections(), finished, "gone");
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    const PATIENCE: Patience = Patience { quiet: Duration::from_secs(5), deadline: Duration::from_secs(25) };

    #[tokio::test(start_paused = true)]
    async fn an_empty_proxy_goes_right_after_the_quiet_time() {
        let start = Instant::now();
        assert!(Drain::default().go(PATIENCE, || 0).await);
        assert!((5..6).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_cut_at_the_deadline() {
        let start = Instant::now();
        assert!(!Drain::default().go(PATIENCE, || 1).await);
        assert_eq!(start.elapsed().as_secs(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn it_accepts_while_retiring_and_goes_with_the_last_connection() {
        let drain = Drain::default();
        let open = Arc::new(AtomicUsize::new(3));
        let (going, counted) = (drain.clone(), Arc::clone(&open));
        let task = tokio::spawn(async move { going.go(PATIENCE, || counted.load(Ordering::Relaxed)).await });
        sleep(Duration::from_secs(4)).await;
        assert_eq!(drain.phase(), Phase::Retiring);
        assert!(drain.is_retiring());
        drain.closing().await;
        sleep(Duration::from_secs(4)).await;
        assert!(!task.is_finished());
        open.store(0, Ordering::Relaxed);
        assert!(task.await.unwrap());
    }
}
