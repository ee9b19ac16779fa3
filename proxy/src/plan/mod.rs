//! Makes a plan of a configuration.
//!
//! In: an accepted `NodeConfiguration` and the plan before it. Out: a [`Plan`], which is immutable and swapped whole:
//! a request sees one plan or the next, never half of each. What did not change keeps its state: an unchanged port of
//! a Service is the same `Arc` in both plans, and an unchanged endpoint of a changed one is the same `Arc` too.

use crate::{
    access::{Access, Gates},
    balance::{self, Balancer, Home, Settings},
    matching::{Compiling, Matcher, Pool},
    metrics::Traffic,
    middleware::Chain,
    retry::Budget,
    route::{Guards, Route, ServerNames, Target, Tls, Upstream},
    split::Split,
};
use arc_swap::ArcSwapOption;
use std::{collections::HashMap, net::IpAddr, sync::Arc};
use tokio::time::Instant;
use weft_contract::{
    NodeConfiguration, Policy, Port, Protocol, Service, ServiceKey, Source, Transport, policy::Scheme,
};

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
    /// Who may call whom; none where access is not controlled.
    pub access: Option<Access>,
    /// What requests are matched by, for the next plan.
    matching: Pool,
    /// The ports that the proxy listens for, by the proxy port that stands for each.
    routes: HashMap<u16, Arc<Route>>,
    /// Every port that could be gone to, also from another one.
    ports: HashMap<ServiceKey, Vec<Arc<Route>>>,
}

/// What all routes of a plan are compiled with.
struct Compiler<'a> {
    home: Home,
    /// The plan before this one, and whether the proxy was in the same place then.
    previous: Option<&'a Plan>,
    same_home: bool,
    now: Instant,
    gates: Option<Gates<'a>>,
    matching: Compiling<'a>,
}

/// Compiles a configuration at the time `now`. Nothing is opened or closed here; endpoints that are not carried on are
/// marked as retired.
#[must_use]
pub fn compile(accepted: Accepted, previous: Option<&Plan>, now: Instant) -> Plan {
    let Accepted { revision, configuration } = accepted;
    let before = previous.and_then(|plan| Some((plan.access.as_ref()?, &*plan.configuration)));
    let access = Access::new(&configuration, before);
    let mut compiler = Compiler::new(&configuration, access.as_ref(), previous, now);
    let (mut routes, mut ports) = (HashMap::new(), HashMap::new());
    for service in &configuration.services {
        let compiled = compiler.service(service);
        let listened = compiled.iter().filter_map(|route| Some((route.target.listener?, Arc::clone(route))));
        routes.extend(listened);
        ports.insert(service.key.clone(), compiled);
    }
    if let Some(previous) = previous {
        retire(previous, &ports);
    }
    let matching = compiler.finish();
    Plan { revision, configuration, access, matching, routes, ports }
}

/// Retires the endpoints that no route of the next plan carries on.
fn retire(previous: &Plan, next: &HashMap<ServiceKey, Vec<Arc<Route>>>) {
    for before in previous.ports.values().flatten() {
        let same = |after: &&Arc<Route>| after.target == before.target;
        match next.get(&before.target.service).and_then(|routes| routes.iter().find(same)) {
            Some(after) if Arc::ptr_eq(after, before) => {}
            Some(after) => before.balancer.retire_missing(&after.balancer),
            None => before.balancer.retire_all(),
        }
    }
}

// === impl Compiler ===

impl<'a> Compiler<'a> {
    fn new(
        configuration: &NodeConfiguration,
        access: Option<&'a Access>,
        previous: Option<&'a Plan>,
        now: Instant,
    ) -> Self {
        let home_of = |configuration: &NodeConfiguration| Home {
            node: configuration.node.clone(),
            zone: configuration.zone.clone(),
        };
        let home = home_of(configuration);
        let same_home = previous.is_some_and(|plan| home_of(&plan.configuration) == home);
        let matching = Compiling::after(previous.map(|plan| &plan.matching));
        Self { home, previous, same_home, now, gates: access.map(Gates::new), matching }
    }

    fn finish(self) -> Pool {
        self.matching.finish()
    }

    /// The routes to the ports of a Service.
    fn service(&mut self, service: &Service) -> Vec<Arc<Route>> {
        let policy = Arc::new(service.policy.clone());
        let matches = service.split.as_ref().and_then(|split| split.matches.as_ref());
        let matcher = matches.map(|list| self.matching.matcher(list));
        let routes =
            service.ports.iter().filter_map(|port| self.route(service, &policy, port, matcher.as_ref()));
        routes.collect()
    }

    /// The route to a port; none for a transport that is never served.
    fn route(
        &mut self,
        service: &Service,
        policy: &Arc<Policy>,
        port: &Port,
        matcher: Option<&Arc<Matcher>>,
    ) -> Option<Arc<Route>> {
        let listener = port.listener.as_ref().map(|listener| listener.port);
        let protocol = match (&port.listener, port.transport) {
            (Some(listener), _) => listener.protocol,
            (None, Transport::Tcp) => Protocol::Tcp,
            (None, Transport::Udp) => Protocol::Udp,
            (None, Transport::Sctp) => return None,
        };
        let transport = port.transport;
        let target = Target { service: service.key.clone(), port: port.port, transport, listener };
        let before = self.previous.and_then(|plan| plan.ports.get(&service.key));
        let same = before.and_then(|routes| routes.iter().find(|route| *route.target == target));
        let before = same.and_then(|route| route.gate.as_ref());
        let gate = self.gates.as_mut().map(|gates| gates.gate(port, before, &mut self.matching));
        let unchanged = |route: &&Arc<Route>| {
            self.same_home
                && route.port == *port
                && route.policy == *policy
                && route.gate.as_ref().map(Arc::as_ptr) == gate.as_ref().map(Arc::as_ptr)
                && route.split.as_ref().map(|split| split.configuration()) == service.split.as_ref()
        };
        if let Some(route) = same.filter(unchanged) {
            return Some(Arc::clone(route));
        }
        Some(Arc::new(Route {
            target: same.map_or_else(|| Arc::new(target), |route| Arc::clone(&route.target)),
            protocol,
            balancer: self.balancer(policy, port, same.map(|route| &route.balancer)),
            traffic: same.map_or_else(|| Arc::new(Traffic::default()), |route| Arc::clone(&route.traffic)),
            chain: Chain::new(policy),
            guards: Guards::new(policy, same.map(|route| &route.guards)),
            budget: Budget::new(&policy.retry.budget, same.map(|route| &route.budget)),
            upstream: upstream(service, port, same),
            gate,
            split: self.split(service, port, matcher, same.and_then(|route| route.split.as_deref())),
            server_names: ServerNames::new(&port.sni_routes),
            policy: Arc::clone(policy),
            port: port.clone(),
        }))
    }

    fn split(
        &self,
        service: &Service,
        port: &Port,
        matcher: Option<&Arc<Matcher>>,
        before: Option<&Split>,
    ) -> Option<Arc<Split>> {
        let split = service.split.as_ref()?;
        // Each proxy begins elsewhere, or the first request of every node would go to the same side.
        let start = balance::hash(self.home.node.as_bytes());
        Some(Arc::new(Split::new(&service.key, port.port, split, matcher.cloned(), before, start)))
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

/// What the endpoints of a port speak; the same as before where nothing of it changed, so that connections stay.
fn upstream(service: &Service, port: &Port, before: Option<&Arc<Route>>) -> Arc<Upstream> {
    let same =
        |route: &&Arc<Route>| route.port.scheme == port.scheme && route.policy.tls == service.policy.tls;
    if let Some(route) = before.filter(same) {
        return Arc::clone(&route.upstream);
    }
    let tls = match port.scheme {
        Scheme::Http | Scheme::H2c => None,
        Scheme::Https => match Tls::new(&service.policy.tls, &service.key) {
            Ok(tls) => Some(tls),
            Err(error) => {
                tracing::warn!(service = %service.key, %error, "endpoints that speak TLS cannot be verified");
                None
            }
        },
    };
    Arc::new(Upstream::new(port.scheme, tls))
}

// === impl Plan ===

impl Plan {
    /// The routes, by the proxy port that stands for each.
    #[must_use]
    pub fn routes(&self) -> &HashMap<u16, Arc<Route>> {
        &self.routes
    }

    /// The route to a port of a Service, also where the proxy listens for none.
    #[must_use]
    pub fn route_to(&self, service: &ServiceKey, port: u16, transport: Transport) -> Option<&Arc<Route>> {
        let routes = self.ports.get(service)?;
        routes.iter().find(|route| route.target.port == port && route.target.transport == transport)
    }

    /// The pod that has an address, where the operator has told of it.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> Option<&Source> {
        let sources = &self.configuration.sources;
        let place = sources.binary_search_by(|source| source.address.cmp(&address)).ok()?;
        sources.get(place)
    }
}

#[cfg(test)]
mod tests;
