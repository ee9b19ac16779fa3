//! Decides which ports of pods only the proxies may reach.
//!
//! In: the Services of the mesh with their endpoints. Out: a [`Wall`] around the pods of each that has a selector. What
//! NetworkPolicies allow adds up, so that Services with a pod in common need to close the same ports: those of all of them.

use super::{member::Member, shadow};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use weft_contract::{self as contract, Transport};

/// The ports of one Service's pods that only proxies may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wall {
    /// The namespace of the Service.
    pub namespace: String,
    /// The name of the NetworkPolicy.
    pub name: String,
    /// What selects the Service's pods.
    pub selector: BTreeMap<String, String>,
    /// The ports.
    pub ports: BTreeSet<(Transport, u16)>,
}

/// The walls, sorted; `services` are those of `members`, in the same order.
pub(super) fn walls(members: &[Member<'_>], services: &[contract::Service]) -> Vec<Wall> {
    let groups = groups(services);
    let mut ports: BTreeMap<usize, BTreeSet<(Transport, u16)>> = BTreeMap::new();
    for ((member, service), group) in members.iter().zip(services).zip(&groups) {
        ports.entry(*group).or_default().extend(own_ports(member, service));
    }
    let walls = members.iter().zip(&groups).filter_map(|(member, group)| {
        let selector =
            member.service.spec.as_ref()?.selector.clone().filter(|selector| !selector.is_empty())?;
        let ports = ports.get(group).cloned().filter(|ports| !ports.is_empty())?;
        Some(Wall {
            namespace: member.key.namespace.clone(),
            name: shadow::name(&member.key),
            selector,
            ports,
        })
    });
    walls.collect()
}

/// The ports of a Service's pods: those of its endpoints, and what it says itself, for pods that are still to come.
fn own_ports(member: &Member<'_>, service: &contract::Service) -> BTreeSet<(Transport, u16)> {
    let endpoints = service
        .ports
        .iter()
        .flat_map(|port| port.endpoints.iter().map(|endpoint| (port.transport, endpoint.port)));
    let spec = member.service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let numbered = spec.filter_map(|port| {
        let transport = match port.protocol.as_deref() {
            None | Some("TCP") => Transport::Tcp,
            Some("UDP") => Transport::Udp,
            Some(_) => Transport::Sctp,
        };
        let number = match &port.target_port {
            Some(IntOrString::Int(number)) if *number != 0 => *number,
            Some(IntOrString::String(_)) => return None,
            Some(IntOrString::Int(_)) | None => port.port,
        };
        Some((transport, u16::try_from(number).ok()?))
    });
    // What the mesh cannot carry stays as it is.
    endpoints.chain(numbered).filter(|(transport, _)| *transport != Transport::Sctp).collect()
}

/// The number of the group that each Service is in: those that have a pod in common, also by way of others.
fn groups(services: &[contract::Service]) -> Vec<usize> {
    let mut above: Vec<usize> = (0..services.len()).collect();
    let mut first: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (number, service) in services.iter().enumerate() {
        for endpoint in service.ports.iter().flat_map(|port| &port.endpoints) {
            let other = *first.entry(endpoint.address).or_insert(number);
            let (one, other) = (top(&mut above, number), top(&mut above, other));
            above[one.max(other)] = one.min(other);
        }
    }
    (0..services.len()).map(|number| top(&mut above, number)).collect()
}

/// The first of a group; the way there is made shorter for the next time.
fn top(above: &mut [usize], mut number: usize) -> usize {
    while above[number] != number {
        above[number] = above[above[number]];
        number = above[number];
    }
    number
}

#[cfg(test)]
#[path = "wall_tests.rs"]
mod tests;
