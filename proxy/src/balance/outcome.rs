//! What became of a try at an endpoint, and what that says about the endpoint.
//!
//! In: an [`Outcome`]. Out: a verdict, how long it took, and until when the endpoint asks to be left alone.

use std::time::Duration;

/// What became of a try at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of an answer came.
    Answered {
        /// Its status.
        status: u16,
        /// Its gRPC code, where the head is all there is (a trailers-only answer).
        grpc_code: Option<u16>,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
        /// How long it took to come.
        latency: Duration,
    },
    /// It accepted a connection that is not HTTP, and did not break it at once. That says nothing of how long its work takes.
    Accepted,
    /// There was no connection to be had.
    ConnectFailed,
    /// The connection broke before an answer came, or what came was no answer.
    Reset,
    /// No answer came in time.
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
}

/// What an outcome says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does its work; a client's own mistakes are not the endpoint's.
    Good,
    /// It does its work but asks for less of it.
    Pushback,
    /// It fails.
    Failed,
}

/// How long an endpoint is left alone at most because it asks for it: it cannot know how things are in an hour.
const LONGEST_AVOIDANCE: Duration = Duration::from_secs(60);

impl Outcome {
    pub(super) fn verdict(&self) -> Verdict {
        match *self {
            Self::Answered { status, grpc_code, retry_after: _, latency: _ } => match (status, grpc_code) {
                // 501: the request asks for what the endpoint does not know, and no other of its kind would.
                (501, _) => Verdict::Good,
                (500.., _) => Verdict::Failed,
                (429, _) => Verdict::Pushback,
                // DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE. Not UNKNOWN, which in some languages is any error that a
                // handler returns, the client's mistakes included.
                (_, Some(4 | 13 | 14)) => Verdict::Failed,
                // RESOURCE_EXHAUSTED
                (_, Some(8)) => Verdict::Pushback,
                _ => Verdict::Good,
            },
            Self::Accepted => Verdict::Good,
            Self::ConnectFailed | Self::Reset | Self::TimedOut { after: _ } => Verdict::Failed,
        }
    }

    /// How long it took, at least; none where that says nothing.
    pub(super) fn latency(&self) -> Option<Duration> {
        match *self {
            Self::Answered { status: _, grpc_code: _, retry_after: _, latency } => Some(latency),
            Self::TimedOut { after } => Some(after),
            Self::ConnectFailed | Self::Reset => Some(Duration::ZERO),
            Self::Accepted => None,
        }
    }

    /// How long the endpoint asks to be left alone.
    pub(super) fn avoidance(&self) -> Option<Duration> {
        match *self {
            Self::Answered { status: 429 | 503, grpc_code: _, retry_after, latency: _ }
            | Self::Answered { status: _, grpc_code: Some(8 | 14), retry_after, latency: _ } => {
                retry_after.filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST_AVOIDANCE))
            }
            Self::Answered { .. }
            | Self::Accepted
            | Self::ConnectFailed
            | Self::Reset
            | Self::TimedOut { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, grpc_code: Option<u16>, retry_after: Option<u64>) -> Outcome {
        let retry_after = retry_after.map(Duration::from_secs);
        Outcome::Answered { status, grpc_code, retry_after, latency: Duration::from_millis(1) }
    }

    #[test]
    fn verdicts() {
        for (status, code, verdict) in [
            (200, None, Verdict::Good),
            (404, None, Verdict::Good),
            (429, None, Verdict::Pushback),
            (500, None, Verdict::Failed),
            (501, None, Verdict::Good),
            (503, None, Verdict::Failed),
            (200, Some(0), Verdict::Good),
            (200, Some(2), Verdict::Good),
            (200, Some(4), Verdict::Failed),
            (200, Some(5), Verdict::Good),
            (200, Some(8), Verdict::Pushback),
            (200, Some(13), Verdict::Failed),
            (200, Some(14), Verdict::Failed),
        ] {
            assert_eq!(answered(status, code, None).verdict(), verdict, "{status} {code:?}");
        }
        assert_eq!(Outcome::Accepted.verdict(), Verdict::Good);
        for failed in [Outcome::ConnectFailed, Outcome::Reset, Outcome::TimedOut { after: Duration::ZERO }] {
            assert_eq!(failed.verdict(), Verdict::Failed);
        }
    }

    #[test]
    fn an_endpoint_is_left_alone_only_when_it_asks_for_it_and_not_for_ever() {
        assert_eq!(answered(503, None, Some(7)).avoidance(), Some(Duration::from_secs(7)));
        assert_eq!(answered(429, None, Some(86_400)).avoidance(), Some(LONGEST_AVOIDANCE));
        assert_eq!(answered(503, None, Some(0)).avoidance(), None);
        assert_eq!(answered(503, None, None).avoidance(), None);
        assert_eq!(answered(301, None, Some(7)).avoidance(), None);
    }
}
