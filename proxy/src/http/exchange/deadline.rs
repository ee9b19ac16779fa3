//! When a request has taken too long.
//!
//! In: the Service's timeouts, the call's own deadline (`grpc-timeout`), and every byte that moves. Out: the nearest
//! deadline, and what its passing means.

use super::Call;
use crate::{cause::Cause, retry::grpc_timeout, route::Route};
use http::HeaderValue;
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
    /// Until the end of the answer, as the caller of a gRPC method wants it.
    grpc: Option<Instant>,
    idle: Option<Duration>,
    body: Duration,
    moved: Instant,
    began: Instant,
    try_began: Instant,
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
        Self {
            head: timeouts.request.and_then(after),
            this_try: None,
            whole: timeouts.stream.and_then(after),
            grpc: grpc.and_then(after),
            idle: timeouts.idle,
            body: route.policy.limits.body_timeout,
            moved: call.started,
            began: call.started,
            try_began: call.started,
        }
    }

    /// Another try begins.
    pub fn try_begins(&mut self, now: Instant, per_try: Option<Duration>) {
        self.this_try = per_try.and_then(|duration| now.checked_add(duration));
        self.moved = now;
        self.try_began = now;
    }

    /// What is left of the call's own deadline for the try that began; none where it has no such, or where it is as it came.
    #[must_use]
    pub fn grpc_left(&self) -> Option<HeaderValue> {
        let deadline = self.grpc.filter(|_| self.try_began > self.began)?;
        HeaderValue::try_from(grpc_timeout::format(deadline.saturating_duration_since(self.try_began))).ok()
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
        [self.head, self.this_try, self.whole, self.grpc, idle, body].into_iter().flatten().min()
    }

    /// What it means that the nearest deadline has passed.
    #[must_use]
    pub fn passed(&self, now: Instant, uploading: bool) -> Cause {
        let has = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if has(self.whole) || has(self.head) || has(self.grpc) {
            Cause::DeadlineExceeded
        } else if has(self.this_try) {
            Cause::TryTimeout
        } else if uploading && now.saturating_duration_since(self.moved) >= self.body {
            Cause::RequestTimeout
        } else {
            Cause::IdleTimeout
        }
    }
    /// Whether it is the endpoint's fault that a deadline has passed before its answer came. A caller's own is not: one who is
    /// in a hurry must not have an endpoint set aside. Nor is the time that went by before this try began.
    #[must_use]
    pub fn blames_endpoint(&self, now: Instant) -> bool {
        let idle = self.idle.and_then(|idle| self.moved.checked_add(idle));
        let passed = |deadline: &Instant| now >= *deadline;
        if self.grpc.is_some_and(|grpc| passed(&grpc)) {
            return false;
        }
        let all_tries = [self.head, self.whole].into_iter().flatten().filter(passed).min();
        match all_tries {
            // Most of it must have been this try's.
            Some(deadline) => {
                let all = deadline.saturating_duration_since(self.began);
                deadline.saturating_duration_since(self.try_began) * 2 >= all
            }
            None => [self.this_try, idle].into_iter().flatten().any(|deadline| passed(&deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn deadlines(began: Instant) -> Deadlines {
        Deadlines {
            head: None,
            this_try: None,
            whole: None,
            grpc: None,
            idle: None,
            body: 300 * SECOND,
            moved: began,
            began,
            try_began: began,
        }
    }

    #[test]
    fn what_is_left_of_a_calls_deadline_is_told_once_time_has_gone_by() {
        let began = Instant::now();
        let mut deadlines = Deadlines { grpc: Some(began + 5 * SECOND), ..deadlines(began) };
        deadlines.try_begins(began, None);
        assert_eq!(deadlines.grpc_left(), None, "it goes on as it came");
        deadlines.try_begins(began + 2 * SECOND, None);
        assert_eq!(deadlines.grpc_left().unwrap(), "3000000u");
        deadlines.try_begins(began + 9 * SECOND, None);
        assert_eq!(deadlines.grpc_left().unwrap(), "0n");
        deadlines.grpc = None;
        assert_eq!(deadlines.grpc_left(), None);
    }

    #[test]
    fn an_endpoint_is_blamed_for_the_services_timeouts_and_for_none_of_its_callers() {
        let began = Instant::now();
        let at = |seconds: u32| Some(began + seconds * SECOND);
        let now = began + 4 * SECOND;
        let none = || deadlines(began);
        assert!(!none().blames_endpoint(now));
        for blamed in [
            Deadlines { head: at(4), ..none() },
            Deadlines { whole: at(4), ..none() },
            Deadlines { this_try: at(4), ..none() },
            Deadlines { idle: Some(4 * SECOND), ..none() },
            Deadlines { head: at(4), grpc: at(5), ..none() },
        ] {
            assert!(blamed.blames_endpoint(now) && !blamed.blames_endpoint(now - SECOND), "{blamed:?}");
        }
        for not_blamed in [
            Deadlines { grpc: at(4), ..none() },
            Deadlines { grpc: at(3), head: at(4), ..none() },
            Deadlines { body: SECOND, ..none() },
        ] {
            assert!(!not_blamed.blames_endpoint(now), "{not_blamed:?}");
        }
    }

    #[test]
    fn an_endpoint_is_not_blamed_for_the_time_that_another_took() {
        let began = Instant::now();
        let now = began + 4 * SECOND;
        for (second_try, blamed) in [(1, true), (2, true), (3, false)] {
            let mut deadlines = Deadlines { head: Some(now), ..deadlines(began) };
            deadlines.try_begins(began + second_try * SECOND, None);
            assert_eq!(deadlines.blames_endpoint(now), blamed, "{second_try}");
        }
    }
}
