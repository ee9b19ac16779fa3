//! How long things may take.

use super::milliseconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long things may take. None is no bound: an answer may take as long as without the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// From the request's head to the answer's head, all tries together.
    #[serde(with = "milliseconds::option", skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// From one try's start to the answer's head.
    #[serde(with = "milliseconds::option", skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Duration>,
    /// Without a byte in either direction of a request under way, WebSockets included. Written also where it is none, for
    /// none is not the default.
    #[serde(with = "milliseconds::option")]
    pub idle: Option<Duration>,
    /// From the request's head to the last byte of its answer: cuts streams too, so only on demand.
    #[serde(with = "milliseconds::option", skip_serializing_if = "Option::is_none")]
    pub stream: Option<Duration>,
    /// Until an endpoint accepts a connection, TLS included; none is the proxy's own setting.
    #[serde(with = "milliseconds::option", skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        // An idle request holds an endpoint; a WebSocket that keeps itself alive is never idle for an hour.
        Self {
            request: None,
            per_try: None,
            idle: Some(Duration::from_secs(3600)),
            stream: None,
            connect: None,
        }
    }
}
