//! What is open is what the words of the specification say, whatever else there is, and whatever was there before.

mod changes;
mod specification;

use super::*;
use crate::{
    matching::{Compiling, Pool},
    plan::{Accepted, Plan, compile},
    route::{NoWay, way},
};
use http::{HeaderMap, Method};
use std::net::Ipv4Addr;
use tokio::time::Instant;
use weft_contract::{
    Endpoint, Grant, Hints, HttpMatch, Listener, PodPort, Policy, Port, Principal, PrincipalKind, Protocol,
    SCHEMA, Service, ServiceKey, Source, policy::Scheme,
};

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn account(name: &str) -> Principal {
    Principal { kind: PrincipalKind::ServiceAccount, namespace: "shop".into(), name: name.into() }
}

fn binding(name: &str) -> Principal {
    Principal { kind: PrincipalKind::IdentityBinding, ..account(name) }
}

fn pod(last: u8, account: &str, bindings: &[&str]) -> Source {
    Source {
        address: ip(last),
        namespace: "shop".into(),
        service_account: account.into(),
        identity_bindings: bindings.iter().map(ToString::to_string).collect(),
    }
}

/// Grants nothing yet.
fn grant(destination: Principal, sources: &[Principal]) -> Grant {
    Grant {
        namespace: "shop".into(),
        name: "target".into(),
        destination,
        sources: sources.to_vec(),
        port: None,
        tcp: None,
        udp: None,
        http: None,
    }
}

fn path(path: &str) -> HttpMatch {
    HttpMatch { path: Some(path.into()), ..HttpMatch::default() }
}

fn port(transport: Transport, endpoints: &[(u8, u16)]) -> Port {
    let endpoint = |(last, port): &(u8, u16)| Endpoint {
        address: ip(*last),
        port: *port,
        ready: true,
        serving: true,
        terminating: false,
        zone: None,
        node: None,
        hints: Hints::default(),
    };
    Port {
        name: None,
        port: 80,
        transport,
        listener: Some(Listener { port: 10_000, protocol: Protocol::Tcp }),
        scheme: Scheme::Http,
        endpoints: endpoints.iter().map(endpoint).collect(),
        target_name: Some("http".into()),
        sni_routes: Vec::new(),
    }
}

fn configuration(grants: Vec<Grant>, sources: Vec<Source>, port: Port) -> NodeConfiguration {
    let service = Service {
        key: ServiceKey::new("shop", "web"),
        addresses: vec![],
        ports: vec![port],
        policy: Policy::default(),
        split: None,
    };
    NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services: vec![service],
        sources,
        access: Some(AccessControl { mode: AccessMode::Enforce, grants }),
    }
}

fn plan(configuration: NodeConfiguration, previous: Option<&Plan>) -> Plan {
    let accepted = Accepted { revision: "r".into(), configuration: Arc::new(configuration) };
    compile(accepted, previous, Instant::now())
}

/// The last bytes of the endpoints that are open; none where it is refused.
fn open(plan: &Plan, client: u8, request: Option<(&Method, &str)>) -> Option<Vec<u8>> {
    let fields = HeaderMap::new();
    let subject = request.map(|(method, path)| Subject::new(method, path.as_bytes(), &fields));
    let asked = subject.as_ref().map_or(Asked::Raw, Asked::Request);
    let route = &plan.routes()[&10_000];
    let way = match way(plan, route, ip(client), asked, &route.traffic) {
        Ok(way) => way,
        Err(NoWay::Denied(_)) => return None,
        Err(NoWay::NoSide) => panic!("there is no split"),
    };
    let addresses = route.port.endpoints.iter().map(|each| SocketAddr::new(each.address, each.port));
    let open = addresses.filter(|address| way.only.as_ref().is_none_or(|only| only.admits(*address)));
    let last = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    };
    Some(open.map(last).collect())
}

const GET: Option<(&Method, &str)> = Some((&Method::GET, "/a"));

/// Pods 1 and 2 are clients, 11 and 12 endpoints.
fn simple(grants: Vec<Grant>, transport: Transport) -> Plan {
    let sources =
        vec![pod(1, "one", &["bound"]), pod(2, "two", &[]), pod(11, "web", &[]), pod(12, "web", &[])];
    plan(configuration(grants, sources, port(transport, &[(11, 8080), (12, 8080)])), None)
}

#[test]
fn nothing_is_open_but_what_is_granted() {
    let all = Some(vec![11, 12]);
    let tcp = |tcp: Vec<u16>| Grant { tcp: Some(tcp), ..grant(account("web"), &[account("one")]) };
    let plan = simple(vec![tcp(vec![])], Transport::Tcp);
    assert_eq!(open(&plan, 1, GET), all);
    assert_eq!(open(&plan, 1, None), all);
    assert_eq!(open(&plan, 2, GET), None, "another ServiceAccount");
    assert_eq!(open(&plan, 99, GET), None, "an address that is nobody's");
    assert_eq!(open(&plan, 11, GET), None, "what may be called may not call");
    for grants in [
        vec![],
        vec![tcp(vec![9090])],
        vec![grant(account("web"), &[account("one")])],
        vec![Grant { udp: Some(vec![]), ..grant(account("web"), &[account("one")]) }],
        vec![Grant { tcp: Some(vec![]), ..grant(account("other"), &[account("one")]) }],
        vec![Grant { tcp: Some(vec![]), ..grant(binding("web"), &[account("one")]) }],
        vec![Grant { tcp: Some(vec![]), ..grant(account("web"), &[]) }],
        vec![Grant { http: Some(vec![]), ..grant(account("web"), &[account("one")]) }],
        vec![Grant { port: Some(PodPort::Number(80)), ..tcp(vec![]) }],
        vec![Grant { port: Some(PodPort::Name("grpc".into())), ..tcp(vec![]) }],
    ] {
        assert_eq!(open(&simple(grants.clone(), Transport::Tcp), 1, GET), None, "{grants:?}");
    }
    for port in [PodPort::Number(8080), PodPort::Name("http".into())] {
        assert_eq!(
            open(&simple(vec![Grant { port: Some(port), ..tcp(vec![]) }], Transport::Tcp), 1, GET),
            all
        );
    }
}

#[test]
fn ports_and_requests_narrow_each_other_within_a_grant_and_add_up_over_several() {
    let all = Some(vec![11, 12]);
    let to = || grant(account("web"), &[binding("bound")]);
    let http = || Some(vec![path("/a"), path("/b")]);
    let both = simple(vec![Grant { tcp: Some(vec![8080]), http: http(), ..to() }], Transport::Tcp);
    assert_eq!(open(&both, 1, GET), all);
    assert_eq!(open(&both, 1, Some((&Method::GET, "/c"))), None);
    assert_eq!(open(&both, 1, None), None, "of what is no HTTP nobody knows whether it matches");
    let other = simple(vec![Grant { tcp: Some(vec![9090]), http: http(), ..to() }], Transport::Tcp);
    assert_eq!(open(&other, 1, GET), None);
    let alone = simple(vec![Grant { http: http(), ..to() }], Transport::Tcp);
    assert_eq!((open(&alone, 1, GET), open(&alone, 1, None)), (all.clone(), None));
    let several = vec![
        Grant { http: Some(vec![path("/a")]), ..to() },
        Grant { http: Some(vec![path("/c")]), ..to() },
        Grant { tcp: Some(vec![9090]), ..to() },
    ];
    let several = simple(several, Transport::Tcp);
    assert_eq!(open(&several, 1, Some((&Method::GET, "/c"))), all);
    assert_eq!(open(&several, 1, Some((&Method::GET, "/b"))), None);
    assert_eq!(open(&several, 1, None), None);
}

#[test]
fn udp_is_opened_by_udp_alone() {
    let to = || grant(account("web"), &[account("one")]);
    for (grant, expected) in [
        (Grant { udp: Some(vec![]), ..to() }, Some(vec![11, 12])),
        (Grant { udp: Some(vec![53, 8080]), http: Some(vec![path("/")]), ..to() }, Some(vec![11, 12])),
        (Grant { udp: Some(vec![53]), ..to() }, None),
        (Grant { tcp: Some(vec![]), ..to() }, None),
    ] {
        assert_eq!(open(&simple(vec![grant.clone()], Transport::Udp), 1, None), expected, "{grant:?}");
    }
}

#[test]
fn only_pods_that_carry_the_destination_get_the_traffic() {
    let sources =
        vec![pod(1, "one", &[]), pod(11, "blue", &["b"]), pod(12, "green", &[]), pod(13, "blue", &[])];
    let port = || port(Transport::Tcp, &[(11, 8080), (12, 8080), (13, 9090), (14, 8080)]);
    let open = |grants: Vec<Grant>| open(&plan(configuration(grants, sources.clone(), port()), None), 1, GET);
    let to = |to, tcp: &[u16]| Grant { tcp: Some(tcp.to_vec()), ..grant(to, &[account("one")]) };
    assert_eq!(open(vec![to(account("blue"), &[])]), Some(vec![11, 13]));
    assert_eq!(open(vec![to(account("blue"), &[9090])]), Some(vec![13]));
    assert_eq!(open(vec![to(binding("b"), &[])]), Some(vec![11]));
    assert_eq!(open(vec![to(binding("b"), &[]), to(account("green"), &[])]), Some(vec![11, 12]));
    assert_eq!(
        open(vec![to(account("blue"), &[]), to(account("green"), &[])]),
        Some(vec![11, 12, 13]),
        "the fourth is nobody"
    );
}

#[test]
fn an_address_that_two_pods_seem_to_have_is_nobodys() {
    let to = Grant { tcp: Some(vec![]), ..grant(account("web"), &[account("one"), account("two")]) };
    let sources = vec![pod(1, "one", &[]), pod(1, "two", &[]), pod(11, "web", &[])];
    let plan = plan(configuration(vec![to], sources, port(Transport::Tcp, &[(11, 80)])), None);
    assert_eq!(open(&plan, 1, GET), None);
}

#[test]
fn an_address_is_the_same_in_both_ways_of_writing_it() {
    let plan =
        simple(vec![Grant { tcp: Some(vec![]), ..grant(account("web"), &[account("one")]) }], Transport::Tcp);
    let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
    let route = &plan.routes()[&10_000];
    assert!(way(&plan, route, mapped.into(), Asked::Raw, &route.traffic).is_ok());
}

#[test]
fn who_is_refused_is_told_who_it_is() {
    let plan = simple(vec![], Transport::Tcp);
    let route = &plan.routes()[&10_000];
    let denied = |client| match way(&plan, route, ip(client), Asked::Raw, &route.traffic) {
        Err(NoWay::Denied(denied)) => denied.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(denied(1), "the ServiceAccount shop/one is not granted this at shop/web:80");
    assert_eq!(
        denied(99),
        "10.0.0.99, which is the address of no known pod, is not granted this at shop/web:80"
    );
}

#[test]
fn a_service_without_endpoints_has_nothing_to_refuse() {
    let plan = plan(configuration(vec![], vec![pod(1, "one", &[])], port(Transport::Tcp, &[])), None);
    assert_eq!(open(&plan, 1, GET), Some(vec![]));
}

#[test]
fn audited_access_passes_and_is_told() {
    let mut audited = configuration(vec![], vec![pod(1, "one", &[])], port(Transport::Tcp, &[(11, 80)]));
    audited.access.as_mut().unwrap().mode = AccessMode::Audit;
    let first = plan(audited.clone(), None);
    assert_eq!(open(&first, 1, GET), Some(vec![11]));
    assert_eq!(open(&first, 99, None), Some(vec![11]));
    let second = plan(audited, Some(&first));
    let told = second.access.as_ref().unwrap().ledger.denials(Instant::now());
    let accounts: Vec<_> =
        told.iter().map(|denial| denial.source.as_ref().map(|source| &*source.service_account)).collect();
    assert_eq!(accounts, [None, Some("one")]);
}

#[test]
fn a_thousand_targets_are_compiled_once() {
    let grants: Vec<Grant> = (0..1000)
        .map(|number| Grant {
            name: format!("target-{number:04}"),
            http: Some(vec![path(&format!("/route-{number:04}/[a-z]+"))]),
            ..grant(
                account("web"),
                &(0..10).map(|pod| account(&format!("{number}-{pod}"))).collect::<Vec<_>>(),
            )
        })
        .collect();
    let sources = vec![pod(1, "567-3", &[]), pod(11, "web", &[])];
    let made = configuration(grants, sources, port(Transport::Tcp, &[(11, 80)]));
    let first = plan(made.clone(), None);
    assert_eq!(open(&first, 1, Some((&Method::GET, "/route-0567/a"))), Some(vec![11]));
    assert_eq!(open(&first, 1, Some((&Method::GET, "/route-0566/a"))), None);
    let pool: Pool = {
        let access = first.access.as_ref().unwrap();
        let mut compiling = Compiling::after(None);
        let mut gates = Gates::new(access);
        let port = &made.services[0].ports[0];
        let one = gates.gate(port, None, &mut compiling);
        let other = gates.gate(&Port { port: 81, ..port.clone() }, None, &mut compiling);
        assert!(one.shares_with(&other), "two ports of the same pods know the same");
        compiling.finish()
    };
    drop(pool);
}
