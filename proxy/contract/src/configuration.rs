//! What one node's proxy needs to know.
//!
//! In: nothing. Out: the types; plain data in canonical order, so that equal content has equal bytes.

use crate::{
    access::AccessControl,
    policy::{Policy, Scheme, is_default},
    split::Split,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// The version of the schema that this build writes, and the highest that it reads.
pub const SCHEMA: u32 = 2;

/// The whole configuration of one node's proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfiguration {
    /// The schema that this configuration follows; a reader refuses one above its own [`SCHEMA`].
    pub schema: u32,
    /// The name of the Node object that this configuration is for.
    pub node: String,
    /// The zone that the node is in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The DNS zones of the mesh, without a trailing dot, the main one first.
    pub zones: Vec<String>,
    /// Every Service that has a mesh name, sorted by namespace and name.
    pub services: Vec<Service>,
    /// Who may call or be called, sorted by address: pods with what tells them apart. Only where some Service's policy
    /// asks for it, or access is controlled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Who may call whom; none where access is not controlled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessControl>,
}

/// A pod that runs and has an address of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its address.
    pub address: IpAddr,
    /// Its namespace.
    pub namespace: String,
    /// Its ServiceAccount.
    pub service_account: String,
    /// The names of the IdentityBindings of its namespace that bind it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_bindings: Vec<String>,
}

/// A Service, told apart by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The namespace of the Service.
    pub namespace: String,
    /// The name of the Service.
    pub name: String,
}

/// One Service with a mesh name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Which Service this is.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// What the mesh name resolves to, sorted: the shadow Service's addresses where the mesh serves this
    /// Service, the Service's own where it cannot.
    pub addresses: Vec<IpAddr>,
    /// The Service's ports, in the order of the Service.
    pub ports: Vec<Port>,
    /// What the Service asks for beyond being served.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    /// How its traffic is split among other Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The port's name on the Service; a single port may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port's number on the Service, which clients of the mesh name use too.
    pub port: u16,
    /// The port's transport on the Service.
    pub transport: Transport,
    /// Where the proxy listens for this port; none where the mesh does not serve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// What the endpoints of an HTTP port speak.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scheme: Scheme,
    /// Where connections to this port may go, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The Service's name for the port of its pods, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// Where TLS connections to a TCP port go by the server name that the client asks for. Where this is not empty, a
    /// connection that no name of it fits is refused. TLS is passed on, never ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sni_routes: Vec<SniRoute>,
}

/// Where connections for one server name go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniRoute {
    /// The name, lower case: `a.example.com` itself, `*.example.com` any name below it (the longest first, and after the
    /// exact one), `*` whatever fits no other, a client without a server name included.
    pub host: String,
    /// Whose endpoints these are. Where there is no such Service or port, its connections are refused, and go to no other
    /// route.
    pub service: ServiceKey,
    /// The number of that Service's port; 0, which no port has, where there is none to go to.
    pub port: u16,
}

/// Where the proxy listens for one port of a Service, and what it speaks there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The port of the proxy, the target port of the shadow Service; unique within a configuration.
    pub port: u16,
    /// What is spoken there. It belongs to the port, not to the Service.
    pub protocol: Protocol,
}

/// The transport of a Service's port, as Kubernetes names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP, which the mesh never serves.
    Sctp,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP: each request is balanced by itself.
    Http,
    /// TCP, byte for byte: each connection is balanced by itself.
    Tcp,
    /// UDP, datagram for datagram: each session, which is a client's address and port, is balanced by itself.
    Udp,
}

/// One address behind a port of a Service, from its EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port at that address.
    pub port: u16,
    /// Whether new traffic should go there.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ready: bool,
    /// Whether it still answers; a terminating endpoint may.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub serving: bool,
    /// Whether it is on its way out.
    #[serde(default, skip_serializing_if = "is_no")]
    pub terminating: bool,
    /// The zone it runs in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The node it runs on, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// For whom the EndpointSlice controller means it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hints: Hints,
}

/// For whom an endpoint is meant; empty lists say nothing (EndpointSlice API, "hints").
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// Clients in these zones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// Clients on these nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_yes(value: &bool) -> bool {
    *value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_no(value: &bool) -> bool {
    !*value
}

// === impl ServiceKey ===

impl ServiceKey {
    /// The key of the Service `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

// === impl Transport ===

impl Transport {
    /// The name that Kubernetes gives it in `spec.ports[].protocol`.
    #[must_use]
    pub fn kubernetes(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

// === impl Protocol ===

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
