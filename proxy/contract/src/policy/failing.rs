//! When an endpoint, or a whole Service, is taken for failed.

use super::milliseconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When an endpoint that fails is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outlier {
    /// After so many failures in a row (a 5xx, a broken connection, a failure to connect, a timeout); 0 never.
    pub consecutive: u32,
    /// When fewer than this share of its requests succeed, in percent, over the last ten seconds; 0 never. It counts only
    /// where the endpoint had at least [`Outlier::fewest`] requests, and the others do better.
    pub success_percent: u32,
    /// How many requests in ten seconds a success rate is worth anything.
    pub fewest: u32,
    /// How long it is set aside at first; each time in a row doubles it. Then one request probes it.
    #[serde(with = "milliseconds")]
    pub pause: Duration,
    /// The longest that it is set aside.
    #[serde(with = "milliseconds")]
    pub longest_pause: Duration,
    /// The largest share of a Service's endpoints set aside at once, in percent. Never more than half.
    pub most_percent: u32,
}

/// How often the expression of a circuit breaker is evaluated (Traefik's default).
pub const BREAKER_CHECK: Duration = Duration::from_millis(100);
/// How long a circuit breaker that tripped answers 503 (Traefik's default).
pub const BREAKER_FALLBACK: Duration = Duration::from_secs(10);
/// Over how long a circuit breaker lets a growing share through again (Traefik's default).
pub const BREAKER_RECOVERY: Duration = Duration::from_secs(10);

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            success_percent: 50,
            fewest: 20,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            most_percent: 50,
        }
    }
}
