//! The objects of the Service Mesh Interface, in one model.
//!
//! In: an object as the API server has it, in whichever version. Out: an [`Object`], decoded for itself alone: one that
//! cannot be read says why, and no list of them ever fails. Pure.

pub mod decode;
pub mod model;
mod requests;
mod value;

use crate::finding::About;
use k8s_openapi::jiff::Timestamp;
use model::Content;

/// The kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SmiKind {
    /// Who may call whom.
    TrafficTarget,
    /// Which pods are one to access control.
    IdentityBinding,
    /// What tells requests apart.
    HttpRouteGroup,
    /// Ports for TCP.
    TcpRoute,
    /// Ports for UDP.
    UdpRoute,
    /// How a Service's traffic is split.
    TrafficSplit,
}

/// The versions there ever were of these kinds; the interface is archived, so there will be no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SmiVersion {
    /// `v1alpha1`.
    V1alpha1,
    /// `v1alpha2`.
    V1alpha2,
    /// `v1alpha3`.
    V1alpha3,
    /// `v1alpha4`.
    V1alpha4,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which one it is.
    pub about: About,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// What it says, or why that cannot be read.
    pub content: Result<Content, String>,
}

impl SmiKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::TrafficTarget,
        Self::IdentityBinding,
        Self::HttpRouteGroup,
        Self::TcpRoute,
        Self::UdpRoute,
        Self::TrafficSplit,
    ];

    /// Its API group. Always to be named with it: the Gateway API has kinds of the same names.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::TrafficTarget | Self::IdentityBinding => "access.smi-spec.io",
            Self::HttpRouteGroup | Self::TcpRoute | Self::UdpRoute => "specs.smi-spec.io",
            Self::TrafficSplit => "split.smi-spec.io",
        }
    }

    /// Its name in Kubernetes.
    #[must_use]
    pub fn kubernetes(self) -> &'static str {
        match self {
            Self::TrafficTarget => "TrafficTarget",
            Self::IdentityBinding => "IdentityBinding",
            Self::HttpRouteGroup => "HTTPRouteGroup",
            Self::TcpRoute => "TCPRoute",
            Self::UdpRoute => "UDPRoute",
            Self::TrafficSplit => "TrafficSplit",
        }
    }

    /// Whether it is of use only where access is controlled.
    #[must_use]
    pub fn is_for_access(self) -> bool {
        match self {
            Self::TrafficTarget | Self::IdentityBinding | Self::TcpRoute | Self::UdpRoute => true,
            Self::HttpRouteGroup | Self::TrafficSplit => false,
        }
    }
}

impl SmiVersion {
    /// Every version, the newest first.
    pub const ALL: [Self; 4] = [Self::V1alpha4, Self::V1alpha3, Self::V1alpha2, Self::V1alpha1];

    /// Its name in Kubernetes.
    #[must_use]
    pub fn kubernetes(self) -> &'static str {
        match self {
            Self::V1alpha1 => "v1alpha1",
            Self::V1alpha2 => "v1alpha2",
            Self::V1alpha3 => "v1alpha3",
            Self::V1alpha4 => "v1alpha4",
        }
    }
}

impl Object {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.about.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.about.name
    }
}
