//! What the objects say, whatever their version.
//!
//! In: nothing. Out: the types. What a part of an object says wrong stands beside its other parts, as the reason.

use kube::core::Selector;
use weft_contract::{HttpMatch, PodPort};

/// What an object says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Who may call whom.
    TrafficTarget(TrafficTarget),
    /// Which pods are one to access control.
    IdentityBinding(IdentityBinding),
    /// What tells requests apart.
    HttpRouteGroup(HttpRouteGroup),
    /// Ports for TCP.
    TcpRoute(PortRoute),
    /// Ports for UDP.
    UdpRoute(PortRoute),
    /// How a Service's traffic is split.
    TrafficSplit(TrafficSplit),
}

/// Who may call whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficTarget {
    /// Who may be called.
    pub destination: Subject,
    /// The only port of theirs, from versions that have one here.
    pub port: Option<PodPort>,
    /// What may be asked of them.
    pub rules: Vec<Rule>,
    /// Who may call.
    pub sources: Vec<Subject>,
}

/// Some pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What names them.
    pub kind: String,
    /// The API group of that, which API servers of some versions drop.
    pub group: Option<String>,
    /// Its name.
    pub name: String,
    /// Its namespace, where it is given.
    pub namespace: Option<String>,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kind of route.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Which of its matches, by their names; all when empty.
    pub matches: Vec<String>,
}

/// Which pods of a namespace are one to access control: those of which one scheme holds.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityBinding {
    /// Those with this ServiceAccount.
    pub service_account: Option<String>,
    /// Those with these labels.
    pub labels: Option<Selector>,
    /// Those with these SPIFFE identities.
    pub spiffe: Vec<Result<Spiffe, String>>,
}

/// A SPIFFE identity that names a ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spiffe {
    /// The identity as it was written.
    pub text: String,
    /// The namespace of the ServiceAccount.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
}

/// What tells requests apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRouteGroup {
    /// The matches.
    pub matches: Vec<RouteMatch>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// Its name.
    pub name: String,
    /// Which requests match, or why none does.
    pub requests: Result<HttpMatch, String>,
}

/// Ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRoute {
    /// The ports, sorted; all when empty.
    pub ports: Vec<u16>,
}

/// How a Service's traffic is split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficSplit {
    /// The Service, by its name or a longer one.
    pub service: String,
    /// Where its traffic goes.
    pub backends: Vec<Backend>,
    /// Which requests are split; all when empty.
    pub matches: Vec<RouteReference>,
}

/// Where a share of a Service's traffic goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service, by its name or a longer one.
    pub service: String,
    /// Its weight in thousandths, as the oldest version may have it; or why it has none.
    pub weight: Result<u64, String>,
}

/// A group of matches, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteReference {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}
