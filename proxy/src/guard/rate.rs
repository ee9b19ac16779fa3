//! How many requests a second are let through: a token bucket for each key.
//!
//! In: what a request counts by. Out: that it may pass; or when to come again.
//!
//! A bucket is one number, the time at which it is full again (GCRA): a request moves it on by the time that one token
//! takes, and is refused where it would lie further ahead than a whole bucket takes. Who is refused is refused at once, where
//! Maesh let requests wait for up to 500 ms: a client that waits holds a connection and a place in its bulkhead, and
//! `Retry-After` tells it the same.
//!
//! With the scope `cluster`, average and burst are divided by the number of proxies that carry the Service's traffic, but
//! nobody's burst falls below one request. Each proxy counts for itself; nothing is shared but the number.

use super::table::Table;
use crate::clock::Clock;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use weft_contract::policy::{RateLimit, RateLimitKey, RateLimitScope};

/// Time is counted in sixteenths of a nanosecond, so that ten million requests a second are still told apart from a few
/// more; 64 bits of it last for 36 years.
const PER_NANOSECOND: u64 = 16;
const PER_SECOND: u128 = 1_000_000_000 * PER_NANOSECOND as u128;

/// A rate limit.
#[derive(Debug)]
pub struct RateLimiter {
    key: RateLimitKey,
    rate: Rate,
    state: Arc<State>,
}

/// What a request counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey<'a> {
    /// The client's address.
    Address(IpAddr),
    /// The Service as a whole.
    Service,
    /// The value of a header; of none, the empty one.
    Value(&'a [u8]),
    /// The ServiceAccount of the calling pod.
    Account {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
}

/// Shared by the limiters of successive plans.
#[derive(Debug)]
struct State {
    clock: Clock,
    buckets: Buckets,
}

#[derive(Debug)]
enum Buckets {
    /// That of the Service.
    One(AtomicU64),
    Each(Box<Table>),
}

/// How fast buckets are filled and how much they hold, in sixteenths of a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// How long a token takes; above 0.
    token: u64,
    /// How long a whole bucket takes; at least a token.
    bucket: u64,
}

// === impl RateLimiter ===

impl RateLimiter {
    /// A rate limit. Where it counts by the same as `previous` its buckets stay as full as they are, whatever became of
    /// the numbers: a change of them gives nobody a new burst.
    #[must_use]
    pub fn new(limit: &RateLimit, previous: Option<&Self>) -> Self {
        let RateLimit { average, burst, key, scope, proxies } = limit;
        let proxies = match scope {
            RateLimitScope::Node => 1,
            RateLimitScope::Cluster => *proxies,
        };
        let state = match previous {
            Some(previous) if previous.key == *key => Arc::clone(&previous.state),
            _ => Arc::new(State::new(key)),
        };
        Self { key: key.clone(), rate: Rate::new(*average, *burst, proxies), state }
    }

    /// What requests count by.
    #[must_use]
    pub fn key(&self) -> &RateLimitKey {
        &self.key
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When there is none, and when there will be one.
    pub fn check(&self, key: RateKey<'_>, now: Instant) -> Result<(), Duration> {
        let now = self.state.clock.nanoseconds(now).saturating_mul(PER_NANOSECOND);
        let taken = match &self.state.buckets {
            Buckets::One(full_at) => self.rate.take_shared(full_at, now),
            Buckets::Each(table) => table.with(&key, now, |full_at| self.rate.take(full_at, now)),
        };
        // A whole nanosecond, so that who comes then is not refused for a part of one.
        taken.map_err(|wait| Duration::from_nanos(wait.div_ceil(PER_NANOSECOND)))
    }
}

// === impl State ===

impl State {
    fn new(key: &RateLimitKey) -> Self {
        let buckets = match key {
            RateLimitKey::Service => Buckets::One(AtomicU64::new(0)),
            RateLimitKey::SourceAddress | RateLimitKey::Header(_) | RateLimitKey::ServiceAccount => {
                Buckets::Each(Box::default())
            }
        };
        Self { clock: Clock::default(), buckets }
    }
}

// === impl Rate ===

impl Rate {
    pub(super) fn new(average: u32, burst: u32, proxies: u32) -> Self {
        let [average, burst, proxies] = [average, burst, proxies].map(|number| u128::from(number.max(1)));
        let token = ((proxies * PER_SECOND + average / 2) / average).max(1);
        // burst / proxies tokens of proxies / average seconds each: the number of proxies makes no difference here.
        let bucket = (burst * PER_SECOND / average).max(token);
        let [token, bucket] = [token, bucket].map(|time| u64::try_from(time).unwrap_or(u64::MAX));
        Self { token, bucket }
    }

    /// When a bucket that is full at `full_at` will be so after one more token is taken; or how long until one is there.
    pub(super) fn take(self, full_at: u64, now: u64) -> Result<u64, u64> {
        // Not further ahead than empty: it may have been emptied under a slower rate.
        let full_at = full_at.clamp(now, now.saturating_add(self.bucket));
        let after = full_at.saturating_add(self.token);
        match after.saturating_sub(now).saturating_sub(self.bucket) {
            0 => Ok(after),
            wait => Err(wait),
        }
    }

    fn take_shared(self, bucket: &AtomicU64, now: u64) -> Result<(), u64> {
        let mut full_at = bucket.load(Ordering::Relaxed);
        loop {
            let after = self.take(full_at, now)?;
            match bucket.compare_exchange_weak(full_at, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => full_at = changed,
            }
        }
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
