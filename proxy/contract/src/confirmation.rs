//! The proxy's answer to its configuration, served as JSON at `GET /revision` on its admin port.
//!
//! In: nothing. Out: the types. The operator says `MeshReady` only after reading one of these.

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
