//! The proxy's answer to its configuration, served as JSON at `GET /revision` on its admin port.
//!
//! In: nothing. Out: the types. The operator says `MeshReady` only after reading one of these.

use crate::ServiceKey;
use serde::{Deserialize, Serialize};

/// Which configuration a proxy serves, and what went wrong with a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// The revision in force: its plan is in use and its listeners are open. None before the first.
    pub revision: Option<String>,
    /// The newest configuration, when the proxy could not use it and stays on `revision`.
    pub rejected: Option<Rejection>,
    /// Listeners of `revision` that could not be opened.
    #[serde(default)]
    pub failed_listeners: Vec<ListenerFailure>,
    /// Services whose circuit breaker is open now, or has tripped in the last minute; sorted.
    #[serde(default)]
    pub tripped: Vec<Trip>,
    /// Services with a limit of scope `cluster` that had requests in the last half minute; sorted.
    #[serde(default)]
    pub carrying: Vec<ServiceKey>,
}

/// A circuit breaker that tripped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trip {
    /// Whose.
    pub service: ServiceKey,
    /// The Service's port.
    pub port: u16,
    /// How often since the proxy started.
    pub times: u64,
    /// Whether it is open now.
    pub open: bool,
}

/// A configuration that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The revision that its ConfigMap names, where it names one.
    pub revision: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// A listener that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerFailure {
    /// The proxy port.
    pub port: u16,
    /// What the operating system said.
    pub reason: String,
}
