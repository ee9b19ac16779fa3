//! Finds TrafficTargets that name a Service's port where only a pod's is meant.
//!
//! In: what is granted, the Services with their endpoints, and whose address is whose. Out: findings. A target that names
//! ports which nobody has is nothing to tell of: the pods may be still to come.

use crate::finding::{About, Finding, Reason};
use std::collections::{BTreeMap, BTreeSet};
use weft_contract::{self as contract, Grant, PodPort, Principal, PrincipalKind, Source, Transport};

/// The ports by which pods that are one to access control are reached.
#[derive(Default)]
struct Reached {
    /// Theirs.
    pods: BTreeSet<(Transport, u16)>,
    /// Those of the Services before them.
    services: BTreeSet<(Transport, u16)>,
}

/// The findings about grants, of which `about` has the objects.
pub(super) fn findings<'a>(
    grants: &[Grant],
    services: &[contract::Service],
    sources: &[Source],
    about: impl Iterator<Item = &'a About>,
) -> Vec<Finding> {
    if grants.is_empty() {
        return Vec::new();
    }
    let about: BTreeMap<_, _> =
        about.map(|about| ((about.namespace.as_str(), about.name.as_str()), about)).collect();
    let reached = reached(grants, services, sources);
    let found = grants.iter().filter_map(|grant| {
        let Reached { pods, services } = reached.get(&grant.destination)?;
        let missed: Vec<_> = ports(grant)
            .filter(|port| !pods.contains(port) && services.contains(port))
            .map(|(_, port)| port.to_string())
            .collect();
        let about = about.get(&(grant.namespace.as_str(), grant.name.as_str()))?;
        if missed.is_empty() {
            return None;
        }
        let own: Vec<_> = pods.iter().map(|(_, port)| port.to_string()).collect();
        Some(Finding {
            about: (*about).clone(),
            reason: Reason::AccessNotGranted,
            detail: "ports".to_owned(),
            note: format!(
                "Port {} is that of a Service, not of the destination's pods, which are reached on {}. Ports of TCPRoute, \
                 UDPRoute and destination.port are those of pods (targetPort); nothing is granted on that one.",
                missed.join(", "),
                own.join(", ")
            ),
        })
    });
    found.collect()
}

/// The ports that a grant names.
fn ports(grant: &Grant) -> impl Iterator<Item = (Transport, u16)> {
    let tcp = grant.tcp.iter().flatten().map(|port| (Transport::Tcp, *port));
    let udp = grant.udp.iter().flatten().map(|port| (Transport::Udp, *port));
    let only = match &grant.port {
        Some(PodPort::Number(port)) => Some((Transport::Tcp, *port)),
        Some(PodPort::Name(_)) | None => None,
    };
    tcp.chain(udp).chain(only)
}

fn reached(
    grants: &[Grant],
    services: &[contract::Service],
    sources: &[Source],
) -> BTreeMap<Principal, Reached> {
    let by_address: BTreeMap<_, _> = sources.iter().map(|source| (source.address, source)).collect();
    let mut reached: BTreeMap<_, Reached> =
        grants.iter().map(|grant| (grant.destination.clone(), Reached::default())).collect();
    for port in services.iter().flat_map(|service| &service.ports) {
        for endpoint in &port.endpoints {
            let Some(source) = by_address.get(&endpoint.address) else { continue };
            for principal in principals(source) {
                if let Some(known) = reached.get_mut(&principal) {
                    known.pods.insert((port.transport, endpoint.port));
                    known.services.insert((port.transport, port.port));
                }
            }
        }
    }
    reached
}

/// All that a pod is to access control.
fn principals(source: &Source) -> impl Iterator<Item = Principal> {
    let Source { address: _, namespace, service_account, identity_bindings } = source;
    let principal =
        |kind, name: &String| Principal { kind, namespace: namespace.clone(), name: name.clone() };
    let account = principal(PrincipalKind::ServiceAccount, service_account);
    let bindings = identity_bindings.iter();
    bindings.map(move |name| principal(PrincipalKind::IdentityBinding, name)).chain([account])
}
