//! When an endpoint, or a whole Service, is taken for failed.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{ALL, HTTP, Row},
    value,
};
use std::time::Duration;
use weft_contract::{expression::Expression, policy::Outlier};

/// Longer than that, an endpoint is somebody's to look after.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "outlier",
        values: "`on` or `off`",
        default: "`on`",
        example: "off",
        doc: "Whether an endpoint that fails is set aside for a while.",
        protocols: ALL,
        read: |draft, text| {
            let off = match text {
                "on" => Ok(false),
                "off" => Ok(true),
                _ => Err(format!("{text:?} is neither on nor off")),
            };
            set(&mut draft.outlier_off, off)
        },
    },
    Row {
        name: "outlier-consecutive",
        values: "a whole number",
        default: "`5`",
        example: "3",
        doc: "After how many failures in a row an endpoint is set aside: a 5xx, a broken connection, a failure to \
              connect, a timeout; `0` is never.",
        protocols: ALL,
        read: |draft, text| {
            set(&mut draft.settings.policy.outlier.consecutive, value::whole(text, 0, 1_000_000))
        },
    },
    Row {
        name: "outlier-success-rate",
        values: "a share",
        default: "`50%`",
        example: "80%",
        doc: "Below which share of successes in the last ten seconds an endpoint is set aside, if it had 20 requests and \
              the others do better; `0%` is never.",
        protocols: ALL,
        read: |draft, text| {
            set(&mut draft.settings.policy.outlier.success_percent, value::percent(text, 0, 100))
        },
    },
    Row {
        name: "outlier-pause",
        values: "a time, or two of them as `SHORTEST..LONGEST`, up to `1h`",
        default: "`1s..60s`",
        example: "5s..2m",
        doc: "For how long an endpoint is set aside at first. Each time in a row doubles it, up to the longest (a minute \
              or the first, unless given); then one request probes the endpoint.",
        protocols: ALL,
        read: |draft, text| {
            let (first, longest) = value::span(text, LONGEST_PAUSE)?;
            let outlier = &mut draft.settings.policy.outlier;
            outlier.pause = first;
            outlier.longest_pause = longest.unwrap_or_else(|| Outlier::default().longest_pause.max(first));
            Ok(())
        },
    },
    Row {
        name: "outlier-max-ejected",
        values: "a share up to `50%`",
        default: "`50%`",
        example: "30%",
        doc: "The largest share of a Service's endpoints that is set aside at once: never more than half.",
        protocols: ALL,
        read: |draft, text| set(&mut draft.settings.policy.outlier.most_percent, value::percent(text, 0, 50)),
    },
    Row {
        name: "circuit-breaker-expression",
        values: "an expression of `NetworkErrorRatio()`, `ResponseCodeRatio(from, to, from, to)` and \
                 `LatencyAtQuantileMS(quantile)` with `<`, `<=`, `>`, `>=`, `==`, `!=`, `&&`, `||`, `!` and parentheses",
        default: "none",
        example: "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(99.0) > 500",
        doc: "When a node's proxy answers 503 for the whole Service at once, with Traefik's grammar and meaning: for ten \
              seconds, then with a growing share let through for ten more. An Event says when it is open.",
        protocols: HTTP,
        read: |draft, text| {
            check_expression(text)?;
            draft.settings.policy.circuit_breaker = Some(text.to_owned());
            Ok(())
        },
    },
];

/// Checks the expression of a circuit breaker; says what is wrong with it, and where.
fn check_expression(text: &str) -> Result<(), String> {
    Expression::parse(text).map(drop).map_err(|error| error.to_string())
}

pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    if draft.outlier_off {
        let outlier = &mut draft.settings.policy.outlier;
        (outlier.consecutive, outlier.success_percent) = (0, 0);
        let others = ["outlier-consecutive", "outlier-success-rate", "outlier-pause", "outlier-max-ejected"];
        asked.unused(&others, "has no effect with outlier: off");
    }
}
