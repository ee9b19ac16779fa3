//! Connections of clients.
//!
//! In: a connection. Out: its requests, one after another or side by side, each exchanged with an endpoint.

pub mod http1;
pub mod http2;
mod linger;
mod side;
mod upgrade;

pub use side::Client;
