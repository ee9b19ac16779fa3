//! Whether a failed try is repeated.
//!
//! In: how it failed, and what is known of its request. Out: whether it is tried again, and whether at once.
//!
//! A retry must be wanted (`retry-on` names the failure) and safe (the request is not done twice):
//!
//! | what is known | safe for |
//! |---|---|
//! | nothing of the request was written, or the endpoint says that it did not process it | every method |
//! | the answer is a gRPC one with a code that is listed | every method |
//! | else | idempotent methods |
//!
//! gRPC is a row of its own because it has but one method: POST says nothing of whether a call may be repeated. An answer of
//! trailers alone means that the server gave up before it answered anything; UNAVAILABLE, by its definition, that the call
//! may be repeated; and of other codes, who lists them says so, as in gRPC's own retries (proposal A6).

use weft_contract::policy::{Retry, RetryOn};

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about: refused, unreachable, not in time, or TLS failed.
    Connect,
    /// The connection or the stream broke before the answer's head was there.
    Reset {
        /// It was a kept connection which the endpoint had closed meanwhile: it broke before any byte of an answer.
        stale: bool,
    },
    /// The endpoint did not answer in the time for one try.
    TryTimeout,
    /// It answered.
    Status {
        /// With this status.
        status: u16,
        /// With this gRPC code, where the answer consists of trailers alone.
        grpc_code: Option<u16>,
    },
}

/// What is known of the request whose try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How many tries there were, this one included.
    pub tries: u32,
    /// Whether its method is idempotent (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// Whether any byte of the request was written in this try. Not so, too, where the endpoint says that it did not
    /// process it: `REFUSED_STREAM`, or a stream above the last of its GOAWAY (RFC 9113, section 8.7).
    pub sent: bool,
    /// Whether all of the body is still there, or to come.
    pub replayable: bool,
}

/// That there is another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// At once: it says nothing of how loaded the endpoints are.
    AtOnce,
    /// After a pause.
    AfterBackoff,
}

/// Whether a failed try is repeated; the budget is yet to be asked.
#[must_use]
pub fn again(retry: &Retry, failure: &Failure, attempt: &Attempt) -> Option<Again> {
    let Attempt { tries, idempotent, sent, replayable } = *attempt;
    if tries >= retry.attempts || !replayable {
        return None;
    }
    let on = &retry.on;
    let safe = idempotent || !sent;
    match *failure {
        Failure::Connect => (on.connect_failure && safe).then_some(Again::AtOnce),
        // It is not the endpoint's failure but a race with its idle timeout, which a client may repeat on its own
        // (RFC 9110, section 9.2.2). Once, if something was sent: a request that kills its endpoints looks the same.
        Failure::Reset { stale: true } if !sent || (idempotent && tries == 1) => Some(Again::AtOnce),
        Failure::Reset { stale: _ } if !sent && on.connect_failure => Some(Again::AtOnce),
        Failure::Reset { stale: _ } => (on_reset(on) && safe).then_some(Again::AfterBackoff),
        // The endpoint may be at it still, so it is sent whatever is known of the bytes.
        // Else the client would get a 504, so whoever lists that means this too.
        Failure::TryTimeout => (on_status(on, 504) && idempotent).then_some(Again::AfterBackoff),
        Failure::Status { status, grpc_code } => {
            let by_code = grpc_code.is_some_and(|code| on.grpc_codes.contains(&code));
            (by_code || (on_status(on, status) && idempotent)).then_some(Again::AfterBackoff)
        }
    }
}

fn on_reset(on: &RetryOn) -> bool {
    on.reset || on.server_error || on.gateway_error
}

fn on_status(on: &RetryOn, status: u16) -> bool {
    (on.server_error && status >= 500)
        || (on.gateway_error && matches!(status, 502..=504))
        || on.statuses.contains(&status)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
