//! Serves an HTTP connection, by Pingora.
//!
//! In: a connection. Out: its requests, each passed through the middleware, sent to an endpoint and answered.
//! This is the only folder that names Pingora's types, so that a faster engine can take its place.
//!
//! Pingora's own server, listeners and balancer are not used: its listeners are fixed at start, and its connection
//! loop keeps much memory for idle connections.

mod connection;
mod failure;
mod service;
mod stream;

use crate::{balance::Dice, listen::Arrival, status::Status};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use service::Service;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// How many times a request is tried in all.
const TRIES: usize = 3;
/// How many idle connections to endpoints a worker keeps: enough for a node's busy Services, at 10 KB each.
const IDLE_UPSTREAM: usize = 1024;

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
    proxy: Arc<HttpProxy<Service>>,
    idle: Duration,
}

// === impl Engine ===

impl Engine {
    /// An engine for the thread that calls this.
    #[must_use]
    pub fn new(status: &Status, dice: Arc<Dice>, timeouts: Timeouts) -> Self {
        let settings = ServerConf {
            threads: 1,
            upstream_keepalive_pool_size: IDLE_UPSTREAM,
            max_retries: TRIES,
            ..ServerConf::default()
        };
        let service = Service::new(status, dice, timeouts.connect);
        Self { proxy: Arc::new(http_proxy(&Arc::new(settings), service)), idle: timeouts.idle }
    }

    /// Serves a connection until either side ends it.
    pub async fn serve(self, stream: TcpStream, arrival: Arrival) {
        connection::serve(&self.proxy, self.idle, stream, arrival).await;
    }
}
