//! From objects, as people write them, to what the mesh should be.

use super::*;
use crate::testing::settings;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::{Value, json};
use weft_contract::Protocol;

pub(super) fn service(namespace: &str, name: &str, more: Value) -> Arc<Service> {
    let mut object = json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}")},
        "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]},
    });
    merge(&mut object, more);
    Arc::new(serde_json::from_value(object).unwrap())
}

pub(super) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

pub(super) fn slice(namespace: &str, service: &str, endpoints: Value) -> Arc<EndpointSlice> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"namespace": namespace, "name": format!("{service}-abc"),
                         "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints,
        }))
        .unwrap(),
    )
}

/// The shadow Service that the API server would keep for a wanted one.
fn stored(wanted: &Shadow) -> Arc<Service> {
    let ports: Vec<Value> = wanted
        .ports
        .iter()
        .map(|port| json!({"name": port.name, "port": port.port, "protocol": port.transport.kubernetes(), "targetPort": port.listener}))
        .collect();
    service(
        "weft",
        &wanted.name,
        json!({
            "metadata": {
                "labels": {"weft.mesh/shadow": "true"},
                "annotations": {
                    "weft.mesh/service-namespace": wanted.key.namespace, "weft.mesh/service-name": wanted.key.name,
                    "weft.mesh/last-good": serde_json::to_string(&wanted.last_good).unwrap(),
                },
            },
            "spec": {"clusterIP": "10.0.9.9", "clusterIPs": ["10.0.9.9"], "ports": ports},
        }),
    )
}

pub(super) fn snapshot(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> Snapshot {
    Snapshot { services: services.to_vec(), slices: slices.to_vec(), ..Snapshot::default() }
}

pub(super) fn reasons(findings: &[Finding]) -> Vec<Reason> {
    findings.iter().map(|finding| finding.reason).collect()
}

fn addresses(topology: &Topology) -> Vec<String> {
    topology.services[0].addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_is_served_once_its_shadow_has_an_address() {
    let web = service("shop", "web", json!({}));
    let endpoints =
        slice("shop", "web", json!([{"addresses": ["10.1.0.5"], "nodeName": "node-1", "zone": "a"}]));
    let (first, findings) =
        resolve(&snapshot(std::slice::from_ref(&web), std::slice::from_ref(&endpoints)), &settings(&[]));
    assert!(findings.is_empty());
    assert_eq!(addresses(&first), ["10.0.0.1"], "its own address until then");
    assert!(
        first.services[0].ports[0].listener.is_some(),
        "the proxies listen before the name leads to them"
    );
    assert_eq!(first.services[0].ports[0].endpoints[0].address.to_string(), "10.1.0.5");
    let wanted = first.shadows.values().next().unwrap();
    let (second, _) = resolve(&snapshot(&[web, stored(wanted)], &[endpoints]), &settings(&[]));
    assert_eq!(addresses(&second), ["10.0.9.9"]);
    assert_eq!(second.services[0].ports, first.services[0].ports);
    assert_eq!(second.shadows, first.shadows);
    assert_eq!(second.served.len(), 1);
}

#[test]
fn who_is_left_alone_has_no_mesh_name() {
    let others = [
        service("kube-system", "kube-dns", json!({})),
        service("default", "kubernetes", json!({})),
        service("weft", "weft-dns", json!({})),
        service("shop", "external", json!({"spec": {"type": "ExternalName", "externalName": "example.com"}})),
    ];
    assert!(resolve(&snapshot(&others, &[]), &settings(&[])).0.services.is_empty());
    let two = [service("shop", "web", json!({})), service("bank", "web", json!({}))];
    let names = |arguments: &[&str]| {
        let (topology, _) = resolve(&snapshot(&two, &[]), &settings(arguments));
        topology.services.iter().map(|service| service.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["bank/web", "shop/web"]);
    assert_eq!(names(&["--watch-namespaces=shop"]), ["shop/web"]);
    assert_eq!(names(&["--watch-namespaces=shop,bank", "--ignore-namespaces=shop"]), ["bank/web"]);
    assert!(names(&["--select=annotated"]).is_empty());
    let annotated = service(
        "shop",
        "web",
        json!({"metadata": {"annotations": {"maesh.containo.us/traffic-type": "tcp"}}}),
    );
    assert_eq!(resolve(&snapshot(&[annotated], &[]), &settings(&["--select=annotated"])).0.services.len(), 1);
}

#[test]
fn the_traffic_type_is_the_protocol_of_each_port() {
    let web = service(
        "shop",
        "web",
        json!({"metadata": {"annotations": {"maesh.containo.us/traffic-type": "tcp"}}}),
    );
    let (topology, findings) = resolve(&snapshot(&[web], &[]), &settings(&[]));
    assert!(findings.is_empty());
    assert_eq!(topology.services[0].ports[0].listener.as_ref().unwrap().protocol, Protocol::Tcp);
}

#[test]
fn the_last_good_value_survives_a_restart_of_the_operator() {
    let annotated = |value: &str| {
        service("shop", "web", json!({"metadata": {"annotations": {"weft.mesh/traffic-type": value}}}))
    };
    let (good, _) = resolve(&snapshot(&[annotated("tcp")], &[]), &settings(&[]));
    let record = stored(good.shadows.values().next().unwrap());
    let (bad, findings) = resolve(&snapshot(&[annotated("tpc"), record], &[]), &settings(&[]));
    assert_eq!(bad.services[0].ports, good.services[0].ports);
    assert_eq!(reasons(&findings), [Reason::AnnotationInvalid]);
}

#[test]
fn what_the_mesh_cannot_serve_keeps_its_own_address() {
    let mixed = json!({"spec": {"ports": [{"name": "calls", "port": 36412, "protocol": "SCTP"},
                                          {"name": "http", "port": 80, "protocol": "TCP"}]}});
    let endpoints = slice("shop", "web", json!([{"addresses": ["10.1.0.5"]}]));
    let (topology, findings) =
        resolve(&snapshot(&[service("shop", "web", mixed)], &[endpoints]), &settings(&[]));
    assert_eq!(reasons(&findings), [Reason::PortNotServed]);
    assert_eq!(findings[0].detail, "36412/SCTP");
    assert_eq!(addresses(&topology), ["10.0.0.1"]);
    assert!(topology.shadows.is_empty());
    let ports = &topology.services[0].ports;
    assert!(ports.iter().all(|port| port.listener.is_none()));
    let endpoints: Vec<_> = ports.iter().map(|port| port.endpoints.len()).collect();
    assert_eq!(endpoints, [0, 1], "another Service may lead to its TCP port");
}

/// A DNS server as people write it: both transports on one port, and metrics.
fn dns(traffic_type: Option<&str>) -> Arc<Service> {
    let annotations = traffic_type.map(|value| json!({"maesh.containo.us/traffic-type": value}));
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 1053},
                       {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": "dns-tcp"},
                       {"name": "metrics", "port": 9153, "protocol": "TCP", "appProtocol": "http"}]);
    service("shop", "dns", json!({"metadata": {"annotations": annotations}, "spec": {"ports": ports}}))
}

#[test]
fn ports_of_both_transports_are_served_each_by_its_own() {
    let endpoints: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "dns-abc", "labels": {"kubernetes.io/service-name": "dns"}},
        "addressType": "IPv4",
        "ports": [{"name": "dns", "port": 1053, "protocol": "UDP"}, {"name": "dns-tcp", "port": 1054, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.1.0.5"]}],
    }))
    .unwrap();
    for (annotation, spoken) in [
        (Some("udp"), [Protocol::Udp, Protocol::Tcp, Protocol::Tcp]),
        (None, [Protocol::Udp, Protocol::Http, Protocol::Http]),
        (Some("tcp,metrics=http"), [Protocol::Udp, Protocol::Tcp, Protocol::Http]),
    ] {
        let snapshot = snapshot(&[dns(annotation)], &[Arc::new(endpoints.clone())]);
        let (topology, findings) = resolve(&snapshot, &settings(&[]));
        assert_eq!(findings, []);
        let ports = &topology.services[0].ports;
        assert_eq!(
            ports.iter().filter_map(|port| Some(port.listener.as_ref()?.protocol)).collect::<Vec<_>>(),
            spoken
        );
        let listeners: BTreeSet<_> =
            ports.iter().filter_map(|port| Some(port.listener.as_ref()?.port)).collect();
        assert_eq!(listeners.len(), 3, "also where two ports share a number");
        assert_eq!(
            ports.iter().map(|port| port.target_name.as_deref()).collect::<Vec<_>>(),
            [None, Some("dns-tcp"), None]
        );
        let endpoints: Vec<_> =
            ports.iter().flat_map(|port| &port.endpoints).map(|endpoint| endpoint.port).collect();
        assert_eq!(endpoints, [1053, 1054]);
        // What the API server keeps of the shadow Service is the record of all of them.
        let wanted = topology.shadows.values().next().unwrap();
        assert_eq!(wanted.ports.len(), 3);
        let mut snapshot = snapshot;
        snapshot.services.push(stored(wanted));
        let (again, _) = resolve(&snapshot, &settings(&[]));
        assert_eq!(again.shadows, topology.shadows);
        assert_eq!(addresses(&again), ["10.0.9.9"]);
    }
}

#[test]
fn the_charts_default_counts_where_nothing_else_speaks() {
    let spoken = |usual: &str, traffic_type| {
        let (topology, findings) = resolve(
            &snapshot(&[dns(traffic_type)], &[]),
            &settings(&[&format!("--default-traffic-type={usual}")]),
        );
        assert_eq!(findings, []);
        let protocols =
            topology.services[0].ports.iter().map(|port| port.listener.as_ref().unwrap().protocol);
        protocols.collect::<Vec<_>>()
    };
    for usual in ["tcp", "udp"] {
        assert_eq!(spoken(usual, None), [Protocol::Udp, Protocol::Tcp, Protocol::Http], "{usual}");
        assert_eq!(spoken(usual, Some("http")), [Protocol::Udp, Protocol::Http, Protocol::Http], "{usual}");
    }
}

#[test]
fn a_type_that_fits_no_port_is_told_and_the_service_is_served() {
    let annotations =
        json!({"metadata": {"annotations": {"mesh.traefik.io/traffic-type": "http,81=tcp,80=udp"}}});
    let (topology, findings) =
        resolve(&snapshot(&[service("shop", "web", annotations)], &[]), &settings(&[]));
    assert_eq!(reasons(&findings), [Reason::AnnotationUnused]);
    assert_eq!(
        findings[0].note,
        "mesh.traefik.io/traffic-type says udp of port 80, which is TCP; names port 81, which the Service does not have. \
         Correct or remove it."
    );
    assert_eq!(topology.services[0].ports[0].listener.as_ref().unwrap().protocol, Protocol::Http);
}

#[test]
fn a_headless_service_resolves_to_its_endpoints_until_it_is_served() {
    let headless = service("shop", "db", json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}));
    let endpoints = slice(
        "shop",
        "db",
        json!([{"addresses": ["10.1.0.6"]}, {"addresses": ["10.1.0.5"]},
               {"addresses": ["10.1.0.7"], "conditions": {"ready": false}}]),
    );
    let (topology, _) = resolve(&snapshot(&[headless], &[endpoints]), &settings(&[]));
    assert_eq!(addresses(&topology), ["10.1.0.5", "10.1.0.6"]);
    assert_eq!(topology.shadows.len(), 1);
    assert_eq!(topology.services[0].ports[0].endpoints.len(), 3);
}

#[test]
fn conditions_have_the_defaults_of_the_api() {
    let endpoints = slice(
        "shop",
        "web",
        json!([{"addresses": ["10.1.0.1"], "conditions": {}},
               {"addresses": ["10.1.0.2"], "conditions": {"ready": false}},
               {"addresses": ["10.1.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}}]),
    );
    let (topology, _) =
        resolve(&snapshot(&[service("shop", "web", json!({}))], &[endpoints]), &settings(&[]));
    let conditions: Vec<_> = topology.services[0].ports[0]
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.ready, endpoint.serving, endpoint.terminating))
        .collect();
    assert_eq!(conditions, [(true, true, false), (false, false, false), (false, true, true)]);
}

#[test]
fn an_exhausted_range_leaves_the_newest_out_and_an_event_says_so() {
    let aged =
        |name: &str, time: &str| service("shop", name, json!({"metadata": {"creationTimestamp": time}}));
    let services = [aged("a-young", "2026-01-02T00:00:00Z"), aged("b-old", "2026-01-01T00:00:00Z")];
    let (topology, findings) =
        resolve(&snapshot(&services, &[]), &settings(&["--listener-ports=10000-10000"]));
    assert_eq!(reasons(&findings), [Reason::PortsExhausted]);
    assert_eq!(findings[0].about.name, "a-young");
    assert_eq!(topology.shadows.len(), 1);
    assert_eq!(addresses(&topology), ["10.0.0.1"]);
}

#[test]
fn names_of_any_legal_length_have_legal_shadows_of_their_own() {
    let long = "a".repeat(63);
    let names: BTreeSet<_> = [("ns", "web"), (&*long, &*long), (&*long, "web"), ("a", "b-c"), ("a-b", "c")]
        .map(|(namespace, name)| shadow::name(&ServiceKey::new(namespace, name)))
        .into();
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| name.len() <= 63 && name.starts_with("weft-")));
}

proptest! {
    #[test]
    fn the_order_of_the_objects_does_not_matter(seed in any::<u64>(), count in 1_usize..12) {
        let mut services: Vec<_> = (0..count).map(|n| service("shop", &format!("s{n}"), json!({}))).collect();
        let mut slices: Vec<_> = (0..count)
            .map(|n| slice("shop", &format!("s{n}"), json!([{"addresses": [format!("10.1.0.{n}")]}])))
            .collect();
        let before = resolve(&snapshot(&services, &slices), &settings(&["--listener-ports=10000-10007"]));
        services.rotate_left(usize::try_from(seed % count as u64).unwrap());
        slices.reverse();
        let after = resolve(&snapshot(&services, &slices), &settings(&["--listener-ports=10000-10007"]));
        prop_assert_eq!(&before, &after);
        // And what comes of it can be read by a proxy, the same bytes each time.
        let configuration = crate::render::render(&before.0, &["mesh".into()], "node-1", None);
        let encoded = weft_contract::encode(&configuration).unwrap();
        prop_assert_eq!(&weft_contract::encode(&configuration).unwrap(), &encoded);
        prop_assert!(weft_contract::check(&configuration).is_ok());
    }
}
