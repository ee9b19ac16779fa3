//! Who may call whom, in access control mode.
//!
//! In: nothing. Out: the types. They follow the Service Mesh Interface: what is granted adds up, and nothing else passes.

use crate::matching::HttpMatch;
use serde::{Deserialize, Serialize};

/// What is granted in the whole cluster; none of this is there where access is not controlled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessControl {
    /// What becomes of that which nothing grants.
    pub mode: AccessMode,
    /// What is granted, sorted; a union.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// What becomes of a request, connection or session that nothing grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessMode {
    /// It is refused.
    Enforce,
    /// It passes, and is counted as one that would have been refused.
    Audit,
}

/// What one TrafficTarget grants. A rule of a kind that is absent here grants nothing of that kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The namespace of the TrafficTarget.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pods that may be called.
    pub destination: Principal,
    /// The pods that may call, sorted.
    pub sources: Vec<Principal>,
    /// The only port of the destination's pods, from versions that have `destination.port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PodPort>,
    /// From TCPRoutes: ports of the destination's pods, sorted, all when empty.
    ///
    /// Alone it grants whatever is spoken over TCP there; beside `http` it narrows that to these ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Vec<u16>>,
    /// From UDPRoutes: ports of the destination's pods, sorted, all when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Vec<u16>>,
    /// From HTTPRouteGroups: requests of which one matches; none grants no request, an empty list neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<HttpMatch>>,
}

/// Pods that are one to access control; found by their addresses in [`crate::NodeConfiguration::sources`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// What tells them apart from others.
    pub kind: PrincipalKind,
    /// The namespace of what tells them apart, and theirs.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What tells pods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PrincipalKind {
    /// They run with this ServiceAccount.
    ServiceAccount,
    /// This IdentityBinding binds them.
    IdentityBinding,
}

/// A port of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodPort {
    /// By its number.
    Number(u16),
    /// By the name that a Service's `targetPort` has for it; see [`crate::Port::target_name`].
    Name(String),
}
