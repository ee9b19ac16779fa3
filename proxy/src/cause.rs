//! Why the proxy gives an answer of its own, or lets an answer break off: the one list of causes.
//!
//! In: nothing. Out: [`Cause`], which is at once a status for HTTP and for gRPC, the error type of `proxy-status`
//! (RFC 9209), a response flag in log and metrics, and a line for people.

use std::fmt;

/// Why a request was not simply forwarded and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The request breaks the protocol.
    BadRequest,
    /// Its head is larger than the limit.
    HeadTooLarge,
    /// Its body is larger than the limit.
    BodyTooLarge,
    /// Its head or body did not arrive in time.
    RequestTimeout,
    /// A method that is never forwarded (CONNECT).
    MethodRefused,
    /// A protocol that is not forwarded.
    NotImplemented,
    /// The port is no longer that of a Service.
    NoService,
    /// Access control: nothing grants this to who asks.
    Denied,
    /// A rate limit.
    RateLimited,
    /// The bulkhead of the Service, the client or every endpoint is full, and so is its queue, or the wait was too long.
    Overloaded,
    /// The circuit breaker is open.
    BreakerOpen,
    /// No endpoint is ready.
    NoEndpoint,
    /// Every endpoint that was tried refused the connection, or was not reachable.
    ConnectFailed,
    /// No endpoint that was tried accepted the connection in time.
    ConnectTimeout,
    /// TLS with the endpoint failed: its certificate, its name or the protocol.
    TlsFailed,
    /// The endpoint broke the connection before its answer was complete.
    EndpointReset,
    /// The endpoint's answer breaks the protocol.
    BadAnswer,
    /// One try took longer than `timeout-per-try`.
    TryTimeout,
    /// The request took longer than its timeout, or than its gRPC deadline.
    DeadlineExceeded,
    /// Nothing moved for longer than the idle timeout.
    IdleTimeout,
    /// The endpoint has gone from its Service, or the proxy goes, and the time to finish is over.
    Drained,
    /// A fault on purpose.
    Fault,
    /// A TLS client asks for a server name that no route fits, or for none.
    UnknownServerName,
    /// A client does not speak TLS where routes go by the server name.
    NotTls,
    /// A redirect, or an answer to a browser's CORS question: nothing went wrong.
    Answered,
    /// A fault of the proxy's own.
    Internal,
}

// === impl Cause ===

impl Cause {
    /// Every cause, in the order of metrics and docs.
    pub const ALL: [Self; 26] = [
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::MethodRefused,
        Self::NotImplemented,
        Self::NoService,
        Self::Denied,
        Self::RateLimited,
        Self::Overloaded,
        Self::BreakerOpen,
        Self::NoEndpoint,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::EndpointReset,
        Self::BadAnswer,
        Self::TryTimeout,
        Self::DeadlineExceeded,
        Self::IdleTimeout,
        Self::Drained,
        Self::Fault,
        Self::UnknownServerName,
        Self::NotTls,
        Self::Answered,
        Self::Internal,
    ];

    /// The status of an answer with this cause.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::NotTls => 400,
            Self::Denied => 403,
            Self::NoService => 404,
            Self::MethodRefused => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::RateLimited => 429,
            Self::UnknownServerName => 421,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::ConnectFailed | Self::TlsFailed | Self::EndpointReset | Self::BadAnswer => 502,
            Self::Overloaded | Self::BreakerOpen | Self::NoEndpoint | Self::Drained | Self::Fault => 503,
            Self::ConnectTimeout | Self::TryTimeout | Self::DeadlineExceeded | Self::IdleTimeout => 504,
            Self::Answered => 200,
        }
    }

    /// The code for a gRPC client (gRPC's "Status codes and their use").
    #[must_use]
    pub fn grpc_code(self) -> u16 {
        match self {
            Self::Answered => 0,
            Self::DeadlineExceeded | Self::TryTimeout | Self::IdleTimeout => 4, // DEADLINE_EXCEEDED
            Self::Denied => 7,                                                  // PERMISSION_DENIED
            Self::RateLimited | Self::HeadTooLarge | Self::BodyTooLarge => 8,   // RESOURCE_EXHAUSTED
            Self::NoService | Self::UnknownServerName | Self::MethodRefused | Self::NotImplemented => 12, // UNIMPLEMENTED
            Self::BadRequest | Self::NotTls | Self::Internal | Self::BadAnswer => 13, // INTERNAL
            Self::RequestTimeout
            | Self::Overloaded
            | Self::BreakerOpen
            | Self::NoEndpoint
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::TlsFailed
            | Self::EndpointReset
            | Self::Drained
            | Self::Fault => 14, // UNAVAILABLE
        }
    }

    /// The error type in `proxy-status` (RFC 9209, section 2.3); none where nothing went wrong.
    #[must_use]
    pub fn proxy_status(self) -> Option<&'static str> {
        Some(match self {
            Self::BadRequest
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::RequestTimeout
            | Self::NotImplemented => "http_request_error",
            Self::MethodRefused | Self::Denied | Self::RateLimited | Self::Fault => "http_request_denied",
            Self::NoService | Self::UnknownServerName => "destination_not_found",
            Self::Overloaded => "connection_limit_reached",
            Self::BreakerOpen | Self::NoEndpoint => "destination_unavailable",
            Self::ConnectFailed => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::TlsFailed | Self::NotTls => "tls_protocol_error",
            Self::EndpointReset | Self::Drained => "connection_terminated",
            Self::BadAnswer => "http_protocol_error",
            Self::TryTimeout | Self::DeadlineExceeded => "http_response_timeout",
            Self::IdleTimeout => "connection_read_timeout",
            Self::Answered => return None,
            Self::Internal => "proxy_internal_error",
        })
    }

    /// The response flag, in log, metrics and the `details` of `proxy-status`.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::HeadTooLarge => "head_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::MethodRefused => "method_refused",
            Self::NotImplemented => "not_implemented",
            Self::NoService => "no_service",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::BreakerOpen => "breaker_open",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::EndpointReset => "endpoint_reset",
            Self::BadAnswer => "bad_answer",
            Self::TryTimeout => "try_timeout",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::IdleTimeout => "idle_timeout",
            Self::Drained => "drained",
            Self::Fault => "fault",
            Self::UnknownServerName => "unknown_server_name",
            Self::NotTls => "not_tls",
            Self::Answered => "answered",
            Self::Internal => "internal",
        }
    }

    /// A line for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "the request breaks the rules of HTTP",
            Self::HeadTooLarge => "the request's headers are too large",
            Self::BodyTooLarge => "the request's body is too large",
            Self::RequestTimeout => "the request did not arrive in time",
            Self::MethodRefused => "this method is not forwarded",
            Self::NotImplemented => "this is not forwarded",
            Self::NoService => "this port is no longer served",
            Self::Denied => "this is not granted to you",
            Self::RateLimited => "too many requests",
            Self::Overloaded => "too many requests are under way",
            Self::BreakerOpen => "the circuit breaker is open",
            Self::NoEndpoint => "no endpoint is ready",
            Self::ConnectFailed => "no endpoint could be reached",
            Self::ConnectTimeout => "no endpoint accepted the connection in time",
            Self::TlsFailed => "the endpoint could not be verified",
            Self::EndpointReset => "the endpoint broke off before it answered",
            Self::BadAnswer => "the endpoint's answer breaks the rules of HTTP",
            Self::TryTimeout => "the endpoint did not answer in the time for one try",
            Self::DeadlineExceeded => "the answer did not come within the request's timeout",
            Self::IdleTimeout => "nothing moved for too long",
            Self::Drained => "the time to finish is over",
            Self::Fault => "a fault on purpose",
            Self::UnknownServerName => "no route fits the TLS server name",
            Self::NotTls => "the client does not speak TLS",
            Self::Answered => "answered by the proxy",
            Self::Internal => "the proxy failed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cause_stands_once_and_has_a_flag_of_its_own() {
        let flags: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.flag()).collect();
        assert_eq!(flags.len(), Cause::ALL.len());
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
    }
}
