//! What may pass at all: the circuit breaker, the rate limit and the bulkhead of a Service.
//!
//! In: a request that is about to be forwarded. Out: that it may; or that it may not, and when to come again. Each is
//! state that lives on while plans come and go, and is asked by all workers at once: nothing here waits for a lock on a
//! Service's ordinary way.

pub mod breaker;
pub mod bulkhead;
pub mod rate;
mod table;
mod window;

pub use breaker::{Breaker, Open, Sample};
pub use bulkhead::{Bulkhead, Entry, Overflow, Permit, SourceSlot, Waiting};
pub use rate::{RateKey, RateLimiter};
