//! How an endpoint is chosen.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{ALL, HTTP, Row},
    value,
};
use std::time::Duration;
use weft_contract::policy::{Algorithm, HashKey, StickyCookie};

/// Longer than any runtime takes to warm up.
const LONGEST_START: Duration = Duration::from_secs(3600);

/// The rule by which an endpoint is chosen, before it is known what is hashed.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    P2cEwma,
    RoundRobin,
    LeastRequest,
    Hash,
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "load-balancer",
        values: "`p2c-ewma`, `round-robin`, `least-request` or `hash`",
        default: "`p2c-ewma`",
        example: "round-robin",
        doc: "By which rule an endpoint is chosen. `p2c-ewma`: of two drawn at random the one that answers sooner and has \
              less to do. `round-robin`: one after the other. `least-request`: of two drawn at random the one with fewer \
              requests under way. `hash`: the same endpoint for the same `hash-key`, but none gets much more than its \
              share. A connection or session that is not HTTP counts as under way while it is open, and with `p2c-ewma` \
              nothing else counts.",
        protocols: ALL,
        read: |draft, text| set(&mut draft.rule, rule(text).map(Some)),
    },
    Row {
        name: "hash-key",
        values: "`header:NAME`, `cookie:NAME` or `source`",
        default: "none",
        example: "header:x-user",
        doc: "What is hashed with `load-balancer: hash`: the value of a header, of a cookie, or the client's address.",
        protocols: ALL,
        read: |draft, text| set(&mut draft.hash_key, hash_key(text).map(Some)),
    },
    Row {
        name: "sticky-cookie",
        values: "the name of a cookie",
        default: "none",
        example: "weft-endpoint",
        doc: "A cookie that the proxy sets, which keeps a client at its endpoint as long as that can be used.",
        protocols: HTTP,
        read: |draft, text| {
            let sticky = value::cookie_name(text).map(|name| Some(StickyCookie { name }));
            set(&mut draft.settings.policy.balancing.sticky, sticky)
        },
    },
    Row {
        name: "slow-start",
        values: "a time from `0s` to `1h`",
        default: "`10s`",
        example: "30s",
        doc: "Over how long the share of a new endpoint grows to its full size; `0s` gives it at once.",
        protocols: ALL,
        read: |draft, text| {
            let slow_start = value::duration(text, Duration::ZERO, LONGEST_START);
            set(&mut draft.settings.policy.balancing.slow_start, slow_start)
        },
    },
];

fn rule(text: &str) -> Result<Rule, String> {
    match text {
        "p2c-ewma" => Ok(Rule::P2cEwma),
        "round-robin" => Ok(Rule::RoundRobin),
        "least-request" => Ok(Rule::LeastRequest),
        "hash" => Ok(Rule::Hash),
        _ => Err(format!("{text:?} is not a rule of balancing")),
    }
}

fn hash_key(text: &str) -> Result<HashKey, String> {
    match text.split_once(':') {
        None if text == "source" => Ok(HashKey::SourceAddress),
        Some(("header", name)) => value::header_name(name).map(HashKey::Header),
        Some(("cookie", name)) => value::cookie_name(name).map(HashKey::Cookie),
        _ => Err(format!("{text:?} is nothing that can be hashed")),
    }
}

pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    let algorithm = match (draft.rule, draft.hash_key.take()) {
        (Some(Rule::Hash), Some(key)) => Algorithm::Hash(key),
        (Some(Rule::Hash), None) => {
            asked.unused(
                &["load-balancer"],
                "says hash, but no hash-key says what is hashed; p2c-ewma is in force",
            );
            Algorithm::P2cEwma
        }
        (rule, _) => {
            asked.unused(&["hash-key"], "has no effect without load-balancer: hash");
            match rule {
                Some(Rule::RoundRobin) => Algorithm::RoundRobin,
                Some(Rule::LeastRequest) => Algorithm::LeastRequest,
                Some(Rule::P2cEwma | Rule::Hash) | None => Algorithm::P2cEwma,
            }
        }
    };
    draft.settings.policy.balancing.algorithm = algorithm;
}
