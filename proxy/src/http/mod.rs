//! Serves an HTTP connection.
//!
//! In: a connection. Out: its requests, each passed through the middleware, sent to an endpoint and answered.
//!
//! ```text
//! client/    a connection, by what it speaks        -> a request's head        (HTTP/1 and HTTP/2 on one port)
//! head/      heads: parsed, checked, changed, written
//! exchange/  admit -> wait -> try, and again -> relay
//! endpoint/  connections to endpoints, kept and opened
//! wire/      bodies as frames, over HTTP/1 or without framing
//! http2/     connections and streams of HTTP/2, to clients and to endpoints
//! ```
//!
//! Everything of a connection happens on one thread. The lines of HTTP/1 are read by `httparse`; framing is done here for both
//! versions, for what a mesh adds to a request is mostly the cost of that.

mod client;
mod endpoint;
mod exchange;
pub mod fuzz;
mod head;
mod http2;
mod mirror;
mod wire;

pub use exchange::ACCESS_LOG;

use crate::{balance::Dice, listen::Arrival, route::Route, status::Status};
use endpoint::Pool;
use exchange::Known;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// How long things may take, and how much one connection may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until an endpoint accepts a connection.
    pub connect: Duration,
    /// How long a client's connection may rest between two requests.
    pub idle: Duration,
    /// How many requests one HTTP/2 connection of a client may have under way.
    pub http2_streams: u32,
    /// How many requests a client may give up right away on one HTTP/2 connection, once they are more than half of all.
    pub http2_resets: usize,
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
    limits: Limits,
}

// === impl Engine ===

impl Engine {
    /// An engine for the thread that calls this, within its runtime.
    #[must_use]
    pub fn new(node: String, status: &Status, dice: Arc<Dice>, limits: Limits) -> Self {
        let pool = Pool::default();
        tokio::spawn(pool.sweep());
        Self(Arc::new(Worker { node, status: status.clone(), dice, pool, limits }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Target;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio_util::sync::CancellationToken;
    use weft_contract::{ServiceKey, Transport};

    fn engine() -> Engine {
        let limits = Limits {
            connect: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            http2_streams: 256,
            http2_resets: 200,
        };
        Engine::new("node-1".into(), &Status::default(), Arc::new(Dice::new(1)), limits)
    }

    /// What rests costs memory ten thousand times over.
    #[tokio::test]
    async fn a_connection_at_rest_is_small() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let target = Target {
            service: ServiceKey::new("shop", "web"),
            port: 80,
            transport: Transport::Tcp,
            listener: Some(10_000),
        };
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let (target, stop) = (Arc::new(target), CancellationToken::new());
        let arrival = Arrival { target, client, stop, counted: Default::default() };
        let size = size_of_val(&engine().serve(stream, arrival));
        assert!(size <= 640, "{size} bytes");
    }
}
