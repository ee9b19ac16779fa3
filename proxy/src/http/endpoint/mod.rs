//! Connections to endpoints: opened, kept and used again.
//!
//! In: an endpoint and what it speaks. Out: an [`Exchange`] with it, on a connection that was kept, or on a new one. Every
//! worker has connections of its own, which all its clients share.

mod connect;
mod exchange;
mod pool;

pub use connect::Error;
pub use exchange::{Exchange, Sent};
pub use pool::Pool;
