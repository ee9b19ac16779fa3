//! What is tried again.

use super::milliseconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When and how a failed try is repeated. Only what is safe is: nothing was sent yet, or the method is idempotent and
/// the body is still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// How many tries a request has in all, the first included (Maesh's meaning); 0 and 1 are no retry.
    pub attempts: u32,
    /// Which failures are tried again.
    pub on: RetryOn,
    /// The pause before the second try; it doubles with each, and a random part of it is taken off. A failure to
    /// connect is tried at once elsewhere.
    #[serde(with = "milliseconds")]
    pub backoff: Duration,
    /// The longest pause.
    #[serde(with = "milliseconds")]
    pub longest_backoff: Duration,
    /// How much may be retried in all.
    pub budget: RetryBudget,
    /// How many bytes of a request's body are kept to send it again; a larger one is not tried again.
    pub buffer_bytes: u32,
}

/// Which failures are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryOn {
    /// The connection was refused or not accepted in time: nothing was sent, so that it is safe for every method.
    pub connect_failure: bool,
    /// The connection broke before an answer came.
    pub reset: bool,
    /// Every status of 500 and above, and what `reset` is.
    pub server_error: bool,
    /// 502, 503 and 504, and what `reset` is.
    pub gateway_error: bool,
    /// These statuses.
    pub statuses: Vec<u16>,
    /// These gRPC codes, where the answer is a trailers-only one.
    pub grpc_codes: Vec<u16>,
}

/// How much may be retried, so that retries cannot make an overload worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// This share of the requests of the last ten seconds, in percent.
    pub percent: u32,
    /// And this many retries a second besides.
    pub floor_per_second: u32,
}

/// The window of a retry budget.
pub const RETRY_BUDGET_WINDOW: Duration = Duration::from_secs(10);

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3, // with connect-failure alone; two endpoints may be on their way out at once
            on: RetryOn::default(),
            backoff: Duration::from_millis(25),
            longest_backoff: Duration::from_millis(250),
            budget: RetryBudget::default(),
            buffer_bytes: 64 * 1024,
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            connect_failure: true,
            reset: false,
            server_error: false,
            gateway_error: false,
            statuses: Vec::new(),
            grpc_codes: Vec::new(),
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        // GEP-3388's defaults.
        Self { percent: 20, floor_per_second: 10 }
    }
}
