//! What the mesh tells people, and about which object: the one list of reasons.
//!
//! In: nothing. Out: [`Reason`], which is at once an Event's reason, a metric's label and a row of the docs
//! page, and [`Finding`], one thing told about one object. What a user got wrong travels as a `Finding`
//! beside the result of a station, never as its error.

mod rows;

use crate::smi::{SmiKind, SmiVersion};
use std::fmt;

/// Why an Event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The proxies serve the Service.
    MeshReady,
    /// An annotation's value cannot be read.
    AnnotationInvalid,
    /// An annotation of the mesh's has a key that this version does not know.
    AnnotationUnknown,
    /// An annotation can be read, but has no effect beside the others.
    AnnotationUnused,
    /// The certificates that a Service's endpoints are verified with cannot be read.
    CertificatesNotRead,
    /// A circuit breaker is open.
    CircuitBreakerOpen,
    /// A port has a protocol that the mesh does not serve.
    PortNotServed,
    /// No proxy port is left.
    PortsExhausted,
    /// The API server refused the shadow Service.
    ShadowRefused,
    /// Some proxy could not open its listener or refused its configuration.
    ProxyRejected,
    /// A node's configuration comes near the limit of a ConfigMap, or is beyond it.
    ConfigurationTooLarge,
    /// The mesh's zones were added to the cluster's DNS.
    DnsPatched,
    /// Something took the mesh's zones out of the cluster's DNS; they were put in again.
    DnsReverted,
    /// The mesh's zones could not be added to the cluster's DNS.
    DnsRefused,
    /// The cluster's DNS failed after the change, which was taken back.
    DnsPutBack,
    /// An SMI object cannot be read.
    SmiObjectInvalid,
    /// A match of an HTTPRouteGroup cannot be used.
    RouteMatchInvalid,
    /// A scheme of an IdentityBinding binds nothing, or more than one may.
    IdentitySchemeInvalid,
    /// A TrafficTarget, or a part of one, grants nothing.
    AccessNotGranted,
    /// Access is audited, and would have been refused.
    AccessWouldBeDenied,
    /// A TrafficSplit is not in force.
    SplitNotUsed,
    /// A backend of a TrafficSplit gets no traffic, or not that of every port.
    SplitBackendNotUsed,
    /// A TrafficSplit has no backend that can be used.
    SplitWithoutBackend,
    /// A backend of a TrafficSplit has one of its own, which does not count.
    SplitNested,
    /// The `matches` of a TrafficSplit match nothing, or have no effect.
    SplitMatchesNotUsed,
}

/// How an Event is ranked by Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// All is well.
    Normal,
    /// Somebody should do something.
    Warning,
}

/// The kinds of object that a finding can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A core/v1 Service.
    Service,
    /// A core/v1 ConfigMap.
    ConfigMap,
    /// A core/v1 Node.
    Node,
    /// An object of the Service Mesh Interface, in the version that it was read in.
    Smi(SmiKind, SmiVersion),
}

/// The object that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct About {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for a Node.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, which ties the Event to this very object.
    pub uid: String,
}

/// One thing to tell about one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// The object.
    pub about: About,
    /// The reason.
    pub reason: Reason,
    /// What tells this finding from others of the same reason about the same object, such as an annotation's key
    /// or a port; empty where there is but one.
    pub detail: String,
    /// What is wrong, what the mesh does meanwhile, how to put it right. At most 1 KiB is shown.
    pub note: String,
}

/// One row of the list of reasons; `finding/rows.rs` has them all.
pub struct Row {
    /// The reason.
    pub reason: Reason,
    /// Its name in Events, metrics and docs.
    pub name: &'static str,
    /// Its rank.
    pub severity: Severity,
    /// The kind of object it is told about, in words.
    pub about: &'static str,
    /// When it is told.
    pub when: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Reason {
    /// Every reason, in the order of the docs page.
    pub const ALL: [Self; 25] = [
        Self::MeshReady,
        Self::AnnotationInvalid,
        Self::AnnotationUnknown,
        Self::AnnotationUnused,
        Self::CertificatesNotRead,
        Self::CircuitBreakerOpen,
        Self::PortNotServed,
        Self::PortsExhausted,
        Self::ShadowRefused,
        Self::ProxyRejected,
        Self::ConfigurationTooLarge,
        Self::DnsPatched,
        Self::DnsReverted,
        Self::DnsRefused,
        Self::DnsPutBack,
        Self::SmiObjectInvalid,
        Self::RouteMatchInvalid,
        Self::IdentitySchemeInvalid,
        Self::AccessNotGranted,
        Self::AccessWouldBeDenied,
        Self::SplitNotUsed,
        Self::SplitBackendNotUsed,
        Self::SplitWithoutBackend,
        Self::SplitNested,
        Self::SplitMatchesNotUsed,
    ];

    /// The name in Events, metrics and docs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_a_name_of_its_own_that_an_event_can_carry() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.len() <= 128 && name.chars().all(char::is_alphanumeric)));
    }
}
