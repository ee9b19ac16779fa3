//! Shows the counters of the routes of the plan in force.
//!
//! In: the plan, at each scrape. Out: its series. A route without traffic has none, so that a mesh of thousands of
//! Services costs a scrape only what is used on this node.

mod backends;

use super::{BUCKETS, Histogram, LIFETIMES, Traffic, datagrams, datagrams::Datagrams};
use crate::{
    cause::Cause,
    plan::{Plan, SharedPlan},
    route::Route,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;
use weft_contract::Protocol;

/// Reads the routes at each scrape.
#[derive(Debug)]
pub(super) struct Routes(pub(super) SharedPlan);

pub(super) type Labels<'a, const COUNT: usize> = [(&'static str, &'a str); COUNT];

const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Collector for Routes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(plan) = self.0.load_full() else { return Ok(()) };
        let mut info = encoder.encode_descriptor(
            "configuration_info",
            "The revision of the configuration in force",
            None,
            MetricType::Gauge,
        )?;
        info.encode_family(&[("revision", plan.revision.as_str())])?.encode_gauge(&1_i64)?;
        requests(&mut encoder, &plan)?;
        durations(&mut encoder, &plan)?;
        failures(&mut encoder, &plan)?;
        own_answers(&mut encoder, &plan)?;
        denied(&mut encoder, &plan)?;
        backends::encode(&mut encoder, &plan)?;
        retries(&mut encoder, &plan)?;
        endpoints(&mut encoder, &plan)?;
        breakers(&mut encoder, &plan)?;
        tcp_bytes(&mut encoder, &plan)?;
        refused_connections(&mut encoder, &plan)?;
        cut_connections(&mut encoder, &plan)?;
        lifetimes(&mut encoder, &plan)?;
        connections(&mut encoder, &plan)?;
        datagrams::collect(&mut encoder, &plan)
    }
}

/// Each route but those of UDP, whose labels may be the same: a Service may have a port of each transport with one number.
fn each(plan: &Plan, mut show: impl FnMut(&Route, &str, &Traffic) -> fmt::Result) -> fmt::Result {
    let mut routes = plan.routes().values().filter(|route| route.protocol != Protocol::Udp);
    routes.try_for_each(|route| show(route, &route.target.port.to_string(), &route.traffic))
}

/// Each route of UDP that had a session or a datagram.
pub(super) fn each_udp(
    plan: &Plan,
    mut show: impl FnMut(&Route, &str, &Datagrams) -> fmt::Result,
) -> fmt::Result {
    let mut routes = plan.routes().values().filter(|route| route.protocol == Protocol::Udp);
    routes.try_for_each(|route| match route.traffic.datagrams.get() {
        Some(seen) => show(route, &route.target.port.to_string(), seen),
        None => Ok(()),
    })
}

pub(super) fn labels<'a>(route: &'a Route, port: &'a str) -> Labels<'a, 3> {
    [
        ("namespace", route.target.service.namespace.as_str()),
        ("service", route.target.service.name.as_str()),
        ("port", port),
    ]
}

pub(super) fn with<'a>(route: &'a Route, port: &'a str, name: &'static str, value: &'a str) -> Labels<'a, 4> {
    let [namespace, service, port] = labels(route, port);
    [namespace, service, port, (name, value)]
}

pub(super) fn count<const COUNT: usize>(
    encoder: &mut MetricEncoder<'_>,
    labels: &Labels<'_, COUNT>,
    number: u64,
) -> fmt::Result {
    if number == 0 {
        return Ok(());
    }
    encoder.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&number, None)
}

fn requests(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "requests",
        "HTTP requests, by the class of their status; `none` where the client went away first",
        None,
        MetricType::Counter,
    )?;
    each(plan, |route, port, traffic| {
        CLASSES.iter().zip(&traffic.requests).try_for_each(|(class, counter)| {
            count(&mut metric, &with(route, port, "code", class), counter.load(Ordering::Relaxed))
        })
    })
}

fn durations(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "request_duration_seconds",
        "From a request's headers read to its answer sent",
        None,
        MetricType::Histogram,
    )?;
    each(plan, |route, port, traffic| {
        histogram(&mut metric, &labels(route, port), &BUCKETS, &traffic.durations)
    })
}

fn lifetimes(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "tcp_connection_duration_seconds",
        "How long TCP connections lasted that were not refused",
        None,
        MetricType::Histogram,
    )?;
    each(plan, |route, port, traffic| {
        histogram(&mut metric, &labels(route, port), &LIFETIMES, &traffic.lifetimes)
    })
}

fn histogram<const COUNT: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_, COUNT>,
    bounds: &[u64],
    Histogram { buckets, microseconds }: &Histogram,
) -> fmt::Result {
    let bounds = bounds.iter().map(|bound| *bound as f64 / 1e6).chain([f64::MAX]);
    let counts = buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    let total = buckets.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return Ok(());
    }
    let sum = microseconds.load(Ordering::Relaxed) as f64 / 1e6;
    metric.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, total, &buckets, None)
}

fn failures(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let metric = encoder.encode_descriptor(
        "upstream_failures",
        "Tries at an endpoint that failed, by what came of them",
        None,
        MetricType::Counter,
    )?;
    by_cause(metric, plan, "reason", |traffic| &traffic.failures)
}

fn own_answers(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let metric = encoder.encode_descriptor(
        "own_answers",
        "Requests that the proxy answered itself, or whose answer it broke off, by response flag",
        None,
        MetricType::Counter,
    )?;
    by_cause(metric, plan, "flag", |traffic| &traffic.own)
}

fn denied(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let help = "Requests and TCP connections that nothing grants, refused or let through";
    let mut metric = encoder.encode_descriptor("denied", help, None, MetricType::Counter)?;
    each(plan, |route, port, traffic| denied_of(&mut metric, route, port, traffic))?;
    let help = "Datagrams of which one would begin a session that nothing grants, refused or let through";
    let mut metric = encoder.encode_descriptor("udp_denied", help, None, MetricType::Counter)?;
    each_udp(plan, |route, port, _| denied_of(&mut metric, route, port, &route.traffic))
}

fn denied_of(metric: &mut MetricEncoder<'_>, route: &Route, port: &str, traffic: &Traffic) -> fmt::Result {
    ["enforce", "audit"].iter().zip(&traffic.denied).try_for_each(|(mode, counter)| {
        count(metric, &with(route, port, "mode", mode), counter.load(Ordering::Relaxed))
    })
}

fn retries(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric =
        encoder.encode_descriptor("retries", "Tries beyond a request's first", None, MetricType::Counter)?;
    each(plan, |route, port, traffic| match traffic.retries.load(Ordering::Relaxed) {
        0 => Ok(()),
        number => {
            metric.encode_family(&labels(route, port))?.encode_counter::<NoLabelSet, _, u64>(&number, None)
        }
    })
}

/// What takes part in balancing, and what is set aside, where a route has had traffic.
fn endpoints(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "endpoints",
        "Endpoints that can be picked, and those that are set aside for failing",
        None,
        MetricType::Gauge,
    )?;
    let now = Instant::now();
    each(plan, |route, port, traffic| {
        if traffic.connections_opened.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let census = route.balancer.census(now);
        for (state, number) in [("available", census.available), ("ejected", census.ejected)] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            metric.encode_family(&with(route, port, "state", state))?.encode_gauge(&number)?;
        }
        Ok(())
    })
}

fn breakers(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "circuit_breaker_trips",
        "Times that a Service's circuit breaker has opened",
        None,
        MetricType::Counter,
    )?;
    each(plan, |route, port, _| match &route.guards.breaker {
        None => Ok(()),
        Some(breaker) => metric
            .encode_family(&labels(route, port))?
            .encode_counter::<NoLabelSet, _, u64>(&breaker.trips(), None),
    })
}

fn tcp_bytes(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "tcp_bytes",
        "Bytes of TCP connections, received from clients and sent to them",
        None,
        MetricType::Counter,
    )?;
    each(plan, |route, port, traffic| {
        let (received, sent) =
            (traffic.received.load(Ordering::Relaxed), traffic.sent.load(Ordering::Relaxed));
        count(&mut metric, &with(route, port, "direction", "received"), received)?;
        count(&mut metric, &with(route, port, "direction", "sent"), sent)
    })
}

fn refused_connections(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let help = "TCP connections that were reset before a byte of theirs passed";
    let metric = encoder.encode_descriptor("tcp_refused", help, None, MetricType::Counter)?;
    by_cause(metric, plan, "flag", |traffic| &traffic.refused)
}

fn cut_connections(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let help = "TCP connections that the proxy ended later";
    let metric = encoder.encode_descriptor("tcp_cut", help, None, MetricType::Counter)?;
    by_cause(metric, plan, "flag", |traffic| &traffic.cut)
}

fn by_cause(
    mut metric: MetricEncoder<'_>,
    plan: &Plan,
    label: &'static str,
    of: impl Fn(&Traffic) -> &[AtomicU64],
) -> fmt::Result {
    each(plan, |route, port, traffic| {
        Cause::ALL.iter().zip(of(traffic)).try_for_each(|(cause, counter)| {
            count(&mut metric, &with(route, port, label, cause.flag()), counter.load(Ordering::Relaxed))
        })
    })
}

fn connections(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric =
        encoder.encode_descriptor("connections", "Connections that are open", None, MetricType::Gauge)?;
    each(plan, |route, port, traffic| {
        if traffic.connections_opened.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let open = traffic.connections_open.load(Ordering::Relaxed);
        metric.encode_family(&labels(route, port))?.encode_gauge(&open)
    })?;
    let mut metric = encoder.encode_descriptor(
        "connections_opened",
        "Connections that clients opened",
        None,
        MetricType::Counter,
    )?;
    each(plan, |route, port, traffic| match traffic.connections_opened.load(Ordering::Relaxed) {
        0 => Ok(()),
        opened => {
            metric.encode_family(&labels(route, port))?.encode_counter::<NoLabelSet, _, u64>(&opened, None)
        }
    })
}
