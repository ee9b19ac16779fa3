//! How an endpoint is chosen.

use super::{is_default, milliseconds};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How an endpoint is chosen for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Balancing {
    /// By which rule.
    #[serde(skip_serializing_if = "is_default")]
    pub algorithm: Algorithm,
    /// A cookie that keeps a client at its endpoint; wins over the algorithm while that endpoint can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<StickyCookie>,
    /// Which endpoints are preferred as long as they are neither overloaded nor failing.
    #[serde(skip_serializing_if = "is_default")]
    pub proximity: Proximity,
    /// Over how long a new endpoint's share grows to its full size; zero gives it at once.
    #[serde(with = "milliseconds")]
    pub slow_start: Duration,
}

/// By which rule an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Of two drawn at random the one with the lower product of peak-EWMA latency and requests in flight.
    #[default]
    P2cEwma,
    /// One after the other.
    RoundRobin,
    /// Of two drawn at random the one with fewer requests in flight.
    LeastRequest,
    /// The same endpoint for the same key, with bounded load.
    Hash(HashKey),
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKey {
    /// The value of the header of this (lower-case) name.
    Header(String),
    /// The value of the cookie of this name.
    Cookie(String),
    /// The client's address.
    SourceAddress,
}

/// A cookie that keeps a client at its endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
}

/// Which endpoints are preferred: the Service's `trafficDistribution`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proximity {
    /// None: all are equal.
    #[default]
    Any,
    /// Those that the EndpointSlices' hints give to the client's zone (PreferSameZone, PreferClose).
    Zone,
    /// Those on the client's node, then those of its zone (PreferSameNode).
    Node,
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            sticky: None,
            proximity: Proximity::default(),
            // Long enough for a runtime to warm up a little, short enough not to be felt in a rollout.
            slow_start: Duration::from_secs(10),
        }
    }
}
