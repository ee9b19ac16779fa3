//! How what is not HTTP is carried.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::set,
    sni,
    table::{Row, TCP, UDP},
    value::{self, DAY, INSTANT, duration, duration_or_none},
};
use std::time::Duration;

/// More connections than a node has ports for.
const MANY: u64 = 1_000_000_000;
/// A session takes a socket, and a process has no more of them than this in any setting in use.
const MOST_SESSIONS: u64 = 1_000_000;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "proxy-protocol",
        values: "`true` or `false`",
        default: "`false`",
        example: "true",
        doc: "Whether endpoints are told the client's address by PROXY protocol version 2. They must expect it.",
        protocols: TCP,
        read: |draft, text| set(&mut draft.settings.policy.connections.proxy_protocol, value::boolean(text)),
    },
    Row {
        name: "sni-routes",
        values: "a list of `HOST=SERVICE` and `HOST=SERVICE:PORT`; `HOST` is a name, `*.` and a name, or `*`",
        default: "none",
        example: "a.example.com=svc-a, *.b.example.com=svc-b:8443",
        doc: "Where TLS connections go by the server name (SNI) that a client asks for: to this Service in the same \
              namespace, at the same port or else its only TCP port, unless given. The very name goes first, then the \
              longest `*.` that it is below, then `*`, which also takes clients that ask for no name. Connections \
              that fit none are refused with the TLS alert unrecognized_name, and so are those whose route leads to what \
              is not there: never to another route, nor to the Service's own endpoints, and an Event tells of it. TLS is \
              passed on as it is. A route leads to its Service as if that were called by its own name: by its \
              TrafficSplit, and for whom access control admits to its pods. A TrafficSplit of the Service with the \
              routes counts only for a route that leads to that Service itself, as `*=entry` on `entry` does.",
        protocols: TCP,
        read: |draft, text| set(&mut draft.settings.sni_routes, sni::targets(text)),
    },
    Row {
        name: "tcp-idle-timeout",
        values: "a time up to `24h`, or `none`",
        default: "`none`",
        example: "1h",
        doc: "How long a connection may go without a byte in either direction. TCP keepalive finds clients and \
              endpoints that are gone without it, too.",
        protocols: TCP,
        read: |draft, text| set(&mut draft.settings.policy.connections.idle, duration_or_none(text, DAY)),
    },
    Row {
        name: "drain-timeout",
        values: "a time from `0s` to `24h`, or `none`",
        default: "`none`: until it ends by itself",
        example: "5m",
        doc: "How long a connection may go on after its endpoint has left the Service.",
        protocols: TCP,
        read: |draft, text| {
            let drain = if text == "none" { Ok(None) } else { duration(text, Duration::ZERO, DAY).map(Some) };
            set(&mut draft.settings.policy.connections.drain, drain)
        },
    },
    Row {
        name: "max-connections",
        values: "a whole number from 1, or `none`",
        default: "`none`",
        example: "1000",
        doc: "How many connections there may be; others are refused.",
        protocols: TCP,
        read: |draft, text| set(&mut draft.settings.policy.connections.service, value::bound(text, MANY)),
    },
    Row {
        name: "max-connections-per-source",
        values: "a whole number from 1, or `none`",
        default: "`10000`",
        example: "100",
        doc: "How many of them from one client address, so that one pod that runs wild leaves room for the others.",
        protocols: TCP,
        read: |draft, text| set(&mut draft.settings.policy.connections.source, value::bound(text, MANY)),
    },
    Row {
        name: "udp-idle-timeout",
        values: "a time up to `24h`",
        default: "`30s`",
        example: "2m",
        doc: "How long a session may go without a datagram in either direction before it is forgotten.",
        protocols: UDP,
        read: |draft, text| set(&mut draft.settings.policy.sessions.idle, duration(text, INSTANT, DAY)),
    },
    Row {
        name: "max-sessions",
        values: "a whole number from 1 to 1000000",
        default: "`16384`",
        example: "1000",
        doc: "How many sessions there may be; for another one, the one that has rested longest is forgotten.",
        protocols: UDP,
        read: |draft, text| {
            set(&mut draft.settings.policy.sessions.service, value::whole(text, 1, MOST_SESSIONS))
        },
    },
    Row {
        name: "max-sessions-per-source",
        values: "a whole number from 1 to 1000000",
        default: "`4096`",
        example: "100",
        doc: "How many of them from one client address.",
        protocols: UDP,
        read: |draft, text| {
            set(&mut draft.settings.policy.sessions.source, value::whole(text, 1, MOST_SESSIONS))
        },
    },
];
