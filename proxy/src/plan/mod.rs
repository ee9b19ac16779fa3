//! Makes a plan of a configuration.
//!
//! In: an accepted `NodeConfiguration` and the plan before it. Out: a [`Plan`], which is immutable and swapped whole:
//! a request sees one plan or the next, never half of each. What did not change keeps its state: an unchanged port of
//! a Service is the same `Arc` in both plans, and an unchanged endpoint of a changed one is the same `Arc` too.

use crate::{
    balance::{Balancer, Home, Settings},
    metrics::Traffic,
    route::{Route, Target},
};
use arc_swap::ArcSwapOption;
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;
use weft_contract::{NodeConfiguration, Policy, Port, Protocol, Service, Transport};

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

/// What all routes of a plan are compiled with.
struct Compiler<'a> {
    home: Home,
    /// The plan before this one, and whether the proxy was in the same place then.
    previous: Option<&'a Plan>,
    same_home: bool,
    now: Instant,
}

/// Compiles a configuration at the time `now`. Nothing is opened or closed here; endpoints that are not carried on are
/// marked as retired.
#[must_use]
pub fn compile(accepted: Accepted, previous: Option<&Plan>, now: Instant) -> Plan {
    let Accepted { revision, configuration } = accepted;
    let compiler = Compiler::new(&configuration, previous, now);
    let mut routes = HashMap::new();
    for service in &configuration.services {
        let policy = Arc::new(service.policy.clone());
        // Only TCP ports can be served so far; the operator gives no listener to others.
        for port in service.ports.iter().filter(|port| port.transport == Transport::Tcp) {
            let Some(listener) = &port.listener else { continue };
            routes.insert(listener.port, compiler.route(service, &policy, port, listener.port));
        }
    }
    if let Some(previous) = previous {
        retire(previous, &routes);
    }
    Plan { revision, configuration, routes }
}

/// Retires the endpoints that no route of the next plan carries on.
fn retire(previous: &Plan, next: &HashMap<u16, Arc<Route>>) {
    for (listener, before) in &previous.routes {
        match next.get(listener).filter(|after| after.target == before.target) {
            Some(after) if Arc::ptr_eq(after, before) => {}
            Some(after) => before.balancer.retire_missing(&after.balancer),
            None => before.balancer.retire_all(),
        }
    }
}

// === impl Compiler ===

impl<'a> Compiler<'a> {
    fn new(configuration: &NodeConfiguration, previous: Option<&'a Plan>, now: Instant) -> Self {
        let home_of = |configuration: &NodeConfiguration| Home {
            node: configuration.node.clone(),
            zone: configuration.zone.clone(),
        };
        let home = home_of(configuration);
        let same_home = previous.is_some_and(|plan| home_of(&plan.configuration) == home);
        Self { home, previous, same_home, now }
    }

    fn route(&self, service: &Service, policy: &Arc<Policy>, port: &Port, listener: u16) -> Arc<Route> {
        let target = Target { service: service.key.clone(), port: port.port, listener };
        let before = self.previous.and_then(|plan| plan.routes.get(&listener));
        let same = before.filter(|route| *route.target == target);
        let unchanged =
            |route: &&Arc<Route>| self.same_home && route.port == *port && route.policy == *policy;
        if let Some(route) = same.filter(unchanged) {
            return Arc::clone(route);
        }
        Arc::new(Route {
            target: same.map_or_else(|| Arc::new(target), |route| Arc::clone(&route.target)),
            protocol: port.listener.as_ref().map_or(Protocol::Tcp, |listener| listener.protocol),
            balancer: self.balancer(policy, port, same.map(|route| &route.balancer)),
            traffic: same.map_or_else(|| Arc::new(Traffic::default()), |route| Arc::clone(&route.traffic)),
            policy: Arc::clone(policy),
            port: port.clone(),
        })
    }

    fn balancer(&self, policy: &Policy, port: &Port, before: Option<&Balancer>) -> Balancer {
        let settings = Settings {
            balancing: &policy.balancing,
            outlier: &policy.outlier,
            most_in_flight: policy.bulkhead.endpoint,
            home: &self.home,
        };
        Balancer::new(&port.endpoints, &settings, before, self.now)
    }
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
