//! The table of reasons.
//!
//! In: nothing. Out: the row of each reason: its name, its rank, when it is told and what to do.

use super::{Reason, Row, Severity};

/// What reasons are told about.
const SERVICE: &str = "Service";
const DNS: &str = "ConfigMap of the cluster's DNS";
const NODE: &str = "Node";

impl Reason {
    /// The row of this reason.
    #[must_use]
    #[allow(clippy::too_many_lines)] // one table, one place
    pub fn row(self) -> Row {
        let row =
            |name, severity, about, when, remedy| Row { reason: self, name, severity, about, when, remedy };
        use Severity::{Normal, Warning};
        match self {
            Self::MeshReady => row(
                "MeshReady",
                Normal,
                SERVICE,
                "Proxies have confirmed that they serve the Service under its mesh name.",
                "Nothing to do. The note says which name, which ports, and how many proxies of how many.",
            ),
            Self::AnnotationInvalid => row(
                "AnnotationInvalid",
                Warning,
                SERVICE,
                "An annotation's value cannot be read. The last good value, or else the default, serves on.",
                "Set the annotation to one of the values that the note names.",
            ),
            Self::AnnotationUnknown => row(
                "AnnotationUnknown",
                Warning,
                SERVICE,
                "An annotation below one of the mesh's prefixes has a key that this version does not know. It is ignored.",
                "Correct the key, or remove the annotation.",
            ),
            Self::AnnotationUnused => row(
                "AnnotationUnused",
                Warning,
                SERVICE,
                "An annotation's value can be read, but has no effect, or a part of it: it needs another annotation, or another rules \
                 it out, or the Service has no port that it is about, or what it names is not there.",
                "Do what the note says: add what is missing, or remove the annotation.",
            ),
            Self::CertificatesNotRead => row(
                "CertificatesNotRead",
                Warning,
                SERVICE,
                "The ConfigMap or Secret with which the endpoints of a Service with `scheme: https` are verified is missing, \
                 is not PEM, or may not be read. The last good certificates serve on; without any, requests are answered 502.",
                "Correct the object that the note names, or name another by `weft.mesh/tls-ca`.",
            ),
            Self::CircuitBreakerOpen => row(
                "CircuitBreakerOpen",
                Warning,
                SERVICE,
                "The circuit breaker of a port is open on some nodes: their proxies answer 503. It holds while one is open.",
                "Look after the Service's endpoints. The breaker closes by itself once its expression no longer holds.",
            ),
            Self::PortNotServed => row(
                "PortNotServed",
                Warning,
                SERVICE,
                "A port's transport is one that the mesh does not serve: SCTP. The mesh name resolves to the Service's own address, or with `acl` to none.",
                "Move the port to a Service of its own, or use the ordinary name.",
            ),
            Self::PortsExhausted => row(
                "PortsExhausted",
                Warning,
                SERVICE,
                "No proxy port is left for the Service. Its mesh name resolves to its own address until a port frees, or with `acl` to none.",
                "Raise the chart's listenerPorts, or limit the mesh with select, watchNamespaces or ignoreNamespaces.",
            ),
            Self::ShadowRefused => row(
                "ShadowRefused",
                Warning,
                SERVICE,
                "The API server refused the Service's shadow Service. The mesh name resolves to the Service's own address, or with `acl` to none.",
                "The note has the API server's words; quotas and admission policies of the mesh's namespace are usual causes.",
            ),
            Self::ProxyRejected => row(
                "ProxyRejected",
                Warning,
                NODE,
                "The node's proxy could not use its newest configuration, or open one of its listeners. It serves on with the last good one.",
                "The note has the proxy's words. Check that the operator and the proxies have the same version.",
            ),
            Self::ConfigurationTooLarge => row(
                "ConfigurationTooLarge",
                Warning,
                NODE,
                "The node's configuration fills more than three quarters of a ConfigMap. Beyond the limit the last one stays in force.",
                "Limit the mesh with select, watchNamespaces or ignoreNamespaces.",
            ),
            Self::DnsPatched => row(
                "DnsPatched",
                Normal,
                DNS,
                "The mesh's zones were added to the cluster's DNS.",
                "Nothing to do.",
            ),
            Self::DnsReverted => row(
                "DnsReverted",
                Warning,
                DNS,
                "Something took the mesh's zones out of the cluster's DNS. They were added again.",
                "Find what manages this ConfigMap, and let it keep the marked block.",
            ),
            Self::DnsRefused => row(
                "DnsRefused",
                Warning,
                DNS,
                "The mesh's zones were not added, or not all. The note says why. Nothing that worked was touched.",
                "Do what the note says; the operator looks again at each change.",
            ),
            Self::DnsPutBack => row(
                "DnsPutBack",
                Warning,
                DNS,
                "The cluster's DNS failed after the mesh's zones were added. The ConfigMap is as it was before.",
                "Mend what the note says. The operator tries again when the rest of the ConfigMap changes.",
            ),
            Self::SmiObjectInvalid => row(
                "SmiObjectInvalid",
                Warning,
                "any SMI object",
                "The object cannot be read. It affects itself alone: it grants, matches, binds or splits nothing.",
                "Correct what the note names.",
            ),
            Self::RouteMatchInvalid => row(
                "RouteMatchInvalid",
                Warning,
                "HTTPRouteGroup",
                "A match cannot be used, such as for a regular expression that none is. It matches nothing; the others hold.",
                "Correct the match that the note names.",
            ),
            Self::IdentitySchemeInvalid => row(
                "IdentitySchemeInvalid",
                Warning,
                "IdentityBinding",
                "A scheme binds no pod: a SPIFFE identity of another form or namespace, or no scheme at all. Or there are two \
                 of which the specification wants one; pods of either are bound.",
                "Do what the note says.",
            ),
            Self::AccessNotGranted => row(
                "AccessNotGranted",
                Warning,
                "TrafficTarget",
                "The object, or a part of it, grants nothing: it stands in another namespace than its destination, has no \
                 rules or no sources, or names what does not exist. The rest of it holds.",
                "Do what the note says.",
            ),
            Self::AccessWouldBeDenied => row(
                "AccessWouldBeDenied",
                Warning,
                SERVICE,
                "With `acl.mode: audit`: callers in the last ten minutes that no TrafficTarget admits. They passed.",
                "Write a TrafficTarget for those that should pass, before access is enforced.",
            ),
            Self::SplitNotUsed => row(
                "SplitNotUsed",
                Warning,
                "TrafficSplit",
                "The split is not in force: its Service does not exist or has no mesh name, or an older split has it.",
                "Do what the note says.",
            ),
            Self::SplitBackendNotUsed => row(
                "SplitBackendNotUsed",
                Warning,
                "TrafficSplit",
                "A backend gets no traffic: it does not exist, its weight cannot be used, or it has not the port; then only \
                 of that port. The others share what it would have got.",
                "Do what the note says.",
            ),
            Self::SplitWithoutBackend => row(
                "SplitWithoutBackend",
                Warning,
                "TrafficSplit",
                "No backend can get traffic on a port of the Service. Requests there are answered 503, connections closed.",
                "Give a backend that has the port a weight above 0, or delete the split.",
            ),
            Self::SplitNested => row(
                "SplitNested",
                Warning,
                "TrafficSplit",
                "A backend is split itself. Its own endpoints get its share; splits are never followed further.",
                "Name the backends that are meant in one split.",
            ),
            Self::SplitMatchesNotUsed => row(
                "SplitMatchesNotUsed",
                Warning,
                "TrafficSplit",
                "An HTTPRouteGroup of `matches` does not exist and matches nothing; or the Service has no port with HTTP, so \
                 that nothing is split.",
                "Make the HTTPRouteGroup, or leave `matches` out.",
            ),
        }
    }
}
