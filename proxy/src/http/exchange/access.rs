//! The access log: a line for each request, for who asks for it.
//!
//! In: a request and what became of it. Out: one event of the target `access`, which `--access-log` writes as JSON. While
//! nobody listens to that target, a request costs one look at whether somebody does.

use super::{Call, Known};
use crate::{cause::Cause, route::Target};
use bytes::Bytes;
use http::Method;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// The target of the events.
pub const TARGET: &str = "access";

/// The flag of a request whose client went away before it had its answer: no cause of the proxy's own.
const CLIENT_GONE: &str = "client_gone";

/// What is known of a request before it ends.
#[derive(Debug)]
pub struct Line {
    service: Arc<Target>,
    client: IpAddr,
    method: Method,
    target: Bytes,
    /// The last endpoint that was tried.
    pub endpoint: Option<SocketAddr>,
    /// How many tries there were.
    pub tries: u32,
    /// Whether the client went away.
    pub client_gone: bool,
}

// === impl Line ===

impl Line {
    /// A line for this request, where somebody wants one.
    #[must_use]
    pub fn begin(known: &Known, service: &Arc<Target>, call: &Call) -> Option<Box<Self>> {
        if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
            return None;
        }
        Some(Box::new(Self {
            service: Arc::clone(service),
            client: known.client.address,
            method: call.request.method.clone(),
            target: call.request.target.clone(),
            endpoint: None,
            tries: 0,
            client_gone: false,
        }))
    }

    /// Writes it.
    pub fn end(&self, status: Option<u16>, cause: Option<Cause>, duration: Duration) {
        let Self { service, client, method, target, endpoint, tries, client_gone } = self;
        // Without the query, in which people put what is no matter of a log.
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        tracing::info!(
            target: TARGET,
            service = %service.service,
            port = service.port,
            client = %client,
            method = method.as_str(),
            path = &*String::from_utf8_lossy(path),
            status,
            duration = duration.as_secs_f64(),
            endpoint = endpoint.map(tracing::field::display),
            tries,
            flag = cause.map(Cause::flag).or(client_gone.then_some(CLIENT_GONE)),
        );
    }
}
