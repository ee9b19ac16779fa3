//! What a Service asks of the proxies beyond carrying its traffic.
//!
//! In: nothing. Out: the types, one file for each concern, each with the default that holds where a Service says nothing.
//! A default is left out of the encoding, so that a configuration grows only by what users ask for.

mod action;
mod balancing;
mod failing;
mod limit;
mod raw;
mod retry;
mod timeout;
mod upstream;

pub use action::{
    Actions, Cors, Fault, FaultAbort, FaultDelay, HeaderChange, HeaderMatch, Mirror, PathRewrite, Redirect,
    is_protected,
};
pub use balancing::{Algorithm, Balancing, HashKey, Proximity, StickyCookie};
pub use failing::{BREAKER_CHECK, BREAKER_FALLBACK, BREAKER_RECOVERY, Outlier};
pub use limit::{Bulkhead, Forwarding, RateLimit, RateLimitKey, RateLimitScope, RequestLimits};
pub use raw::{Connections, Sessions};
pub use retry::{RETRY_BUDGET_WINDOW, Retry, RetryBudget, RetryOn};
pub use timeout::Timeouts;
pub use upstream::{Scheme, UpstreamTls};

use serde::{Deserialize, Serialize};

/// Everything that a Service may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// How an endpoint is chosen.
    #[serde(skip_serializing_if = "is_default")]
    pub balancing: Balancing,
    /// What is tried again.
    #[serde(skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// How long things may take.
    #[serde(skip_serializing_if = "is_default")]
    pub timeouts: Timeouts,
    /// When a failing endpoint is set aside; none never does.
    #[serde(skip_serializing_if = "is_default")]
    pub outlier: Outlier,
    /// Traefik's expression at which the whole Service answers 503; see [`crate::expression`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<String>,
    /// How many requests a second are let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How many requests may be under way.
    #[serde(skip_serializing_if = "is_default")]
    pub bulkhead: Bulkhead,
    /// What a client may send.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: RequestLimits,
    /// What becomes of forwarding headers that a client sends.
    #[serde(skip_serializing_if = "is_default")]
    pub forwarding: Forwarding,
    /// How to trust endpoints that speak TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: UpstreamTls,
    /// What is done to a request on its way.
    #[serde(skip_serializing_if = "is_default")]
    pub actions: Actions,
    /// How TCP connections are carried.
    #[serde(skip_serializing_if = "is_default")]
    pub connections: Connections,
    /// How UDP datagrams are carried.
    #[serde(skip_serializing_if = "is_default")]
    pub sessions: Sessions,
}

/// Whether a value is the default, which is not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Durations as whole milliseconds.
pub(crate) mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    /// The same, where there may be none.
    pub(crate) mod option {
        use serde::{Deserialize, Deserializer, Serializer};
        use std::time::Duration;

        #[allow(clippy::ref_option)] // serde calls it so
        pub(crate) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => super::serialize(duration, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_take_no_room_and_come_back() {
        assert_eq!(serde_json::to_string(&Policy::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
    }

    #[test]
    fn no_idle_timeout_is_not_the_default_one() {
        let mut policy = Policy::default();
        policy.timeouts.idle = None;
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy, "{text}");
    }
}
