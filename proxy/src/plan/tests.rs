//! What a plan keeps of the plan before it.

use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use weft_contract::{
    Endpoint, Hints, Listener, Policy, Protocol, SCHEMA, ServiceKey,
    policy::{Algorithm, Proximity, Scheme},
};

fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
        port: 8080,
        ready: true,
        serving: true,
        terminating: false,
        zone: None,
        node: None,
        hints: Hints::default(),
    }
}

fn service(number: u16, endpoints: &[u8], protocol: Protocol) -> Service {
    Service {
        key: ServiceKey::new("shop", format!("service-{number:03}")),
        addresses: vec![],
        ports: vec![Port {
            name: None,
            port: 80,
            transport: Transport::Tcp,
            listener: Some(Listener { port: 10_000 + number, protocol }),
            scheme: Scheme::Http,
            endpoints: endpoints.iter().copied().map(endpoint).collect(),
            target_name: None,
            sni_routes: Vec::new(),
        }],
        policy: Policy::default(),
        split: None,
    }
}

fn accepted(services: Vec<Service>) -> Accepted {
    let configuration = NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services,
        sources: vec![],
        access: None,
    };
    Accepted { revision: format!("{:?}", configuration.services), configuration: Arc::new(configuration) }
}

fn plan(services: Vec<Service>, previous: Option<&Plan>) -> Plan {
    compile(accepted(services), previous, Instant::now())
}

#[test]
fn a_listener_given_to_another_service_keeps_nothing_of_the_first() {
    let first = plan(vec![service(1, &[1], Protocol::Http)], None);
    let mut moved = service(2, &[1], Protocol::Http);
    moved.ports[0].listener = Some(Listener { port: 10_001, protocol: Protocol::Http });
    let second = plan(vec![moved], Some(&first));
    let (before, after) = (&first.routes()[&10_001], &second.routes()[&10_001]);
    assert!(!Arc::ptr_eq(&before.traffic, &after.traffic));
    assert!(!Arc::ptr_eq(&before.balancer.endpoints()[0], &after.balancer.endpoints()[0]));
    assert!(
        crate::route::route(&second, &before.target).is_none(),
        "a client of one is never sent to another"
    );
}

#[test]
fn a_changed_protocol_is_a_new_route_with_the_same_counters() {
    let first = plan(vec![service(1, &[1], Protocol::Http)], None);
    let second = plan(vec![service(1, &[1], Protocol::Tcp)], Some(&first));
    let (before, after) = (&first.routes()[&10_001], &second.routes()[&10_001]);
    assert_eq!(after.protocol, Protocol::Tcp);
    assert!(Arc::ptr_eq(&before.traffic, &after.traffic));
}

#[test]
fn a_port_of_a_transport_that_is_never_served_has_no_route() {
    let mut sctp = service(1, &[1], Protocol::Tcp);
    sctp.ports[0].transport = Transport::Sctp;
    sctp.ports[0].listener = None;
    assert!(plan(vec![sctp], None).routes().is_empty());
}

#[test]
fn a_changed_policy_is_a_new_route_whose_endpoints_are_the_same() {
    let first = plan(vec![service(1, &[1, 2], Protocol::Http)], None);
    let mut changed = service(1, &[1, 2], Protocol::Http);
    changed.policy.balancing.algorithm = Algorithm::RoundRobin;
    let second = plan(vec![changed.clone()], Some(&first));
    let (before, after) = (&first.routes()[&10_001], &second.routes()[&10_001]);
    assert!(!Arc::ptr_eq(before, after));
    assert_eq!(after.policy.balancing.algorithm, Algorithm::RoundRobin);
    for (old, new) in before.balancer.endpoints().iter().zip(after.balancer.endpoints()) {
        assert!(Arc::ptr_eq(old, new) && !new.is_retired());
    }
    assert!(Arc::ptr_eq(after, &plan(vec![changed], Some(&second)).routes()[&10_001]));
}

#[test]
fn a_proxy_in_another_zone_prefers_others() {
    let services = || {
        let mut service = service(1, &[1, 2], Protocol::Http);
        service.policy.balancing.proximity = Proximity::Zone;
        for (endpoint, zone) in service.ports[0].endpoints.iter_mut().zip(["zone-a", "zone-b"]) {
            endpoint.hints.zones = vec![zone.into()];
        }
        accepted(vec![service])
    };
    let nearest = |plan: &Plan| plan.routes()[&10_001].balancer.endpoints()[0].address.ip();
    let first = compile(moved(services(), "zone-a"), None, Instant::now());
    let second = compile(moved(services(), "zone-b"), Some(&first), Instant::now());
    assert_eq!(nearest(&first), endpoint(1).address);
    assert_eq!(nearest(&second), endpoint(2).address);
}

fn moved(accepted: Accepted, zone: &str) -> Accepted {
    let configuration = (*accepted.configuration).clone();
    let configuration = NodeConfiguration { zone: Some(zone.into()), ..configuration };
    Accepted { configuration: Arc::new(configuration), ..accepted }
}

#[test]
fn endpoints_that_no_route_carries_on_are_retired() {
    let first = plan(vec![service(1, &[1, 2], Protocol::Http), service(2, &[3], Protocol::Http)], None);
    let mut moved = service(3, &[3], Protocol::Http);
    moved.ports[0].listener = Some(Listener { port: 10_002, protocol: Protocol::Http });
    let second = plan(vec![service(1, &[2], Protocol::Http), moved], Some(&first));
    let retired = |plan: &Plan, listener: u16| -> Vec<bool> {
        plan.routes()[&listener].balancer.endpoints().iter().map(|state| state.is_retired()).collect()
    };
    assert_eq!(retired(&first, 10_001), [true, false]);
    assert_eq!(retired(&first, 10_002), [true], "the listener is another Service's now");
    assert_eq!(retired(&second, 10_002), [false]);
    plan(vec![], Some(&second));
    assert_eq!(retired(&second, 10_001), [true]);
    assert_eq!(retired(&second, 10_002), [true]);
}

proptest! {
    #[test]
    fn what_did_not_change_keeps_its_state(
        before in prop::collection::btree_map(0_u16..40, prop::collection::btree_set(1_u8..9, 0..5), 0..20),
        after in prop::collection::btree_map(0_u16..40, prop::collection::btree_set(1_u8..9, 0..5), 0..20),
        same in prop::collection::btree_map(50_u16..90, prop::collection::btree_set(1_u8..9, 0..5), 0..20),
    ) {
        let build = |changing: &std::collections::BTreeMap<u16, std::collections::BTreeSet<u8>>, previous| {
            let services = changing.iter().chain(&same).map(|(number, endpoints)| {
                service(*number, &endpoints.iter().copied().collect::<Vec<_>>(), Protocol::Http)
            });
            plan(services.collect(), previous)
        };
        let first = build(&before, None);
        let second = build(&after, Some(&first));
        for number in same.keys() {
            let port = 10_000 + number;
            prop_assert!(Arc::ptr_eq(&first.routes()[&port], &second.routes()[&port]));
        }
        prop_assert_eq!(second.routes().len(), after.len() + same.len());
        for (port, route) in second.routes() {
            let Some(old) = first.routes().get(port) else { continue };
            for state in route.balancer.endpoints() {
                let known = old.balancer.endpoints().iter().find(|known| known.address == state.address);
                prop_assert!(known.is_none_or(|known| Arc::ptr_eq(known, state)));
            }
        }
    }
}
