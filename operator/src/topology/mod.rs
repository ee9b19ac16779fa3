//! Resolves a snapshot into what the mesh should be.
//!
//! In: a [`Snapshot`] and the settings. Out: the [`Topology`] and the findings about what users got wrong. Pure and
//! deterministic: equal input gives equal output, whatever the order of the objects.

mod callers;
pub mod endpoints;
mod member;
mod policy;
pub mod ports;
pub mod select;
pub mod shadow;
mod sni;
mod spoken;

use crate::{
    finding::{About, Finding, Kind, Reason},
    observe::{Snapshot, authorities::AuthorityKey},
    settings::Settings,
};
use endpoints::EndpointIndex;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use member::{Member, MemberPort, Members, contract_ports, listener, member};
use ports::{PortKey, Record};
use shadow::{Shadow, Shadows};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};
use weft_contract::{self as contract, ServiceKey, Source, policy::RateLimitScope};

/// What the mesh should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Every Service with a mesh name, as the proxies are told; sorted.
    pub services: Arc<Vec<contract::Service>>,
    /// The objects behind them, to tell Events about.
    pub about: BTreeMap<ServiceKey, About>,
    /// The shadow Services wanted, by name.
    pub shadows: BTreeMap<String, Shadow>,
    /// The Services that the mesh serves: their shadow Service is there and the mesh name resolves to it.
    pub served: BTreeSet<ServiceKey>,
    /// Where the certificates are that Services are verified with.
    pub authorities: BTreeSet<AuthorityKey>,
    /// Whether some Service's policy asks who calls.
    pub wants_callers: bool,
    /// Who calls from which address, where that is asked for; sorted.
    pub sources: Arc<Vec<Source>>,
}

/// Resolves a snapshot.
#[must_use]
pub fn resolve(snapshot: &Snapshot, settings: &Settings) -> (Topology, Vec<Finding>) {
    let mut findings = Vec::new();
    let existing = Shadows::of(snapshot, &settings.namespace);
    let endpoints = EndpointIndex::of(&snapshot.slices);
    let mut members: Vec<Member<'_>> = snapshot
        .services
        .iter()
        .filter(|service| select::is_meshed(service, settings))
        .map(|service| member(service, &existing, settings, &mut findings))
        .collect();
    members.sort_by(|one, other| one.key.cmp(&other.key));
    let allotment = ports::allot(wanted(&members), &existing.record(), settings.listener_ports);

    let index: Members<'_> = members.iter().map(|member| (&member.key, member)).collect();
    let mut topology = Topology::default();
    let mut services = Vec::with_capacity(members.len());
    for member in &members {
        topology.about.insert(member.key.clone(), about(member.service));
        let listeners = member.servable.then(|| allotment.get(&member.key)).flatten();
        if member.servable && listeners.is_none() {
            findings.push(exhausted(member, settings));
        }
        let shadow = listeners.map(|listeners| shadow(member, listeners));
        let ready = shadow.as_ref().and_then(|shadow| existing.addresses(&shadow.name, &member.key));
        if ready.is_some() {
            topology.served.insert(member.key.clone());
        }
        services.push(contract::Service {
            key: member.key.clone(),
            addresses: ready.unwrap_or_else(|| own_addresses(member, &endpoints)),
            ports: sni::routed(contract_ports(member, listeners, &endpoints), member, &index, &mut findings),
            policy: policy::complete(member, &index, snapshot, &mut topology, &mut findings),
            split: None,
        });
        topology.shadows.extend(shadow.map(|shadow| (shadow.name.clone(), shadow)));
    }
    topology.services = Arc::new(services);
    if topology.wants_callers {
        topology.sources = Arc::new(callers::sources(&snapshot.pods));
    }
    findings.sort();
    (topology, findings)
}

impl Topology {
    /// Whether what proxies count matters: some Service has a circuit breaker or a limit of the whole cluster.
    #[must_use]
    pub fn is_counting(&self) -> bool {
        self.services.iter().map(|service| &service.policy).any(|policy| {
            let cluster = |limit: &contract::policy::RateLimit| limit.scope == RateLimitScope::Cluster;
            policy.circuit_breaker.is_some() || policy.rate_limit.as_ref().is_some_and(cluster)
        })
    }

    /// The certificates that Services are verified with.
    #[must_use]
    pub fn authorities_in_force(&self) -> BTreeMap<ServiceKey, String> {
        let in_force =
            |service: &contract::Service| Some((service.key.clone(), service.policy.tls.ca.clone()?));
        self.services.iter().filter_map(in_force).collect()
    }
}

/// The Event's reference to a Service.
fn about(service: &Service) -> About {
    About {
        kind: Kind::Service,
        namespace: service.namespace().unwrap_or_default(),
        name: service.name_any(),
        uid: service.uid().unwrap_or_default(),
    }
}

/// Who wants how many ports, the Services that are there longest first.
fn wanted(members: &[Member<'_>]) -> Vec<(ServiceKey, Vec<PortKey>)> {
    let mut servable: Vec<_> = members.iter().filter(|member| member.servable).collect();
    servable.sort_by(|one, other| {
        let age = |member: &Member<'_>| member.service.creation_timestamp().map(|time| time.0);
        (age(one), &one.key).cmp(&(age(other), &other.key))
    });
    let keys = |member: &Member<'_>| {
        member.ports.iter().map(|port| PortKey { port: port.port, transport: port.transport }).collect()
    };
    servable.into_iter().map(|member| (member.key.clone(), keys(member))).collect()
}

fn shadow(member: &Member<'_>, listeners: &Record) -> Shadow {
    let spec = member.service.spec.as_ref();
    Shadow {
        name: shadow::name(&member.key),
        key: member.key.clone(),
        ports: member
            .ports
            .iter()
            .filter_map(|port| {
                let listener = listener(port, listeners)?.port;
                let MemberPort { name, port, transport, protocol: _, scheme: _, target_name: _ } = port;
                Some(shadow::ShadowPort { name: name.clone(), port: *port, transport: *transport, listener })
            })
            .collect(),
        ip_families: spec.and_then(|spec| spec.ip_families.clone()).unwrap_or_default(),
        ip_family_policy: spec.and_then(|spec| spec.ip_family_policy.clone()),
        last_good: member.good.clone(),
    }
}

/// Where the ordinary name of a Service leads: its ClusterIPs, or for a headless one its endpoints.
fn own_addresses(member: &Member<'_>, endpoints: &EndpointIndex<'_>) -> Vec<IpAddr> {
    let own = shadow::cluster_ips(member.service);
    if own.is_empty() { endpoints.ready_addresses(&member.key) } else { own }
}

fn exhausted(member: &Member<'_>, settings: &Settings) -> Finding {
    Finding {
        about: about(member.service),
        reason: Reason::PortsExhausted,
        detail: String::new(),
        note: format!(
            "No {} proxy port(s) are free in {}. Meanwhile the mesh name resolves to the Service's own address, past the \
             mesh; it is served as soon as ports free. Raise listenerPorts in the chart, or limit the mesh by select, \
             watchNamespaces or ignoreNamespaces.",
            member.ports.len(),
            settings.listener_ports
        ),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "policy_tests.rs"]
mod policy_tests;
