//! What the proxy counts, and how it is shown to Prometheus.
//!
//! In: events of the traffic and of the configuration. Out: `/metrics`. Labels come from the configuration, never from
//! a request, so that no client can grow the number of series. A route's counters live and go with the route.

mod collect;
mod datagrams;

pub use datagrams::{Datagrams, Moved, OpenSession};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{cause::Cause, plan::SharedPlan};
use weft_contract::AccessMode;

/// Upper bounds of the duration buckets in microseconds: fine around what a request within a cluster takes.
const BUCKETS: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Upper bounds of how long TCP connections last, in microseconds: from a question to a day.
const LIFETIMES: [u64; 13] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
];

/// What was counted for one route. Every field is one atomic number: counting takes no lock.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests by the first digit of their status; those without a status (the client went away) at 0.
    requests: [AtomicU64; 6],
    durations: Histogram,
    connections_opened: AtomicU64,
    connections_open: AtomicI64,
    /// Bytes of TCP connections, from the client and to it.
    received: AtomicU64,
    sent: AtomicU64,
    /// How long TCP connections lasted that were not refused.
    lifetimes: Histogram,
    /// TCP connections that were reset before a byte of theirs passed, by cause.
    refused: [AtomicU64; Cause::ALL.len()],
    /// TCP connections that the proxy ended later, by cause.
    cut: [AtomicU64; Cause::ALL.len()],
    /// Tries at an endpoint that failed, by cause.
    failures: [AtomicU64; Cause::ALL.len()],
    /// Answers of the proxy's own, and answers that it broke off, by cause.
    own: [AtomicU64; Cause::ALL.len()],
    retries: AtomicU64,
    /// Requests that a limit of the whole cluster counted.
    carried: AtomicU64,
    /// What nothing grants, refused and let through.
    denied: [AtomicU64; 2],
    /// Connections and sessions that a split sent here.
    begun: AtomicU64,
    /// What only routes of UDP have.
    datagrams: OnceLock<Box<Datagrams>>,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
}

/// DNS questions that got a reply, by the label `code`, which is the reply's.
pub type DnsQueries = Family<[(&'static str, &'static str); 1], Counter>;

/// TCP connections of a proxy that goes, by the label `state`.
type Drained = Family<[(&'static str, &'static str); 1], Counter>;

/// The metrics of the whole process, and the registry they are read from.
pub struct Metrics {
    registry: Registry,
    /// Configurations that were refused.
    pub configuration_rejected: Counter,
    /// Listeners that are open.
    pub listeners: Gauge,
    /// Listeners that could not be opened.
    pub failed_listeners: Gauge,
    /// Times that a connection could not be accepted, mostly for want of file descriptors.
    pub accept_errors: Counter,
    /// DNS questions, by the code of their reply.
    pub dns_queries: DnsQueries,
    drained: Drained,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(std::sync::Arc<Traffic>);

// === impl Traffic ===

impl Traffic {
    /// Counts a finished request.
    pub fn request(&self, status: Option<u16>, duration: Duration) {
        let class = usize::from(status.unwrap_or(0) / 100);
        if let Some(counter) = self.requests.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.durations.observe(&BUCKETS, duration);
    }

    /// Counts a failed try at an endpoint.
    pub fn failure(&self, cause: Cause) {
        self.failures[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer of the proxy's own.
    pub fn own(&self, cause: Cause) {
        self.own[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what nothing grants.
    pub fn denied(&self, mode: AccessMode) {
        self.denied[mode as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection or a session that a split sent here.
    pub fn begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts another try.
    pub fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that a limit of the whole cluster may concern.
    pub fn carried(&self) {
        self.carried.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests a limit of the whole cluster may have concerned.
    #[must_use]
    pub fn carried_so_far(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Counts a TCP connection that ended.
    pub fn connection(&self, duration: Duration) {
        self.lifetimes.observe(&LIFETIMES, duration);
    }

    /// Counts a TCP connection that was refused before a byte of it passed.
    pub fn refused(&self, cause: Cause) {
        self.refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a TCP connection that the proxy ended.
    pub fn cut(&self, cause: Cause) {
        self.cut[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes from the client of a TCP connection.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes to the client of a TCP connection.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is counted of datagrams and their sessions.
    pub fn datagrams(&self) -> &Datagrams {
        self.datagrams.get_or_init(Box::default)
    }
}

// === impl OpenConnection ===

impl OpenConnection {
    /// Counts a connection.
    #[must_use]
    pub fn new(traffic: std::sync::Arc<Traffic>) -> Self {
        traffic.connections_opened.fetch_add(1, Ordering::Relaxed);
        traffic.connections_open.fetch_add(1, Ordering::Relaxed);
        Self(traffic)
    }

    /// Where it is counted.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.0
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Histogram ===

impl Histogram {
    fn observe(&self, bounds: &[u64; BUCKETS.len()], duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bounds.partition_point(|bound| *bound < microseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }
}

// === impl Metrics ===

impl Metrics {
    /// Metrics that read the routes' counters from `plan`.
    #[must_use]
    pub fn new(plan: SharedPlan) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("weft"),
            configuration_rejected: Counter::default(),
            listeners: Gauge::default(),
            failed_listeners: Gauge::default(),
            accept_errors: Counter::default(),
            dns_queries: DnsQueries::default(),
            drained: Drained::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "configuration_rejected",
            "Configurations that were refused",
            metrics.configuration_rejected.clone(),
        );
        registry.register("listeners", "Listeners that are open", metrics.listeners.clone());
        registry.register(
            "failed_listeners",
            "Listeners that could not be opened",
            metrics.failed_listeners.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that could not be accepted",
            metrics.accept_errors.clone(),
        );
        registry.register(
            "dns_queries",
            "DNS questions, by the code of their reply",
            metrics.dns_queries.clone(),
        );
        registry.register(
            "drain_connections",
            "TCP connections of a proxy that goes: there before, accepted since, cut at the deadline",
            metrics.drained.clone(),
        );
        registry.register_collector(Box::new(collect::Routes(plan)));
        metrics
    }

    /// Counts TCP connections of a proxy that goes: `established` before, `accepted` since, or `cut` at the deadline.
    pub fn drained(&self, state: &'static str, connections: usize) {
        self.drained.get_or_create(&[("state", state)]).inc_by(connections as u64);
    }

    /// The text for Prometheus.
    ///
    /// # Errors
    /// Only where writing to a `String` fails.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
