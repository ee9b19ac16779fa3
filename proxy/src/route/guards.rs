//! What may pass at all, for one port of a Service.
//!
//! In: the Service's policy and what was there before. Out: its guards, whose state lives on as long as the settings do.

use crate::guard::{Breaker, RateLimiter, bulkhead::Bulkhead};
use std::time::Duration;
use weft_contract::{Policy, expression::Expression, policy};

/// The guards of one port of a Service.
#[derive(Debug)]
pub struct Guards {
    /// The circuit breaker, where the Service asks for one.
    pub breaker: Option<Breaker>,
    /// The rate limit, where it asks for one.
    pub rate: Option<RateLimiter>,
    /// How many requests may be under way.
    pub bulkhead: Bulkhead,
    /// How many TCP connections may be open; nobody waits for another's end.
    pub connections: Bulkhead,
}

// === impl Guards ===

impl Guards {
    /// The guards that a policy asks for. An expression that cannot be read is none: the operator has told so, and a
    /// proxy that is older than its operator must not take the Service down for it.
    #[must_use]
    pub fn new(policy: &Policy, before: Option<&Self>) -> Self {
        let expression = policy.circuit_breaker.as_deref().and_then(|text| match Expression::parse(text) {
            Ok(expression) => Some(expression),
            Err(error) => {
                tracing::warn!(text, %error, "a circuit breaker's expression cannot be read: there is none");
                None
            }
        });
        let before_breaker = before.and_then(|before| before.breaker.as_ref());
        let before_rate = before.and_then(|before| before.rate.as_ref());
        Self {
            breaker: expression.map(|expression| Breaker::new(expression, before_breaker)),
            rate: policy.rate_limit.as_ref().map(|limit| RateLimiter::new(limit, before_rate)),
            bulkhead: Bulkhead::new(&policy.bulkhead, before.map(|before| &before.bulkhead)),
            connections: Bulkhead::new(&bounds(policy), before.map(|before| &before.connections)),
        }
    }
}

/// The bounds of connections as those of a bulkhead without a queue.
fn bounds(policy: &Policy) -> policy::Bulkhead {
    let policy::Connections { service, source, proxy_protocol: _, idle: _, drain: _ } = policy.connections;
    policy::Bulkhead { service, source, endpoint: 0, queue: 0, queue_timeout: Duration::ZERO }
}
