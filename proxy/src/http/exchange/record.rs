//! Counts a request exactly once, however it ends.
//!
//! In: what became of it. Out: the route's counters and the line of the access log, when this is dropped.

use super::access::Line;
use crate::{cause::Cause, metrics::Traffic};
use std::{net::SocketAddr, sync::Arc};
use tokio::time::Instant;

/// What is known so far.
#[derive(Debug)]
pub struct Record {
    traffic: Arc<Traffic>,
    /// The same of the side that a split sent it to.
    backend: Option<Arc<Traffic>>,
    started: Instant,
    status: Option<u16>,
    cause: Option<Cause>,
    line: Option<Box<Line>>,
}

// === impl Record ===

impl Record {
    /// A request that began, with its line of the access log where one is wanted.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>, started: Instant, line: Option<Box<Line>>) -> Self {
        Self { traffic, backend: None, started, status: None, cause: None, line }
    }

    /// It goes on to a side of a split, where it is counted too.
    pub fn splits(&mut self, backend: Option<Arc<Traffic>>) {
        self.backend = backend;
    }

    /// A try begins.
    pub fn tries(&mut self, endpoint: SocketAddr) {
        if let Some(line) = &mut self.line {
            line.endpoint = Some(endpoint);
            line.tries += 1;
        }
    }

    /// The client went away.
    pub fn client_gone(&mut self) {
        if let Some(line) = &mut self.line {
            line.client_gone = true;
        }
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
        let duration = self.started.elapsed();
        self.traffic.request(self.status, duration);
        if let Some(backend) = &self.backend {
            backend.request(self.status, duration);
        }
        if let Some(cause) = self.cause {
            self.traffic.own(cause);
        }
        if let Some(line) = &self.line {
            line.end(self.status, self.cause, duration);
        }
    }
}
