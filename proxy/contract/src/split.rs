//! How a Service's traffic is split among others.
//!
//! In: nothing. Out: the types, as the TrafficSplit of the Service Mesh Interface has it.

use crate::{configuration::ServiceKey, matching::HttpMatch};
use serde::{Deserialize, Serialize};

/// The TrafficSplit in force on a Service: per request for HTTP, per connection for TCP, per session for UDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The name of the TrafficSplit, in the Service's namespace.
    pub name: String,
    /// Which requests are split: those of which one matches. The others, and what is no HTTP, go to the Service's own
    /// endpoints. None splits everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<Vec<HttpMatch>>,
    /// Where they go. Where no weight is above 0 they are answered 503.
    pub backends: Vec<SplitBackend>,
    /// What keeps one user on one side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<SplitSticky>,
}

/// One side of a split.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitBackend {
    /// Whose endpoints these are; the split Service itself means its own endpoints. Never split again.
    pub service: ServiceKey,
    /// Its share, in relation to the other weights of a port.
    pub weight: u32,
    /// The numbers of the split Service's ports that this one has too, sorted; for others it is no side.
    pub ports: Vec<u16>,
}

/// What keeps one user on one side of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitSticky {
    /// A cookie of this name, set by the proxy where a client has none.
    Cookie(String),
    /// The value of the header of this (lower-case) name; requests without it are split by chance.
    Header(String),
}
