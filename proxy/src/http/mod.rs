//! Serves an HTTP connection.
//!
//! In: a connection. Out: its requests, each passed through the middleware, sent to an endpoint and answered.
//!
//! ```text
//! client/    a connection, by what it speaks        -> a request's head        (HTTP/1 and HTTP/2 on one port)
//! head/      heads: parsed, checked, changed, written
//! exchange/  admit -> wait -> try, and again -> relay
//! endpoint/  connections to endpoints, kept and opened
//! wire/      bodies as frames, over HTTP/1, HTTP/2 or without framing
//! ```
//!
//! Everything of a connection happens on one thread. HTTP/1 is read by `httparse` and framed here, for what a mesh adds to
//! a request is mostly the cost of its HTTP/1; HTTP/2 is the `h2` library's.

mod client;
mod endpoint;
mod exchange;
pub mod fuzz;
mod head;
mod mirror;
mod wire;

use crate::{balance::Dice, listen::Arrival, route::Route, status::Status};
use endpoint::Pool;
use exchange::Known;
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
#[derive(Clone, Debug)]
pub struct Engine(Arc<Worker>);

/// What a worker's exchanges share.
#[derive(Debug)]
pub(crate) struct Worker {
    node: String,
    status: Status,
    dice: Arc<Dice>,
    pool: Pool,
    timeouts: Timeouts,
}

// === impl Engine ===

impl Engine {
    /// An engine for the thread that calls this, within its runtime.
    #[must_use]
    pub fn new(node: String, status: &Status, dice: Arc<Dice>, timeouts: Timeouts) -> Self {
        let pool = Pool::default();
        tokio::spawn(pool.sweep());
        Self(Arc::new(Worker { node, status: status.clone(), dice, pool, timeouts }))
    }

    /// Serves a connection until either side ends it.
    pub async fn serve(self, stream: TcpStream, arrival: Arrival) {
        client::http1::serve(&self.0, Arc::new(Known::new(arrival)), stream).await;
    }
}

// === impl Worker ===

impl Worker {
    /// Where requests of a connection go now; none where its port is no longer served.
    fn route(&self, known: &Known) -> Option<Arc<Route>> {
        let plan = self.status.plan.load();
        plan.as_ref().and_then(|plan| crate::route::route(plan, &known.arrival.target))
    }

    /// Whether clients of this connection must be told to connect anew.
    fn is_leaving(&self, known: &Known) -> bool {
        self.status.drain.is_retiring() || known.arrival.stop.is_cancelled()
    }
}
