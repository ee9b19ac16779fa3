//! How long things may take.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{CONNECTED, HTTP, Row},
    value::{DAY, duration_or_none},
};
use std::time::Duration;
use weft_contract::policy::Timeouts;

/// A connection that takes longer is none.
const LONGEST_CONNECT: Duration = Duration::from_secs(60);

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "timeout-request",
        values: "a time up to `24h`, or `none`",
        default: "`none`",
        example: "15s",
        doc: "From the head of a request to the head of its answer, all tries together; 504 after it.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.timeouts.request, duration_or_none(text, DAY)),
    },
    Row {
        name: "timeout-per-try",
        values: "a time up to `24h`, or `none`",
        default: "`none`",
        example: "2s",
        doc: "From the start of one try to the head of its answer.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.timeouts.per_try, duration_or_none(text, DAY)),
    },
    Row {
        name: "timeout-idle",
        values: "a time up to `24h`, or `none`",
        default: "`1h`",
        example: "10m",
        doc: "Without a byte in either direction of a request under way, WebSockets included.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.timeouts.idle, duration_or_none(text, DAY)),
    },
    Row {
        name: "timeout-stream",
        values: "a time up to `24h`, or `none`",
        default: "`none`",
        example: "30m",
        doc: "From the head of a request to the last byte of its answer. It cuts streams and WebSockets too.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.timeouts.stream, duration_or_none(text, DAY)),
    },
    Row {
        name: "timeout-connect",
        values: "a time up to `1m`, or `none`",
        default: "`none`: the proxy's own setting",
        example: "500ms",
        doc: "Until an endpoint accepts a connection, TLS included.",
        protocols: CONNECTED,
        read: |draft, text| {
            set(&mut draft.settings.policy.timeouts.connect, duration_or_none(text, LONGEST_CONNECT))
        },
    },
];

pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    let Timeouts { request, per_try, idle: _, stream, connect: _ } = &draft.settings.policy.timeouts;
    let never_first = |inner: &Option<Duration>, outer: &Option<Duration>| {
        inner.zip(*outer).is_some_and(|(inner, outer)| inner >= outer)
    };
    if never_first(per_try, request) {
        asked.unused(&["timeout-per-try"], "has no effect, for timeout-request is not longer");
    }
    if never_first(request, stream) {
        asked.unused(&["timeout-request"], "has no effect, for timeout-stream is not longer");
    }
}
