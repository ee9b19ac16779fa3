//! What is counted of the datagrams and sessions of one route.
//!
//! In: events of UDP. Out: the series that begin with `weft_udp`. They are apart from those of connections, for a Service may
//! have a port of each transport with the same number, and their labels are the same.

use super::{
    Traffic,
    collect::{count, each_udp, labels, with},
};
use crate::{cause::Cause, plan::Plan, route::Route};
use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// The counters of one route. Each is one atomic number.
#[derive(Debug, Default)]
pub struct Datagrams {
    open: AtomicI64,
    opened: AtomicU64,
    expired: AtomicU64,
    evicted: AtomicU64,
    moved: [AtomicU64; Moved::ALL.len()],
    received: [AtomicU64; 2],
    sent: [AtomicU64; 2],
    dropped: [AtomicU64; Cause::ALL.len()],
}

/// Why a session went to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Its endpoint refused, or could not be reached.
    Refused,
    /// Its endpoint had gone from the Service.
    Retired,
}

/// Counts a session as open until it is dropped.
#[derive(Debug)]
pub struct OpenSession(Arc<Traffic>);

// === impl Moved ===

impl Moved {
    const ALL: [Self; 2] = [Self::Refused, Self::Retired];

    fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Retired => "retired",
        }
    }
}

// === impl Datagrams ===

impl Datagrams {
    /// A session rested for too long.
    pub fn expired(&self) {
        self.expired.fetch_add(1, Relaxed);
    }

    /// A session had to go for another.
    pub fn evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    /// A session left its endpoint.
    pub fn moved(&self, why: Moved) {
        self.moved[why as usize].fetch_add(1, Relaxed);
    }

    /// Clients sent these.
    pub fn received(&self, datagrams: u64, bytes: u64) {
        add(&self.received, datagrams, bytes);
    }

    /// These were sent to clients.
    pub fn sent(&self, datagrams: u64, bytes: u64) {
        add(&self.sent, datagrams, bytes);
    }

    /// These went no further, from clients or to them.
    pub fn dropped(&self, cause: Cause, datagrams: u64) {
        self.dropped[cause as usize].fetch_add(datagrams, Relaxed);
    }
}

fn add([datagrams_so_far, bytes_so_far]: &[AtomicU64; 2], datagrams: u64, bytes: u64) {
    datagrams_so_far.fetch_add(datagrams, Relaxed);
    bytes_so_far.fetch_add(bytes, Relaxed);
}

// === impl OpenSession ===

impl OpenSession {
    /// Counts a session.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>) -> Self {
        let counters = traffic.datagrams();
        counters.opened.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
        Self(traffic)
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.datagrams().open.fetch_sub(1, Relaxed);
    }
}

/// Shows all of it.
pub(super) fn collect(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    sessions(encoder, plan)?;
    counters(encoder, plan)?;
    endpoints(encoder, plan)
}

fn sessions(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric =
        encoder.encode_descriptor("udp_sessions", "UDP sessions that are open", None, MetricType::Gauge)?;
    each_udp(plan, |route, port, seen| {
        metric.encode_family(&labels(route, port))?.encode_gauge(&seen.open.load(Relaxed))
    })?;
    let mut metric = encoder.encode_descriptor(
        "udp_sessions_opened",
        "UDP sessions that were opened",
        None,
        MetricType::Counter,
    )?;
    each_udp(plan, |route, port, seen| {
        let family = labels(route, port);
        metric.encode_family(&family)?.encode_counter::<NoLabelSet, _, u64>(&seen.opened.load(Relaxed), None)
    })?;
    let ended = "UDP sessions that ended: for having rested too long, or for there being too many";
    labelled(encoder, plan, ["udp_sessions_ended", ended, "reason"], |seen, show| {
        show("expired", &seen.expired)?;
        show("evicted", &seen.evicted)
    })?;
    let moved = "UDP sessions that went to another endpoint, for theirs refused or had gone";
    labelled(encoder, plan, ["udp_sessions_moved", moved, "reason"], |seen, show| {
        Moved::ALL.iter().try_for_each(|why| show(why.label(), &seen.moved[*why as usize]))
    })
}

fn counters(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let datagrams = "Datagrams, received from clients and sent to them";
    labelled(encoder, plan, ["udp_datagrams", datagrams, "direction"], |seen, show| {
        show("received", &seen.received[0])?;
        show("sent", &seen.sent[0])
    })?;
    let bytes = "Bytes of datagrams, received from clients and sent to them";
    labelled(encoder, plan, ["udp_bytes", bytes, "direction"], |seen, show| {
        show("received", &seen.received[1])?;
        show("sent", &seen.sent[1])
    })?;
    let dropped = "Datagrams that went no further, by why";
    labelled(encoder, plan, ["udp_dropped", dropped, "reason"], |seen, show| {
        Cause::ALL.iter().try_for_each(|cause| show(cause.flag(), &seen.dropped[*cause as usize]))
    })
}

fn endpoints(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "udp_endpoints",
        "Endpoints that a new UDP session can go to, and those that are set aside for refusing",
        None,
        MetricType::Gauge,
    )?;
    let now = Instant::now();
    each_udp(plan, |route, port, _| {
        let census = route.balancer.census(now);
        for (state, number) in [("available", census.available), ("ejected", census.ejected)] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            metric.encode_family(&with(route, port, "state", state))?.encode_gauge(&number)?;
        }
        Ok(())
    })
}

type Show<'a> = dyn FnMut(&str, &AtomicU64) -> fmt::Result + 'a;

/// One counter with one more label; its name, its help, and that label's name come first.
fn labelled(
    encoder: &mut DescriptorEncoder<'_>,
    plan: &Plan,
    [name, help, label]: [&'static str; 3],
    mut series: impl FnMut(&Datagrams, &mut Show<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    each_udp(plan, |route: &Route, port, seen| {
        series(seen, &mut |value, counter| {
            count(&mut metric, &with(route, port, label, value), counter.load(Relaxed))
        })
    })
}
