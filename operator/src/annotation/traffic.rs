//! What is spoken: traffic type and scheme.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{self, Row},
};
use crate::settings::TrafficType;
use clap::ValueEnum;
use weft_contract::policy::{Algorithm, HashKey, Scheme};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "traffic-type",
        values: "`http`, `tcp` or `udp`",
        default: "`http`, or the chart's `defaultTrafficType`",
        example: "tcp",
        doc: "What the Service's ports speak. With `http` each request is balanced by itself, with `tcp` each \
              connection is, byte for byte. `udp` is not served yet: the mesh name then resolves to the Service's own \
              address.",
        tcp: true,
        read: |draft, text| set(&mut draft.settings.traffic_type, traffic_type(text)),
    },
    Row {
        name: "scheme",
        values: "`http`, `h2c` or `https`",
        default: "what the port's `appProtocol` says, else `http`",
        example: "h2c",
        doc: "What the endpoints speak: HTTP/1.1, HTTP/2 without TLS, or TLS with whichever the endpoint offers. Clients \
              may speak HTTP/1.1 or HTTP/2 with any of them. `appProtocol` may be `http`, `kubernetes.io/ws`, \
              `kubernetes.io/h2c`, `grpc` or `https`.",
        tcp: false,
        read: |draft, text| set(&mut draft.settings.scheme, scheme(text).map(Some)),
    },
];

fn traffic_type(text: &str) -> Result<TrafficType, String> {
    TrafficType::from_str(text, false).map_err(|_| format!("{text:?} is not a traffic type"))
}

fn scheme(text: &str) -> Result<Scheme, String> {
    match text {
        "http" => Ok(Scheme::Http),
        "h2c" => Ok(Scheme::H2c),
        "https" => Ok(Scheme::Https),
        _ => Err(format!("{text:?} is not a scheme")),
    }
}

/// Connections that are carried byte for byte have no requests.
pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    match draft.settings.traffic_type {
        TrafficType::Http => return,
        TrafficType::Tcp | TrafficType::Udp => {}
    }
    let http = |key: &&str| table::row(key).is_some_and(|row| !row.tcp);
    let keys: Vec<_> = asked.keys().into_iter().filter(http).collect();
    asked.unused(&keys, "is about HTTP requests, and has no effect with the traffic type that is in force");
    draft.settings.split_sticky = None;
    let algorithm = &mut draft.settings.policy.balancing.algorithm;
    if matches!(algorithm, Algorithm::Hash(HashKey::Header(_) | HashKey::Cookie(_))) {
        *algorithm = Algorithm::default();
        asked.unused(&["hash-key"], "needs HTTP requests; connections can be hashed by source alone");
    }
}
