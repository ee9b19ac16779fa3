//! What became of one try.
//!
//! In: the head of an answer, or why there is none. Out: what it means for the endpoint, for the circuit breaker and for
//! whether there is another try.

use crate::{
    balance,
    cause::Cause,
    http::{
        endpoint::Exchange,
        head::{ResponseHead, framing::Framing},
        wire::Broken,
    },
    retry::{Failure, retry_after},
};
use http::Version;
use std::time::{Duration, SystemTime};

/// The gRPC code of an answer that is nothing but a head.
#[must_use]
pub fn grpc_code(head: &ResponseHead, framing: Framing) -> Option<u16> {
    let trailers_only = head.version == Version::HTTP_2 && framing == Framing::Empty;
    let code = if trailers_only { head.head.get("grpc-status")? } else { return None };
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// What an answer says about its endpoint.
#[must_use]
pub fn of_answer(head: &ResponseHead, grpc_code: Option<u16>, latency: Duration) -> balance::Outcome {
    balance::Outcome::Answered { status: head.status, grpc_code, retry_after: pause(head), latency }
}

/// How long an answer asks to be left alone.
#[must_use]
pub fn pause(head: &ResponseHead) -> Option<Duration> {
    if !matches!(head.status, 429 | 503) {
        return None;
    }
    // The one clock of the wall in the proxy: a date can be told from nothing else.
    #[allow(clippy::disallowed_methods)]
    let now = SystemTime::now();
    retry_after::parse(head.head.get("retry-after")?, now)
}

/// Why a try came to no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// For the client.
    pub cause: Cause,
    /// For the decision on another try.
    pub failure: Failure,
    /// For the endpoint; none where it says nothing about it.
    pub outcome: Option<balance::Outcome>,
    /// Whether the endpoint said that it has not processed the request.
    pub unprocessed: bool,
}

/// What the client is told of an exchange that broke.
#[must_use]
pub fn cause(error: &Broken) -> Cause {
    match error {
        Broken::Protocol(_) => Cause::BadAnswer,
        Broken::Io(_) | Broken::Ended | Broken::Reset(_) | Broken::Unprocessed(_) | Broken::Gone(_) => {
            Cause::EndpointReset
        }
    }
}

/// What a broken exchange means; `nothing_came` where not a byte of an answer did.
#[must_use]
pub fn of_broken(error: &Broken, reused: bool) -> NoAnswer {
    let unprocessed = Exchange::is_unprocessed(error);
    let cause = cause(error);
    let stale = reused && matches!(error, Broken::Io(_) | Broken::Ended);
    NoAnswer {
        cause,
        failure: Failure::Reset { stale },
        // A kept connection that was closed meanwhile says nothing about its endpoint.
        outcome: (!stale && !unprocessed).then_some(balance::Outcome::Reset),
        unprocessed,
    }
}
