//! Makes a plan of a configuration.
//!
//! In: an accepted `NodeConfiguration` and the plan before it. Out: a [`Plan`], which is immutable and swapped whole:
//! a request sees one plan or the next, never half of each. What did not change keeps its state: an unchanged port of
//! a Service is the same `Arc` in both plans, and an unchanged endpoint of a changed one is the same `Arc` too.

use crate::{
    balance::Balancer,
    metrics::Traffic,
    route::{Route, Target},
};
use arc_swap::ArcSwapOption;
use std::{collections::HashMap, sync::Arc};
use weft_contract::{NodeConfiguration, Port, Service, Transport};

/// The plan in force, none before the first configuration. Reading it takes no lock.
pub type SharedPlan = Arc<ArcSwapOption<Plan>>;

/// A configuration that passed every check, with the revision that names it.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The revision: equal ones mean equal configurations.
    pub revision: String,
    /// The configuration.
    pub configuration: Arc<NodeConfiguration>,
}

/// What one configuration means for the traffic.
#[derive(Debug)]
pub struct Plan {
    /// The revision of the configuration.
    pub revision: String,
    /// The configuration itself; names are resolved from it.
    pub configuration: Arc<NodeConfiguration>,
    routes: HashMap<u16, Arc<Route>>,
}

/// Compiles a configuration. Pure: nothing is opened or closed here.
#[must_use]
pub fn compile(accepted: Accepted, previous: Option<&Plan>) -> Plan {
    let Accepted { revision, configuration } = accepted;
    let mut routes = HashMap::new();
    for service in &configuration.services {
        // Only TCP ports can be served so far; the operator gives no listener to others.
        for port in service.ports.iter().filter(|port| port.transport == Transport::Tcp) {
            let Some(listener) = &port.listener else { continue };
            let before = previous.and_then(|plan| plan.routes.get(&listener.port));
            routes.insert(listener.port, compile_route(service, port, listener.port, before));
        }
    }
    Plan { revision, configuration, routes }
}

fn compile_route(service: &Service, port: &Port, listener: u16, before: Option<&Arc<Route>>) -> Arc<Route> {
    let target = Target { service: service.key.clone(), port: port.port, listener };
    let same = before.filter(|route| *route.target == target);
    if let Some(route) = same.filter(|route| route.port == *port) {
        return Arc::clone(route);
    }
    Arc::new(Route {
        target: same.map_or_else(|| Arc::new(target), |route| Arc::clone(&route.target)),
        protocol: port.listener.as_ref().map_or(weft_contract::Protocol::Tcp, |listener| listener.protocol),
        balancer: Balancer::new(&port.endpoints, same.map(|route| &route.balancer)),
        traffic: same.map_or_else(|| Arc::new(Traffic::default()), |route| Arc::clone(&route.traffic)),
        port: port.clone(),
    })
}

// === impl Plan ===

impl Plan {
    /// The routes, by the proxy port that stands for each.
    #[must_use]
    pub fn routes(&self) -> &HashMap<u16, Arc<Route>> {
        &self.routes
    }
}

#[cfg(test)]
mod tests;
