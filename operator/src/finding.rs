//! What the mesh tells people, and about which object: the one list of reasons.
//!
//! In: nothing. Out: [`Reason`], which is at once an Event's reason, a metric's label and a row of the docs
//! page, and [`Finding`], one thing told about one object. What a user got wrong travels as a `Finding`
//! beside the result of a station, never as its error.

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

/// One row of the list of reasons.
pub struct Row {
    /// The reason.
    pub reason: Reason,
    /// Its name in Events, metrics and docs.
    pub name: &'static str,
    /// Its rank.
    pub severity: Severity,
    /// The kind of object it is told about.
    pub about: Kind,
    /// When it is told.
    pub when: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Reason {
    /// Every reason, in the order of the docs page.
    pub const ALL: [Self; 15] = [
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
    ];

    /// The row of this reason.
    #[must_use]
    #[allow(clippy::too_many_lines)] // one table, one place
    pub fn row(self) -> Row {
        let row =
            |name, severity, about, when, remedy| Row { reason: self, name, severity, about, when, remedy };
        use Kind::{ConfigMap, Node, Service};
        use Severity::{Normal, Warning};
        match self {
            Self::MeshReady => row(
                "MeshReady",
                Normal,
                Service,
                "Proxies have confirmed that they serve the Service under its mesh name.",
                "Nothing to do. The note says which name, which ports, and how many proxies of how many.",
            ),
            Self::AnnotationInvalid => row(
                "AnnotationInvalid",
                Warning,
                Service,
                "An annotation's value cannot be read. The last good value, or else the default, serves on.",
                "Set the annotation to one of the values that the note names.",
            ),
            Self::AnnotationUnknown => row(
                "AnnotationUnknown",
                Warning,
                Service,
                "An annotation below one of the mesh's prefixes has a key that this version does not know. It is ignored.",
                "Correct the key, or remove the annotation.",
            ),
            Self::AnnotationUnused => row(
                "AnnotationUnused",
                Warning,
                Service,
                "An annotation's value can be read, but has no effect, or a part of it: it needs another annotation, or another rules \
                 it out, or the Service has no port that it is about, or what it names is not there.",
                "Do what the note says: add what is missing, or remove the annotation.",
            ),
            Self::CertificatesNotRead => row(
                "CertificatesNotRead",
                Warning,
                Service,
                "The ConfigMap or Secret with which the endpoints of a Service with `scheme: https` are verified is missing, \
                 is not PEM, or may not be read. The last good certificates serve on; without any, requests are answered 502.",
                "Correct the object that the note names, or name another by `weft.mesh/tls-ca`.",
            ),
            Self::CircuitBreakerOpen => row(
                "CircuitBreakerOpen",
                Warning,
                Service,
                "The circuit breaker of a port is open on some nodes: their proxies answer 503. It holds while one is open.",
                "Look after the Service's endpoints. The breaker closes by itself once its expression no longer holds.",
            ),
            Self::PortNotServed => row(
                "PortNotServed",
                Warning,
                Service,
                "A port's transport is one that the mesh does not serve: SCTP. The mesh name resolves to the Service's own address.",
                "Move the port to a Service of its own, or use the ordinary name.",
            ),
            Self::PortsExhausted => row(
                "PortsExhausted",
                Warning,
                Service,
                "No proxy port is left for the Service. Its mesh name resolves to its own address until a port frees.",
                "Raise the chart's listenerPorts, or limit the mesh with select, watchNamespaces or ignoreNamespaces.",
            ),
            Self::ShadowRefused => row(
                "ShadowRefused",
                Warning,
                Service,
                "The API server refused the Service's shadow Service. The mesh name resolves to the Service's own address.",
                "The note has the API server's words; quotas and admission policies of the mesh's namespace are usual causes.",
            ),
            Self::ProxyRejected => row(
                "ProxyRejected",
                Warning,
                Node,
                "The node's proxy could not use its newest configuration, or open one of its listeners. It serves on with the last good one.",
                "The note has the proxy's words. Check that the operator and the proxies have the same version.",
            ),
            Self::ConfigurationTooLarge => row(
                "ConfigurationTooLarge",
                Warning,
                Node,
                "The node's configuration fills more than three quarters of a ConfigMap. Beyond the limit the last one stays in force.",
                "Limit the mesh with select, watchNamespaces or ignoreNamespaces.",
            ),
            Self::DnsPatched => row(
                "DnsPatched",
                Normal,
                ConfigMap,
                "The mesh's zones were added to the cluster's DNS.",
                "Nothing to do.",
            ),
            Self::DnsReverted => row(
                "DnsReverted",
                Warning,
                ConfigMap,
                "Something took the mesh's zones out of the cluster's DNS. They were added again.",
                "Find what manages this ConfigMap, and let it keep the marked block.",
            ),
            Self::DnsRefused => row(
                "DnsRefused",
                Warning,
                ConfigMap,
                "The mesh's zones were not added, or not all. The note says why. Nothing that worked was touched.",
                "Do what the note says; the operator looks again at each change.",
            ),
            Self::DnsPutBack => row(
                "DnsPutBack",
                Warning,
                ConfigMap,
                "The cluster's DNS failed after the mesh's zones were added. The ConfigMap is as it was before.",
                "Mend what the note says. The operator tries again when the rest of the ConfigMap changes.",
            ),
        }
    }

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
