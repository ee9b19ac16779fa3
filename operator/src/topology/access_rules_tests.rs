//! What rules grant, against the specification written out: for any rules, of which some name what is not there.

use super::{Topology, resolve, tests::snapshot};
use crate::{
    observe::Snapshot,
    smi::Object,
    testing::{settings, smi},
};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;
use weft_contract::Grant;

/// What somebody may ask for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// A request for this path.
    Http(&'static str),
    /// A connection, whatever is spoken on it.
    Tcp,
    /// A datagram.
    Udp,
}

/// A rule: its kind, the name of its route, and what that grants; nothing where there is no such route.
type Rule = (&'static str, &'static str, Option<&'static [u16]>, &'static [&'static str]);

const RULES: [Rule; 9] = [
    ("HTTPRouteGroup", "a", None, &["/a"]),
    ("HTTPRouteGroup", "b", None, &["/b", "/c"]),
    ("HTTPRouteGroup", "missing", None, &[]),
    ("TCPRoute", "one", Some(&[1]), &[]),
    ("TCPRoute", "two", Some(&[2, 3]), &[]),
    ("TCPRoute", "missing", None, &[]),
    ("UDPRoute", "one", Some(&[1]), &[]),
    ("UDPRoute", "missing", None, &[]),
    ("GRPCRoute", "one", None, &[]),
];

fn objects(rules: &[Rule]) -> Vec<Arc<Object>> {
    let named: Vec<_> = rules.iter().map(|(kind, name, ..)| json!({"kind": kind, "name": name})).collect();
    let spec = json!({"destination": {"kind": "ServiceAccount", "name": "api"}, "rules": named,
        "sources": [{"kind": "ServiceAccount", "name": "web"}]});
    let mut objects = vec![smi("v1alpha4", "TrafficTarget", "it", &json!({"spec": spec}))];
    for (kind, name, ports, paths) in
        RULES.iter().filter(|(kind, name, ..)| *name != "missing" && *kind != "GRPCRoute")
    {
        let matches = match ports {
            Some(ports) => json!({"ports": ports}),
            None => {
                json!(paths.iter().map(|path| json!({"name": path, "pathRegex": path})).collect::<Vec<_>>())
            }
        };
        objects.push(smi("v1alpha4", kind, name, &json!({"spec": {"matches": matches}})));
    }
    objects
}

/// As the specification has it.
fn is_allowed(rules: &[Rule], asked: Asked, port: u16) -> bool {
    let of = |wanted: &'static str| rules.iter().filter(move |(kind, ..)| *kind == wanted);
    let opens = |kind| of(kind).any(|(_, _, ports, _)| ports.is_some_and(|ports| ports.contains(&port)));
    let (tcp, http) = (of("TCPRoute").next().is_some(), of("HTTPRouteGroup").next().is_some());
    match asked {
        Asked::Udp => opens("UDPRoute"),
        Asked::Tcp => opens("TCPRoute"),
        Asked::Http(path) if http => {
            of("HTTPRouteGroup").any(|(_, _, _, paths)| paths.contains(&path)) && (!tcp || opens("TCPRoute"))
        }
        Asked::Http(_) => opens("TCPRoute"),
    }
}

/// As the proxies are told.
fn is_granted(grant: &Grant, asked: Asked, port: u16) -> bool {
    let opens =
        |ports: &Option<Vec<u16>>| ports.as_ref().map(|ports| ports.is_empty() || ports.contains(&port));
    match (asked, &grant.http) {
        (Asked::Udp, _) => opens(&grant.udp) == Some(true),
        (Asked::Http(path), Some(matches)) => {
            matches.iter().any(|one| one.path.as_deref() == Some(path)) && opens(&grant.tcp) != Some(false)
        }
        (Asked::Tcp, _) | (Asked::Http(_), None) => opens(&grant.tcp) == Some(true),
    }
}

fn granted(topology: &Topology, asked: Asked, port: u16) -> bool {
    let access = topology.access.as_ref();
    access.is_some_and(|access| access.grants.iter().any(|grant| is_granted(grant, asked, port)))
}

proptest! {
    #[test]
    fn rules_grant_what_the_specification_says_and_never_more(
        rules in prop::collection::vec(prop::sample::select(&RULES[..]), 0..5),
    ) {
        let snapshot = Snapshot { smi: objects(&rules), ..snapshot(&[], &[]) };
        let (topology, _) = resolve(&snapshot, &settings(&["--acl=true"]));
        for port in 0..5 {
            for asked in [Asked::Http("/a"), Asked::Http("/b"), Asked::Http("/x"), Asked::Tcp, Asked::Udp] {
                let (told, allowed) = (granted(&topology, asked, port), is_allowed(&rules, asked, port));
                prop_assert_eq!(told, allowed, "{:?} at {}: {:?}", asked, port, topology.access);
            }
        }
    }
}
