//! Counts a request exactly once, however it ends.
//!
//! In: what became of it. Out: the route's counters, when this is dropped.

use crate::{cause::Cause, metrics::Traffic};
use std::sync::Arc;
use tokio::time::Instant;

/// What is known so far.
#[derive(Debug)]
pub struct Record {
    traffic: Arc<Traffic>,
    started: Instant,
    status: Option<u16>,
    cause: Option<Cause>,
}

// === impl Record ===

impl Record {
    /// A request that began.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>, started: Instant) -> Self {
        Self { traffic, started, status: None, cause: None }
    }

    /// The endpoint's answer is on its way.
    pub fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// The proxy answers itself, or breaks the answer off.
    pub fn own(&mut self, cause: Cause, status: u16) {
        self.cause = Some(cause);
        self.status.get_or_insert(status);
    }

    /// A try failed.
    pub fn failed(&self, cause: Cause) {
        self.traffic.failure(cause);
    }

    /// Another try begins.
    pub fn again(&self) {
        self.traffic.retry();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.traffic.request(self.status, self.started.elapsed());
        if let Some(cause) = self.cause {
            self.traffic.own(cause);
        }
    }
}
