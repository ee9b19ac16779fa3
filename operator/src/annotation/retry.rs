//! What is tried again.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{CONNECTED, HTTP, Row},
    value,
};
use std::time::Duration;
use weft_contract::policy::{RetryBudget, RetryOn};

/// More tries than there can be any use in.
const MOST_ATTEMPTS: u64 = 100;
/// A longer pause is a client's to make.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// What each request may hold in a proxy's memory.
const LARGEST_BUFFER: u64 = 16 << 20;
/// The codes of gRPC, each at its number.
const GRPC_CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "retry-attempts",
        values: "a whole number from 0 to 100",
        default: "`3`, for failures to connect",
        example: "2",
        doc: "How many tries a request or a TCP connection has in all, the first included; `0` and `1` are no retry.",
        protocols: CONNECTED,
        read: |draft, text| {
            set(&mut draft.settings.policy.retry.attempts, value::whole(text, 0, MOST_ATTEMPTS))
        },
    },
    Row {
        name: "retry-on",
        values: "a list of `connect-failure`, `reset`, `5xx`, `gateway-error`, statuses such as `503`, and gRPC codes \
                 such as `grpc:unavailable` or `grpc:14`",
        default: "`connect-failure`",
        example: "connect-failure, gateway-error, grpc:unavailable",
        doc: "Which failures are tried again: the connection was refused; it broke before an answer came; any status of \
              500 and above, and a broken connection; 502, 503 or 504, and a broken connection; these statuses; these \
              codes, where the answer has nothing else. A TCP connection is tried again with `connect-failure` alone.",
        protocols: CONNECTED,
        read: |draft, text| set(&mut draft.settings.policy.retry.on, retry_on(text)),
    },
    Row {
        name: "retry-backoff",
        values: "a time, or two of them as `SHORTEST..LONGEST`, from `1ms` to `1m`",
        default: "`25ms..250ms`",
        example: "50ms..1s",
        doc: "The pause before the second try. It doubles with each, up to the longest (ten times the first, unless \
              given), and a random part of it is taken off. A failure to connect is tried at once elsewhere.",
        protocols: HTTP,
        read: |draft, text| {
            let (first, longest) = value::span(text, LONGEST_BACKOFF)?;
            let retry = &mut draft.settings.policy.retry;
            retry.backoff = first;
            retry.longest_backoff = longest.unwrap_or_else(|| (first * 10).min(LONGEST_BACKOFF));
            Ok(())
        },
    },
    Row {
        name: "retry-budget",
        values: "a share, or a share and a rate as `20%+10/s`",
        default: "`20%+10/s`",
        example: "10%+5/s",
        doc: "How much may be tried again, so that retries cannot make an overload worse: this share of the requests of \
              the last ten seconds, and so many a second besides (10, unless given).",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.retry.budget, budget(text)),
    },
    Row {
        name: "retry-buffer",
        values: "bytes, up to `16Mi`",
        default: "`64Ki`",
        example: "256Ki",
        doc: "How much of a request's body is kept to send it again. A request with a larger one is not tried again once \
              some of it was sent.",
        protocols: HTTP,
        read: |draft, text| {
            set(&mut draft.settings.policy.retry.buffer_bytes, value::bytes(text, 0, LARGEST_BUFFER))
        },
    },
];

fn retry_on(text: &str) -> Result<RetryOn, String> {
    let mut on = RetryOn { connect_failure: false, ..RetryOn::default() };
    for entry in value::list(text)? {
        match entry {
            "connect-failure" => on.connect_failure = true,
            "reset" => on.reset = true,
            "5xx" => on.server_error = true,
            "gateway-error" => on.gateway_error = true,
            _ => match entry.strip_prefix("grpc:") {
                Some(code) => on.grpc_codes.push(grpc_code(code)?),
                None => on.statuses.push(value::whole(entry, 400, 599).map_err(|_| {
                    format!("{entry:?} is neither a kind of failure nor a status from 400 to 599")
                })?),
            },
        }
    }
    for codes in [&mut on.statuses, &mut on.grpc_codes] {
        codes.sort_unstable();
        codes.dedup();
    }
    Ok(on)
}

/// A code by its number, or by its name as gRPC's documents or as people write it.
fn grpc_code(text: &str) -> Result<u16, String> {
    let name = text.to_ascii_lowercase().replace('_', "-");
    let by_name =
        GRPC_CODES.iter().position(|known| *known == name).and_then(|code| u16::try_from(code).ok());
    match by_name.or_else(|| value::whole(text, 1, 16).ok()) {
        Some(0) => Err("grpc:ok is no failure".into()),
        Some(code) => Ok(code),
        None => Err(format!("{text:?} is not a code of gRPC such as unavailable or 14")),
    }
}

fn budget(text: &str) -> Result<RetryBudget, String> {
    let Some((share, rate)) = text.split_once('+') else {
        return Ok(RetryBudget { percent: value::percent(text, 0, 100)?, ..RetryBudget::default() });
    };
    let rate = rate.trim();
    let number = rate.strip_suffix("/s").ok_or_else(|| format!("{rate:?} is not a rate such as 10/s"))?;
    Ok(RetryBudget {
        percent: value::percent(share.trim(), 0, 100)?,
        floor_per_second: value::whole(number, 0, 1_000_000)?,
    })
}

pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    if draft.settings.policy.retry.attempts <= 1 {
        let others = ["retry-on", "retry-backoff", "retry-budget", "retry-buffer"];
        asked.unused(&others, "has no effect, for retry-attempts leaves no second try");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_statuses_and_codes_mix() {
        let on =
            retry_on("reset, 503,5xx ,gateway-error,429, 503, grpc:14, grpc:UNAVAILABLE, grpc:data_loss")
                .unwrap();
        let wanted = RetryOn {
            connect_failure: false,
            reset: true,
            server_error: true,
            gateway_error: true,
            statuses: vec![429, 503],
            grpc_codes: vec![14, 15],
        };
        assert_eq!(on, wanted);
        assert!(retry_on("connect-failure").unwrap().connect_failure);
        for wrong in ["", "503,", "200", "600", "grpc:", "grpc:0", "grpc:ok", "grpc:17", "timeout", "5XX"] {
            assert!(retry_on(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_budget_has_a_share_and_may_have_a_floor() {
        assert_eq!(budget("5%"), Ok(RetryBudget { percent: 5, floor_per_second: 10 }));
        assert_eq!(budget("0% + 3/s"), Ok(RetryBudget { percent: 0, floor_per_second: 3 }));
        for wrong in ["", "5", "101%", "5%+3", "5%+/s", "+3/s", "5%+3/s+1/s"] {
            assert!(budget(wrong).is_err(), "{wrong:?}");
        }
    }
}
