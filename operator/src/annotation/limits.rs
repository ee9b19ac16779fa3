//! How much is let through.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{ALL, HTTP, Row},
    value::{self, DAY, INSTANT},
};
use std::time::Duration;
use weft_contract::policy::{RateLimit, RateLimitKey, RateLimitScope};

/// More requests than a node's proxy could carry, in a second or at once.
const MANY: u64 = 1_000_000_000;
/// The bounds of a head: less holds no request, more is an attack on a proxy's memory.
const HEAD: (u64, u64) = (1 << 10, 1 << 20);
/// Who waits longer is better told to come again.
const LONGEST_QUEUE: Duration = Duration::from_secs(60);

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "ratelimit-average",
        values: "a whole number from 1",
        default: "none: no limit",
        example: "100",
        doc: "How many requests a second are let through in the long run; 429 with `Retry-After` for the others. Each \
              client address counts for itself unless `ratelimit-by` says otherwise.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.average, value::whole(text, 1, MANY).map(Some)),
    },
    Row {
        name: "ratelimit-burst",
        values: "a whole number from 1",
        default: "`ratelimit-average`",
        example: "200",
        doc: "How many requests may come at once.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.burst, value::whole(text, 1, MANY).map(Some)),
    },
    Row {
        name: "ratelimit-by",
        values: "`source`, `service`, `service-account` or `header:NAME`",
        default: "`source`",
        example: "header:x-api-key",
        doc: "What has a limit of its own: each client address, the Service as a whole, each ServiceAccount of calling \
              pods, or each value of a header.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.limit_by, limit_by(text).map(Some)),
    },
    Row {
        name: "ratelimit-scope",
        values: "`node` or `cluster`",
        default: "`node`",
        example: "cluster",
        doc: "Where the limit counts: in each node's proxy for itself, or in equal shares over the proxies that carry the \
              Service's traffic, which are counted every few seconds.",
        protocols: HTTP,
        read: |draft, text| {
            let scope = match text {
                "node" => Ok(Some(RateLimitScope::Node)),
                "cluster" => Ok(Some(RateLimitScope::Cluster)),
                _ => Err(format!("{text:?} is neither node nor cluster")),
            };
            set(&mut draft.limit_scope, scope)
        },
    },
    Row {
        name: "max-in-flight",
        values: "a whole number from 1, or `none`",
        default: "`10000`",
        example: "500",
        doc: "How many requests to the Service may be under way in each node's proxy; 503 for those that do not get their \
              turn in the `queue`.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.bulkhead.service, value::bound(text, MANY)),
    },
    Row {
        name: "max-in-flight-per-source",
        values: "a whole number from 1, or `none`",
        default: "`2000`",
        example: "100",
        doc: "How many of them from one client address, so that one pod that runs wild leaves room for the others.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.bulkhead.source, value::bound(text, MANY)),
    },
    Row {
        name: "max-in-flight-per-endpoint",
        values: "a whole number from 1, or `none`",
        default: "`none`",
        example: "20",
        doc: "How many of them to one endpoint, or how many connections or sessions where it is not HTTP.",
        protocols: ALL,
        read: |draft, text| set(&mut draft.settings.policy.bulkhead.endpoint, value::bound(text, MANY)),
    },
    Row {
        name: "queue",
        values: "a whole number, or with a time up to `1m` as `1000/1s`",
        default: "`1000/1s`",
        example: "100/250ms",
        doc: "How many requests may wait for their turn when the bound of the Service or of their source is reached, and for \
              how long. Where every endpoint is full, nothing waits.",
        protocols: HTTP,
        read: queue,
    },
    Row {
        name: "max-header-bytes",
        values: "bytes from `1Ki` to `1Mi`",
        default: "`64Ki`",
        example: "16Ki",
        doc: "How large the head of a request may be; 431 for more.",
        protocols: HTTP,
        read: |draft, text| {
            set(&mut draft.settings.policy.limits.head_bytes, value::bytes(text, HEAD.0, HEAD.1))
        },
    },
    Row {
        name: "max-headers",
        values: "a whole number from 1 to 1000",
        default: "`256`",
        example: "100",
        doc: "How many header fields a request may have; 431 for more.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.limits.header_count, value::whole(text, 1, 1000)),
    },
    Row {
        name: "max-body-bytes",
        values: "bytes, or `none`",
        default: "`none`",
        example: "10Mi",
        doc: "How large the body of a request may be; 413 for more.",
        protocols: HTTP,
        read: |draft, text| {
            let bytes = if text == "none" { Ok(0) } else { value::bytes(text, 1, u64::MAX) };
            set(&mut draft.settings.policy.limits.body_bytes, bytes)
        },
    },
    Row {
        name: "header-timeout",
        values: "a time up to `24h`",
        default: "`10s`",
        example: "5s",
        doc: "How long a client may take for the head of a request, from its first byte.",
        protocols: HTTP,
        read: |draft, text| {
            set(&mut draft.settings.policy.limits.head_timeout, value::duration(text, INSTANT, DAY))
        },
    },
    Row {
        name: "body-timeout",
        values: "a time up to `24h`",
        default: "`5m`",
        example: "30s",
        doc: "How long a client may stand still in the body of a request.",
        protocols: HTTP,
        read: |draft, text| {
            set(&mut draft.settings.policy.limits.body_timeout, value::duration(text, INSTANT, DAY))
        },
    },
];

fn limit_by(text: &str) -> Result<RateLimitKey, String> {
    match text {
        "source" => Ok(RateLimitKey::SourceAddress),
        "service" => Ok(RateLimitKey::Service),
        "service-account" => Ok(RateLimitKey::ServiceAccount),
        _ => match text.strip_prefix("header:") {
            Some(name) => value::header_name(name).map(RateLimitKey::Header),
            None => Err(format!("{text:?} is nothing that can be counted by")),
        },
    }
}

fn queue(draft: &mut Draft, text: &str) -> Result<(), String> {
    let (length, time) = match text.split_once('/') {
        Some((length, time)) => (length.trim(), Some(value::duration(time.trim(), INSTANT, LONGEST_QUEUE)?)),
        None => (text, None),
    };
    let bulkhead = &mut draft.settings.policy.bulkhead;
    bulkhead.queue = value::whole(length, 0, 1_000_000)?;
    bulkhead.queue_timeout = time.unwrap_or(bulkhead.queue_timeout);
    Ok(())
}

pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    let Some(average) = draft.average else {
        let others = ["ratelimit-burst", "ratelimit-by", "ratelimit-scope"];
        asked.unused(&others, "has no effect without ratelimit-average");
        return;
    };
    draft.settings.policy.rate_limit = Some(RateLimit {
        average,
        burst: draft.burst.unwrap_or(average),
        key: draft.limit_by.take().unwrap_or_default(),
        scope: draft.limit_scope.unwrap_or_default(),
        proxies: 1,
    });
}
