//! Shows what went to each backend of a split Service: what a canary is judged by.

use super::{CLASSES, Labels, count, each, each_udp, histogram, labels};
use crate::{
    metrics::{BUCKETS, Traffic},
    plan::Plan,
    route::Route,
};
use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
};
use std::{fmt, sync::atomic::Ordering};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "backend_requests",
        "HTTP requests of a split Service, by backend and by the class of their status",
        None,
        MetricType::Counter,
    )?;
    each_backend(plan, |labels, traffic| requests(&mut metric, labels, traffic))?;
    let mut metric = encoder.encode_descriptor(
        "backend_request_duration_seconds",
        "From a request's headers read to its answer sent, by backend",
        None,
        MetricType::Histogram,
    )?;
    each_backend(plan, |labels, traffic| histogram(&mut metric, labels, &BUCKETS, &traffic.durations))?;
    let mut metric = encoder.encode_descriptor(
        "backend_connections",
        "TCP connections of a split Service, by backend",
        None,
        MetricType::Counter,
    )?;
    each_backend(plan, |labels, traffic| count(&mut metric, labels, traffic.begun.load(Ordering::Relaxed)))?;
    let mut metric = encoder.encode_descriptor(
        "udp_backend_sessions",
        "UDP sessions of a split Service, by backend",
        None,
        MetricType::Counter,
    )?;
    let mut show = |labels: &Labels<'_, 4>, traffic: &Traffic| {
        count(&mut metric, labels, traffic.begun.load(Ordering::Relaxed))
    };
    each_udp(plan, |route, port, _| backends_of(route, port, &mut show))
}

fn each_backend(plan: &Plan, mut show: impl FnMut(&Labels<'_, 4>, &Traffic) -> fmt::Result) -> fmt::Result {
    each(plan, |route, port, _| backends_of(route, port, &mut show))
}

fn backends_of(
    route: &Route,
    port: &str,
    show: &mut impl FnMut(&Labels<'_, 4>, &Traffic) -> fmt::Result,
) -> fmt::Result {
    let Some(split) = &route.split else { return Ok(()) };
    let [namespace, service, port] = labels(route, port);
    split.traffic().try_for_each(|(backend, traffic)| {
        show(&[namespace, service, port, ("backend", backend.as_str())], traffic)
    })
}

fn requests(metric: &mut MetricEncoder<'_>, labels: &Labels<'_, 4>, traffic: &Traffic) -> fmt::Result {
    let [namespace, service, port, backend] = *labels;
    CLASSES.iter().zip(&traffic.requests).try_for_each(|(class, counter)| {
        let labels = [namespace, service, port, backend, ("code", *class)];
        count(metric, &labels, counter.load(Ordering::Relaxed))
    })
}
