//! Tells where a connection or a request goes.
//!
//! In: the port of the proxy that a client connected to (later: the request too). Out: a [`Route`], the port of a
//! Service that is meant, with everything the way there needs.

mod guards;
mod server_names;
mod tls;
mod upstream;
mod way;

pub use guards::Guards;
pub use server_names::ServerNames;
pub use tls::{Error as TlsError, Tls};
pub use upstream::Upstream;
pub use way::{NoWay, Stay, Way, open, way};

use crate::{
    access::Gate, balance::Balancer, metrics::Traffic, middleware::Chain, plan::Plan, retry::Budget,
    split::Split,
};
use std::sync::Arc;
use weft_contract::{Policy, Port, Protocol, ServiceKey, Transport};

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
    /// What every request passes.
    pub chain: Chain,
    /// What may pass at all.
    pub guards: Guards,
    /// How much may be tried again.
    pub budget: Budget,
    /// What its endpoints speak.
    pub upstream: Arc<Upstream>,
    /// What is open at its endpoints, and to whom; none where access is not controlled.
    pub gate: Option<Arc<Gate>>,
    /// How it is split among others' endpoints, if it is.
    pub split: Option<Arc<Split>>,
    /// Where TLS connections to it go by their server names; none where nobody is asked for one.
    pub server_names: Option<ServerNames>,
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
    /// That port's transport; a Service may have both of a number.
    pub transport: Transport,
    /// The port of the proxy that stands for it; none where it is reached from other Services' ports alone.
    pub listener: Option<u16>,
}

/// The route to `target`, unless the plan no longer has it or has given its listener to another Service.
#[must_use]
pub fn route(plan: &Plan, target: &Target) -> Option<Arc<Route>> {
    let same = |route: &&Arc<Route>| std::ptr::eq(&*route.target, target) || *route.target == *target;
    plan.routes().get(&target.listener?).filter(same).cloned()
}
