//! Tells where a connection or a request goes.
//!
//! In: the port of the proxy that a client connected to (later: the request too). Out: a [`Route`], the port of a
//! Service that is meant, with everything the way there needs.

use crate::{balance::Balancer, metrics::Traffic, plan::Plan};
use std::sync::Arc;
use weft_contract::{Policy, Port, Protocol, ServiceKey};

/// One port of one Service, and how to get there. Immutable; what lives on (endpoints' state, counters) is behind `Arc`.
#[derive(Debug)]
pub struct Route {
    /// Which port of which Service this is.
    pub target: Arc<Target>,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Its endpoints.
    pub balancer: Balancer,
    /// What was counted on the way there.
    pub traffic: Arc<Traffic>,
    /// What the Service asks for beyond being served.
    pub policy: Arc<Policy>,
    /// What it was compiled from, to tell whether anything changed.
    pub(crate) port: Port,
}

/// Which port of which Service is meant. A client that connected to one is never sent to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The Service.
    pub service: ServiceKey,
    /// The number of the Service's port.
    pub port: u16,
    /// The port of the proxy that stands for it.
    pub listener: u16,
}

/// The route to `target`, unless the plan no longer has it or has given its listener to another Service.
#[must_use]
pub fn route(plan: &Plan, target: &Target) -> Option<Arc<Route>> {
    plan.routes().get(&target.listener).filter(|route| *route.target == *target).cloned()
}
