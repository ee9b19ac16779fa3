//! From annotations, specs, hints, certificates and pods to what the proxies are told.

use super::{
    tests::{reasons, service, slice, snapshot},
    *,
};
use crate::{
    observe::{Carriers, authorities::AuthorityName},
    testing::settings,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use weft_contract::{
    Hints, Policy,
    policy::{Mirror, Proximity, Scheme},
};

/// A Service of `shop` with these annotations, by their keys, and this spec.
fn annotated(name: &str, annotations: &[(&str, &str)], spec: Value) -> Arc<Service> {
    let annotations: BTreeMap<_, _> =
        annotations.iter().map(|(key, value)| (format!("weft.mesh/{key}"), *value)).collect();
    service("shop", name, json!({"metadata": {"annotations": annotations}, "spec": spec}))
}

fn resolved(services: &[Arc<Service>]) -> (Topology, Vec<Finding>) {
    resolve(&snapshot(services, &[]), &settings(&[]))
}

/// The policy of the only Service, about which nothing is found.
fn policy(service: Arc<Service>) -> Policy {
    let (topology, findings) = resolved(&[service]);
    assert_eq!(findings, []);
    topology.services[0].policy.clone()
}

fn schemes(service: Arc<Service>) -> Vec<Scheme> {
    resolved(&[service]).0.services[0].ports.iter().map(|port| port.scheme).collect()
}

fn ports(protocols: &[&str]) -> Value {
    let port = |(number, protocol): (usize, &&str)| json!({"name": format!("p{number}"), "port": number + 1, "protocol": "TCP", "appProtocol": protocol});
    json!({"ports": protocols.iter().enumerate().map(port).collect::<Vec<_>>()})
}

#[test]
fn the_scheme_is_the_annotations_or_else_the_ports() {
    let known =
        ["http", "kubernetes.io/ws", "kubernetes.io/h2c", "grpc", "https", "example.com/mine", "HTTPS"];
    let of_ports = schemes(annotated("web", &[], ports(&known)));
    let wanted =
        [Scheme::Http, Scheme::Http, Scheme::H2c, Scheme::H2c, Scheme::Https, Scheme::Http, Scheme::Http];
    assert_eq!(of_ports, wanted);
    assert_eq!(schemes(annotated("web", &[("scheme", "h2c")], ports(&["http", "https"]))), [Scheme::H2c; 2]);
    assert_eq!(schemes(annotated("web", &[("traffic-type", "tcp")], ports(&["https"]))), [Scheme::Http]);
}

#[test]
fn the_distribution_of_the_service_is_the_proximity() {
    let of = |distribution: &str| {
        policy(annotated("web", &[], json!({"trafficDistribution": distribution}))).balancing.proximity
    };
    assert_eq!(of("PreferClose"), Proximity::Zone);
    assert_eq!(of("PreferSameZone"), Proximity::Zone);
    assert_eq!(of("PreferSameNode"), Proximity::Node);
    assert_eq!(of("PreferTheMoon"), Proximity::Any);
    assert_eq!(policy(service("shop", "web", json!({}))), Policy::default());
    let older = json!({"metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}});
    assert_eq!(policy(service("shop", "web", older)).balancing.proximity, Proximity::Zone);
}

#[test]
fn hints_are_told_sorted() {
    let hints = json!({"forZones": [{"name": "b"}, {"name": "a"}], "forNodes": [{"name": "node-1"}]});
    let endpoints = slice(
        "shop",
        "web",
        json!([{"addresses": ["10.1.0.1"], "hints": hints}, {"addresses": ["10.1.0.2"]}]),
    );
    let (topology, _) =
        resolve(&snapshot(&[service("shop", "web", json!({}))], &[endpoints]), &settings(&[]));
    let told: Vec<_> =
        topology.services[0].ports[0].endpoints.iter().map(|endpoint| &endpoint.hints).collect();
    let wanted = Hints { zones: vec!["a".into(), "b".into()], nodes: vec!["node-1".into()] };
    assert_eq!(told, [&wanted, &Hints::default()]);
}

#[test]
fn a_limit_of_the_whole_cluster_is_divided_by_who_carries_the_traffic() {
    let web = |scope| annotated("web", &[("ratelimit-average", "9"), ("ratelimit-scope", scope)], json!({}));
    let proxies = |scope, carriers: Carriers| {
        let snapshot = Snapshot { carriers, ..snapshot(&[web(scope)], &[]) };
        let (topology, _) = resolve(&snapshot, &settings(&[]));
        assert_eq!(topology.is_counting(), scope == "cluster");
        topology.services[0].policy.rate_limit.as_ref().unwrap().proxies
    };
    let carried = |by: u32| Carriers { proxies: 5, carrying: [(ServiceKey::new("shop", "web"), by)].into() };
    assert_eq!(proxies("cluster", Carriers::default()), 1);
    assert_eq!(proxies("cluster", Carriers { proxies: 5, carrying: BTreeMap::new() }), 5);
    assert_eq!(proxies("cluster", carried(2)), 2);
    assert_eq!(proxies("node", carried(2)), 1);
}

#[test]
fn certificates_are_those_that_could_be_read_last() {
    let key = |name: AuthorityName| AuthorityKey { namespace: "shop".into(), name };
    let cluster = key(AuthorityName::default());
    let web = annotated("web", &[("scheme", "https")], json!({}));
    let with = |read: Option<Result<String, String>>, last: Option<&str>| {
        let last = last.map(|text| (ServiceKey::new("shop", "web"), text.to_owned()));
        let snapshot = Snapshot {
            authorities: Arc::new(read.map(|read| (cluster.clone(), read)).into_iter().collect()),
            last_authorities: Arc::new(last.into_iter().collect()),
            ..snapshot(std::slice::from_ref(&web), &[])
        };
        let (topology, findings) = resolve(&snapshot, &settings(&[]));
        assert_eq!(topology.authorities, [cluster.clone()].into(), "it is asked for");
        let ca = topology.services[0].policy.tls.ca.clone();
        assert_eq!(topology.authorities_in_force().len(), usize::from(ca.is_some()));
        (ca, findings)
    };
    assert_eq!(with(None, None), (None, vec![]));
    assert_eq!(with(None, Some("old")), (Some("old".into()), vec![]));
    assert_eq!(with(Some(Ok("new".into())), Some("old")), (Some("new".into()), vec![]));
    let (ca, findings) = with(Some(Err("it does not exist".into())), Some("old"));
    assert_eq!((ca.as_deref(), reasons(&findings)), (Some("old"), vec![Reason::CertificatesNotRead]));
    assert!(findings[0].note.contains("last good ones are in force"), "{}", findings[0].note);
    let (ca, findings) = with(Some(Err("it does not exist".into())), None);
    assert_eq!(ca, None);
    let note = &findings[0].note;
    assert!(
        note.contains("configmap/kube-root-ca.crt/ca.crt in namespace shop: it does not exist")
            && note.contains("answered 502"),
        "{note}"
    );
}

#[test]
fn certificates_without_a_port_that_needs_them_are_told() {
    let spare = [("tls-ca", "configmap/a"), ("tls-server-name", "a.b")];
    let (topology, findings) = resolved(&[annotated("web", &spare, json!({}))]);
    assert_eq!(reasons(&findings), [Reason::AnnotationUnused; 2]);
    assert_eq!(findings[0].detail, "weft.mesh/tls-ca");
    assert!(topology.authorities.is_empty());
    let (topology, findings) = resolved(&[annotated("web", &spare, ports(&["http", "https"]))]);
    assert_eq!(findings, []);
    assert_eq!(topology.authorities.len(), 1);
    // With the traffic type tcp they are told once, as all that is about HTTP.
    let tcp = [spare[0], ("traffic-type", "tcp")];
    let (_, findings) = resolved(&[annotated("web", &tcp, json!({}))]);
    assert_eq!(reasons(&findings), [Reason::AnnotationUnused]);
    assert!(
        findings[0].note.contains("no port of the Service has the traffic type http"),
        "{}",
        findings[0].note
    );
}

#[test]
fn a_mirror_is_a_service_of_the_mesh() {
    let next = annotated("next", &[], ports(&["http"]));
    let several = annotated("several", &[], ports(&["http", "http"]));
    let tcp = annotated("tcp", &[("traffic-type", "tcp")], json!({}));
    let mirrored = |target: &str| {
        let web = annotated("web", &[("mirror", target)], json!({}));
        let (topology, findings) = resolved(&[next.clone(), several.clone(), tcp.clone(), web]);
        let mirror = topology.services[3].policy.actions.mirror.clone();
        assert_eq!(findings.len(), usize::from(mirror.is_none()), "{findings:?}");
        mirror.ok_or_else(|| findings[0].note.clone())
    };
    let to = |name, port, percent| Mirror { service: ServiceKey::new("shop", name), port, percent };
    assert_eq!(mirrored("next 10%"), Ok(to("next", 1, 10)));
    assert_eq!(mirrored("several.shop:2"), Ok(to("several", 2, 100)));
    for (target, says) in [
        ("several", "several ports"),
        ("next:80", "no such port"),
        ("tcp", "no port with HTTP"),
        ("next.bank", "no Service that the mesh serves"),
    ] {
        let note = mirrored(target).unwrap_err();
        assert!(note.starts_with("weft.mesh/mirror names") && note.contains(says), "{note}");
    }
}

fn pod(name: &str, address: &str, more: Value) -> Arc<Pod> {
    let mut object = json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"containers": [], "serviceAccountName": "front"},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    });
    super::tests::merge(&mut object, more);
    Arc::new(serde_json::from_value(object).unwrap())
}

#[test]
fn who_calls_is_told_only_where_it_is_asked_for() {
    let pods = vec![
        pod("b", "10.2.0.2", json!({"spec": {"serviceAccountName": ""}})),
        pod("a", "10.2.0.1", json!({"status": {"podIPs": [{"ip": "10.2.0.1"}, {"ip": "fd00::1"}]}})),
        pod("node", "10.0.0.9", json!({"spec": {"hostNetwork": true}})),
        pod("done", "10.2.0.3", json!({"status": {"phase": "Succeeded"}})),
        pod(
            "failed",
            "10.2.0.1",
            json!({"status": {"phase": "Failed"}, "spec": {"serviceAccountName": "a"}}),
        ),
        pod("new", "", json!({"status": {"phase": "Pending", "podIPs": []}})),
    ];
    let sources = |by: &str| {
        let web = annotated("web", &[("ratelimit-average", "9"), ("ratelimit-by", by)], json!({}));
        let (topology, findings) =
            resolve(&Snapshot { pods: pods.clone(), ..snapshot(&[web], &[]) }, &settings(&[]));
        assert_eq!(findings, []);
        assert_eq!(topology.wants_callers, by == "service-account");
        let rendered = crate::render::render(&topology, &["mesh".into()], "node-1", Some("a"));
        assert_eq!(rendered.zone.as_deref(), Some("a"));
        rendered.sources
    };
    let told: Vec<_> = sources("service-account")
        .into_iter()
        .map(|source| format!("{} {}/{}", source.address, source.namespace, source.service_account))
        .collect();
    assert_eq!(told, ["10.2.0.1 shop/front", "10.2.0.2 shop/default", "fd00::1 shop/front"]);
    assert!(sources("source").is_empty());
}
