//! The examples of the specification, as they stand there but for their names.

use super::{
    Topology, resolve,
    tests::{service, snapshot},
};
use crate::{
    finding::Reason,
    observe::Snapshot,
    smi::Object,
    testing::{settings, smi},
};
use serde_json::{Value, json};
use std::sync::Arc;
use weft_contract::{Grant, HttpMatch, PrincipalKind, Split};

fn resolved(objects: Vec<Arc<Object>>, services: &[(&str, &Value)]) -> (Topology, Vec<Reason>) {
    let services: Vec<_> =
        services.iter().map(|(name, more)| service("shop", name, (*more).clone())).collect();
    let (topology, findings) =
        resolve(&Snapshot { smi: objects, ..snapshot(&services, &[]) }, &settings(&["--acl=true"]));
    (topology, findings.iter().map(|finding| finding.reason).collect())
}

fn object(kind: &str, name: &str, spec: &Value) -> Arc<Object> {
    smi("v1alpha4", kind, name, &json!({"spec": spec}))
}

/// IdentityBindings of these names, each for the ServiceAccount of that name.
fn bindings(names: &[&str]) -> Vec<Arc<Object>> {
    names
        .iter()
        .map(|name| object("IdentityBinding", name, &json!({"schemes": {"serviceAccount": name}})))
        .collect()
}

fn target(name: &str, destination: &str, sources: &[&str], rules: &Value) -> Arc<Object> {
    let subject = |name: &str| json!({"kind": "IdentityBinding", "group": "access.smi-spec.io", "name": name, "namespace": "shop"});
    let sources: Vec<_> = sources.iter().map(|name| subject(name)).collect();
    object(
        "TrafficTarget",
        name,
        &json!({"destination": subject(destination), "rules": rules, "sources": sources}),
    )
}

/// What is granted, as lines.
fn lines(topology: &Topology) -> Vec<String> {
    let line = |grant: &Grant| {
        let Grant { namespace: _, name: _, destination, sources, port, tcp, udp, http } = grant;
        assert_eq!((destination.kind, port), (PrincipalKind::IdentityBinding, &None));
        let sources: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        let request = |one: &HttpMatch| {
            assert!(one.headers.is_empty());
            format!("{} {}", one.path.as_deref().unwrap_or("any"), one.methods.join(","))
        };
        let http = http.as_ref().map(|http| http.iter().map(request).collect::<Vec<_>>());
        format!("{} -> {}: tcp {tcp:?} udp {udp:?} http {http:?}", sources.join(","), destination.name)
    };
    topology.access.as_ref().unwrap().grants.iter().map(line).collect()
}

fn split(topology: &Topology, root: &str) -> Split {
    topology.services.iter().find(|service| service.key.name == root).unwrap().split.clone().unwrap()
}

fn shares(split: &Split) -> Vec<(&str, u32)> {
    split.backends.iter().map(|backend| (backend.service.name.as_str(), backend.weight)).collect()
}

fn canary(backends: &Value) -> Arc<Object> {
    object("TrafficSplit", "rollout", &json!({"service": "website", "backends": backends}))
}

#[test]
fn only_metrics_for_prometheus() {
    let mut objects = bindings(&["service-a", "prometheus"]);
    objects.push(object("TCPRoute", "the-routes", &json!({"matches": {"ports": [8080]}})));
    let matches = json!([
        {"name": "metrics", "pathRegex": "/metrics", "methods": ["GET"]},
        {"name": "everything", "pathRegex": ".*", "methods": ["*"]},
    ]);
    objects.push(object("HTTPRouteGroup", "the-routes", &json!({"matches": matches})));
    let rules = json!([
        {"kind": "TCPRoute", "name": "the-routes"},
        {"kind": "HTTPRouteGroup", "name": "the-routes", "matches": ["metrics"]},
    ]);
    objects.push(target("path-specific", "service-a", &["prometheus"], &rules));
    let (topology, findings) = resolved(objects, &[]);
    assert_eq!(findings, []);
    assert_eq!(
        lines(&topology),
        ["prometheus -> service-a: tcp Some([8080]) udp None http Some([\"/metrics GET\"])"]
    );
}

#[test]
fn four_services_by_route_and_source() {
    let mut objects = bindings(&["api-service", "website-service", "payments-service", "prometheus"]);
    objects.push(object("TCPRoute", "api-service-port", &json!({"matches": {"ports": [8080]}})));
    let matches = json!([
        {"name": "api", "pathRegex": "/api", "methods": ["*"]},
        {"name": "metrics", "pathRegex": "/metrics", "methods": ["GET"]},
    ]);
    objects.push(object("HTTPRouteGroup", "api-service-routes", &json!({"matches": matches})));
    let rules = |name: &str| {
        json!([
            {"kind": "TCPRoute", "name": "api-service-port"},
            {"kind": "HTTPRouteGroup", "name": "api-service-routes", "matches": [name]},
        ])
    };
    objects.push(target("api-service-metrics", "api-service", &["prometheus"], &rules("metrics")));
    let callers = ["website-service", "payments-service"];
    objects.push(target("api-service-api", "api-service", &callers, &rules("api")));
    let (topology, findings) = resolved(objects, &[]);
    assert_eq!(findings, []);
    assert_eq!(
        lines(&topology),
        [
            "payments-service,website-service -> api-service: tcp Some([8080]) udp None http Some([\"/api \"])",
            "prometheus -> api-service: tcp Some([8080]) udp None http Some([\"/metrics GET\"])",
        ]
    );
}

#[test]
fn tcp_and_udp_by_port() {
    let mut objects = bindings(&["server", "client"]);
    objects.push(object("TCPRoute", "tcp-ports", &json!({"matches": {"ports": [8301, 8302, 8300]}})));
    objects.push(object("UDPRoute", "udp-ports", &json!({"matches": {"ports": [8301, 8302]}})));
    let rules = json!([{"kind": "TCPRoute", "name": "tcp-ports"}, {"kind": "UDPRoute", "name": "udp-ports"}]);
    objects.push(target("protocol-specific", "server", &["client"], &rules));
    let (topology, findings) = resolved(objects, &[]);
    assert_eq!(findings, []);
    assert_eq!(
        lines(&topology),
        ["client -> server: tcp Some([8300, 8301, 8302]) udp Some([8301, 8302]) http None"]
    );
}

#[test]
fn headers_beside_path_and_methods() {
    let matches = json!([{"name": "iphone-users", "pathRegex": "/api/.*", "methods": ["GET", "HEAD"],
        "headers": {"user-agent": ".*iPhone.*"}}]);
    let mut objects = vec![object("HTTPRouteGroup", "the-routes", &json!({"matches": matches}))];
    objects.extend(bindings(&["a", "b"]));
    objects.push(target("it", "a", &["b"], &json!([{"kind": "HTTPRouteGroup", "name": "the-routes"}])));
    let (topology, findings) = resolved(objects, &[]);
    assert_eq!(findings, []);
    let granted = topology.access.unwrap().grants[0].http.clone().unwrap();
    assert_eq!(
        (granted.len(), granted[0].path.as_deref(), granted[0].methods.len()),
        (1, Some("/api/.*"), 2)
    );
    let header = &granted[0].headers[0];
    assert_eq!((header.name.as_str(), header.regex.as_str()), ("user-agent", ".*iPhone.*"));
}

#[test]
fn a_canary_of_a_tenth() {
    let plain = json!({});
    let services = ["website", "website-v1", "website-v2"].map(|name| (name, &plain));
    let backends = json!([{"service": "website-v1", "weight": 90}, {"service": "website-v2", "weight": 10}]);
    let (topology, findings) = resolved(vec![canary(&backends)], &services);
    assert_eq!(findings, []);
    assert_eq!(shares(&split(&topology, "website")), [("website-v1", 90), ("website-v2", 10)]);
}

#[test]
fn a_test_for_the_users_of_one_browser() {
    let plain = json!({});
    let services = ["website", "website-v1", "website-v2"].map(|name| (name, &plain));
    let spec = json!({
        "service": "website",
        "matches": [{"kind": "HTTPRouteGroup", "name": "ab-test"}],
        "backends": [{"service": "website-v1", "weight": 0}, {"service": "website-v2", "weight": 100}],
    });
    // The example has them at the top, though its version has them below `spec`.
    let group = json!({"matches": [{"name": "firefox-users", "headers": {"user-agent": ".*Firefox.*"}}]});
    let objects =
        vec![object("TrafficSplit", "ab-test", &spec), smi("v1alpha4", "HTTPRouteGroup", "ab-test", &group)];
    let (topology, findings) = resolved(objects, &services);
    assert_eq!(findings, []);
    let found = split(&topology, "website");
    assert_eq!(shares(&found), [("website-v1", 0), ("website-v2", 100)]);
    assert_eq!(found.matches.unwrap()[0].headers[0].regex, ".*Firefox.*");
}

#[test]
fn birds_of_two_colours() {
    let port = |name: &str, port: u16, target: u16| json!({"name": name, "port": port, "protocol": "TCP", "targetPort": target});
    let both = json!({"spec": {"ports": [port("grpc", 8080, 8080), port("rest", 9090, 9090)]}});
    let green = json!({"spec": {"ports": [port("grpc", 8080, 8081), port("rest", 9090, 9090)]}});
    let backends = json!([{"service": "blue-birds", "weight": 1}, {"service": "green-birds", "weight": 1}]);
    let spec = json!({"service": "birds", "backends": backends});
    let objects = vec![object("TrafficSplit", "birds", &spec)];
    let (topology, findings) =
        resolved(objects.clone(), &[("birds", &both), ("blue-birds", &both), ("green-birds", &green)]);
    assert_eq!(findings, []);
    assert!(split(&topology, "birds").backends.iter().all(|backend| backend.ports == [8080, 9090]));
    let one = |number: u16| json!({"spec": {"ports": [port("grpc", number, number)]}});
    let (root, blue) = (one(8080), one(1024));
    let (topology, findings) =
        resolved(objects, &[("birds", &root), ("blue-birds", &blue), ("green-birds", &root)]);
    assert_eq!(findings, [Reason::SplitBackendNotUsed]);
    let ports: Vec<_> = split(&topology, "birds").backends.into_iter().map(|backend| backend.ports).collect();
    assert_eq!(ports, [vec![], vec![8080]]);
}

#[test]
fn a_rollout_step_by_step() {
    let plain = json!({});
    let v1 = [("website", &plain), ("foobar-v1", &plain)];
    let both = [v1[0], v1[1], ("foobar-v2", &plain)];
    let backend = |name: &str, weight: u32| json!({"service": name, "weight": weight});
    let begun = json!([backend("foobar-v1", 100), backend("foobar-v2", 0)]);
    let (topology, findings) = resolved(vec![canary(&begun)], &v1);
    assert_eq!((shares(&split(&topology, "website")), findings), (vec![("foobar-v1", 100)], vec![]));
    let (topology, findings) =
        resolved(vec![canary(&json!([backend("foobar-v1", 1000), backend("foobar-v2", 500)]))], &both);
    assert_eq!(
        (shares(&split(&topology, "website")), findings),
        (vec![("foobar-v1", 1000), ("foobar-v2", 500)], vec![])
    );
    let (topology, findings) = resolved(vec![canary(&json!([backend("foobar-v2", 1)]))], &both);
    assert_eq!((shares(&split(&topology, "website")), findings), (vec![("foobar-v2", 1)], vec![]));
}
