//! The proxy's answer to its configuration, served as JSON at `GET /revision` on its admin port.
//!
//! In: nothing. Out: the types. The operator says `MeshReady` only after reading one of these.

use crate::{ServiceKey, Transport};
use serde::{Deserialize, Serialize};

/// The most [`Denial`]s that a proxy tells of; those that happened most often are told.
pub const MOST_DENIALS: usize = 1000;

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
    /// Where access is audited, not enforced: what would have been refused in the last ten minutes; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Denial>,
}

/// Requests, connections or sessions that nothing grants, and that passed because access is only audited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The Service that was called.
    pub service: ServiceKey,
    /// The port of that Service.
    pub port: u16,
    /// The port's transport.
    pub transport: Transport,
    /// Who called; none where the address is nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Caller>,
    /// How often since the proxy started.
    pub times: u64,
}

/// The ServiceAccount of a pod that called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// The pod's namespace.
    pub namespace: String,
    /// Its ServiceAccount.
    pub service_account: String,
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
