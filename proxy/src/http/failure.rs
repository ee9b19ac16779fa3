//! What a failed request is answered with, decided in this one place.
//!
//! In: Pingora's error. Out: a status for the client, and what to count it as.

use crate::metrics::Failure;
use pingora_error::{Error, ErrorSource, ErrorType};

/// What became of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The answer; none where there is nobody left to answer.
    pub(super) status: Option<u16>,
    /// What it counts as, where the endpoint failed.
    pub(super) failure: Option<Failure>,
}

/// The verdict on an error.
pub(super) fn verdict(error: &Error) -> Verdict {
    if let ErrorType::HTTPStatus(status) = error.etype() {
        return Verdict { status: Some(*status), failure: None };
    }
    match error.esource() {
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Downstream => Verdict { status: downstream(error.etype()), failure: None },
        ErrorSource::Internal | ErrorSource::Unset => Verdict { status: Some(500), failure: None },
    }
}

fn upstream(kind: &ErrorType) -> Verdict {
    let (status, failure) = match kind {
        ErrorType::ConnectTimedout => (504, Failure::Connect),
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::BindError
        | ErrorType::SocketError => (502, Failure::Connect),
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => (504, Failure::Timeout),
        _ => (502, Failure::Broken),
    };
    Verdict { status: Some(status), failure: Some(failure) }
}

fn downstream(kind: &ErrorType) -> Option<u16> {
    match kind {
        ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::ConnectionClosed
        | ErrorType::WriteTimedout => None,
        ErrorType::ReadTimedout => Some(408),
        _ => Some(400),
    }
}

/// A line for people.
pub(super) fn text(status: u16) -> &'static str {
    match status {
        502 => "the endpoint could not be reached or broke off",
        503 => "no endpoint is ready",
        504 => "the endpoint did not answer in time",
        408 => "the request did not arrive in time",
        500 => "the proxy failed",
        _ => "the request cannot be forwarded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_error::Error;

    #[test]
    fn an_unreachable_endpoint_is_502_and_a_silent_one_504() {
        let of = |kind, source: fn(Box<Error>) -> Box<Error>| verdict(&source(Error::new(kind))).status;
        let up = |error: Box<Error>| error.into_up();
        let down = |error: Box<Error>| error.into_down();
        assert_eq!(of(ErrorType::ConnectRefused, up), Some(502));
        assert_eq!(of(ErrorType::ConnectTimedout, up), Some(504));
        assert_eq!(of(ErrorType::ReadTimedout, up), Some(504));
        assert_eq!(of(ErrorType::ConnectionClosed, up), Some(502));
        assert_eq!(of(ErrorType::ConnectionClosed, down), None);
        assert_eq!(of(ErrorType::InvalidHTTPHeader, down), Some(400));
        assert_eq!(of(ErrorType::HTTPStatus(503), up), Some(503));
    }
}
