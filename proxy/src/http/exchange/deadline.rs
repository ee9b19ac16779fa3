//! When a request has taken too long.
//!
//! In: the Service's timeouts, the call's own deadline (`grpc-timeout`), and every byte that moves. Out: the nearest
//! deadline, and what its passing means.

use super::Call;
use crate::{cause::Cause, retry::grpc_timeout, route::Route};
use std::time::Duration;
use tokio::time::Instant;

/// The deadlines of one request.
#[derive(Debug)]
pub struct Deadlines {
    /// Until the head of the answer, all tries together.
    head: Option<Instant>,
    /// Until the head of the answer of this try.
    this_try: Option<Instant>,
    /// Until the end of the answer.
    whole: Option<Instant>,
    idle: Option<Duration>,
    body: Duration,
    moved: Instant,
}

// === impl Deadlines ===

impl Deadlines {
    /// The deadlines of a call that begins.
    #[must_use]
    pub fn new(route: &Route, call: &Call) -> Self {
        let timeouts = &route.policy.timeouts;
        let after = |duration: Duration| call.started.checked_add(duration);
        // A gRPC deadline covers the whole call (gRPC over HTTP/2, "Timeout").
        let grpc = if call.request.is_grpc() {
            call.request.head.get("grpc-timeout").and_then(grpc_timeout::parse)
        } else {
            None
        };
        let whole = [timeouts.stream, grpc].into_iter().flatten().min();
        Self {
            head: timeouts.request.and_then(after),
            this_try: None,
            whole: whole.and_then(after),
            idle: timeouts.idle,
            body: route.policy.limits.body_timeout,
            moved: call.started,
        }
    }

    /// Another try begins.
    pub fn try_begins(&mut self, now: Instant, per_try: Option<Duration>) {
        self.this_try = per_try.and_then(|duration| now.checked_add(duration));
        self.moved = now;
    }

    /// A try is over, and the time for it: what comes now is no part of it.
    pub fn try_ends(&mut self) {
        self.this_try = None;
    }

    /// Bytes moved.
    pub fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// The answer's head has come, or another protocol was agreed on: only the whole counts, and standing still.
    pub fn head_has_come(&mut self, now: Instant) {
        self.head = None;
        self.this_try = None;
        self.moved = now;
    }

    /// The nearest deadline; `uploading` while a part of the request's body is awaited.
    #[must_use]
    pub fn nearest(&self, uploading: bool) -> Option<Instant> {
        let idle = self.idle.and_then(|idle| self.moved.checked_add(idle));
        let body = if uploading { self.moved.checked_add(self.body) } else { None };
        [self.head, self.this_try, self.whole, idle, body].into_iter().flatten().min()
    }

    /// What it means that the nearest deadline has passed.
    #[must_use]
    pub fn passed(&self, now: Instant, uploading: bool) -> Cause {
        let has = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if has(self.whole) || has(self.head) {
            Cause::DeadlineExceeded
        } else if has(self.this_try) {
            Cause::TryTimeout
        } else if uploading && now.saturating_duration_since(self.moved) >= self.body {
            Cause::RequestTimeout
        } else {
            Cause::IdleTimeout
        }
    }
}
