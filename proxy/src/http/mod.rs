//! Serves an HTTP connection.
//!
//! In: a connection. Out: its requests, each passed through the middleware, sent to an endpoint and answered.

use crate::{balance::Dice, listen::Arrival, status::Status};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until an endpoint accepts a connection.
    pub connect: Duration,
    /// How long a client's connection may rest between two requests.
    pub idle: Duration,
}

/// One worker's engine: all its listeners share it, and with it one pool of connections to endpoints.
#[derive(Clone)]
pub struct Engine {
    _dice: Arc<Dice>,
}

// === impl Engine ===

impl Engine {
    /// An engine for the thread that calls this.
    #[must_use]
    pub fn new(_status: &Status, dice: Arc<Dice>, _timeouts: Timeouts) -> Self {
        Self { _dice: dice }
    }

    /// Serves a connection until either side ends it.
    pub async fn serve(self, _stream: TcpStream, _arrival: Arrival) {}
}
