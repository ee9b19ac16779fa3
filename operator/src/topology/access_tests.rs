//! The golden cases of what is granted.

use super::super::{
    Topology, resolve,
    tests::{reasons, service, slice, snapshot},
};
use super::*;
use crate::{
    observe::Snapshot,
    smi::Object,
    testing::{settings, smi},
};
use serde_json::{Value, json};
use std::sync::Arc;
use weft_contract::PodPort;

const ACL: &str = "--acl=true";

fn resolved(objects: &[Arc<Object>], arguments: &[&str]) -> (Topology, Vec<Finding>) {
    let snapshot = Snapshot { smi: objects.to_vec(), ..snapshot(&[], &[]) };
    resolve(&snapshot, &settings(arguments))
}

fn grants(objects: &[Arc<Object>], arguments: &[&str]) -> (Vec<Grant>, Vec<Finding>) {
    let (topology, findings) = resolved(objects, &[&[ACL], arguments].concat());
    (topology.access.unwrap().grants.clone(), findings)
}

/// A target of `api` for `web`, with these rules.
fn target(name: &str, rules: &Value) -> Arc<Object> {
    let spec = json!({
        "destination": {"kind": "ServiceAccount", "name": "api"},
        "sources": [{"kind": "ServiceAccount", "name": "web"}],
        "rules": rules,
    });
    smi("v1alpha4", "TrafficTarget", name, &json!({"spec": spec}))
}

fn routes() -> Arc<Object> {
    let matches = json!([
        {"name": "metrics", "pathRegex": "/metrics", "methods": ["GET"]},
        {"name": "everything", "pathRegex": ".*", "methods": ["*"]},
        {"name": "broken", "pathRegex": "("},
    ]);
    smi("v1alpha4", "HTTPRouteGroup", "routes", &json!({"spec": {"matches": matches}}))
}

fn ports(kind: &str, name: &str, ports: &Value) -> Arc<Object> {
    smi("v1alpha4", kind, name, &json!({"spec": {"matches": {"ports": ports}}}))
}

fn account(name: &str) -> Principal {
    Principal { kind: PrincipalKind::ServiceAccount, namespace: "shop".into(), name: name.into() }
}

fn request(path: &str, methods: &[&str]) -> HttpMatch {
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    HttpMatch { path: Some(path.to_owned()), methods, headers: Vec::new() }
}

/// What a target with these rules grants, shortened; beside all routes that there are.
fn granted(rules: Value) -> (Option<String>, Vec<String>) {
    let objects = [
        target("it", &rules),
        routes(),
        ports("TCPRoute", "some", &json!([8080, 9090])),
        ports("TCPRoute", "more", &json!([7070])),
        ports("TCPRoute", "all", &json!([])),
        ports("UDPRoute", "dns", &json!([53])),
    ];
    let (grants, findings) = grants(&objects, &[]);
    let details = findings.iter().filter(|finding| finding.reason == Reason::AccessNotGranted);
    let shown = grants.first().map(|grant| {
        let http = grant
            .http
            .as_ref()
            .map(|matches| matches.iter().filter_map(|one| one.path.as_deref()).collect::<Vec<_>>());
        format!("tcp {:?} udp {:?} http {http:?}", grant.tcp, grant.udp)
    });
    (shown, details.map(|finding| finding.detail.clone()).collect())
}

#[test]
fn rules_grant_their_union_and_ports_narrow_requests() {
    let group = json!({"kind": "HTTPRouteGroup", "name": "routes", "matches": ["metrics"]});
    let rule = |kind: &str, name: &str| json!({"kind": kind, "name": name});
    for (rules, wanted) in [
        (json!([group]), "tcp None udp None http Some([\"/metrics\"])"),
        (json!([rule("HTTPRouteGroup", "routes")]), "tcp None udp None http Some([\".*\", \"/metrics\"])"),
        (json!([rule("TCPRoute", "some")]), "tcp Some([8080, 9090]) udp None http None"),
        (json!([rule("TCPRoute", "all")]), "tcp Some([]) udp None http None"),
        (
            json!([rule("TCPRoute", "some"), rule("TCPRoute", "more")]),
            "tcp Some([7070, 8080, 9090]) udp None http None",
        ),
        (json!([rule("TCPRoute", "some"), rule("TCPRoute", "all")]), "tcp Some([]) udp None http None"),
        (json!([rule("TCPRoute", "all"), rule("TCPRoute", "some")]), "tcp Some([]) udp None http None"),
        (json!([rule("UDPRoute", "dns")]), "tcp None udp Some([53]) http None"),
        (
            json!([rule("TCPRoute", "some"), group]),
            "tcp Some([8080, 9090]) udp None http Some([\"/metrics\"])",
        ),
        (
            json!([rule("UDPRoute", "dns"), rule("TCPRoute", "more"), group]),
            "tcp Some([7070]) udp Some([53]) http Some([\"/metrics\"])",
        ),
    ] {
        assert_eq!(granted(rules.clone()), (Some(wanted.to_owned()), vec![]), "{rules}");
    }
}

#[test]
fn what_cannot_be_followed_grants_nothing_and_widens_nothing() {
    let rule = |kind: &str, name: &str| json!({"kind": kind, "name": name});
    let picked = |names: &Value| json!({"kind": "HTTPRouteGroup", "name": "routes", "matches": names});
    let (some, none) = ("tcp Some([8080, 9090]) udp None http Some([])", None);
    for (rules, wanted, told) in [
        (json!([rule("HTTPRouteGroup", "no")]), none, vec!["rule HTTPRouteGroup no"]),
        (json!([rule("TCPRoute", "no")]), none, vec!["rule TCPRoute no"]),
        (json!([rule("GRPCRoute", "some")]), none, vec!["rule GRPCRoute some"]),
        (json!([picked(&json!(["no"]))]), none, vec!["rule HTTPRouteGroup routes no"]),
        (json!([picked(&json!(["broken"]))]), none, vec![]),
        // A TCPRoute alone opens all HTTP on its ports; beside a group that is broken it must not.
        (
            json!([rule("TCPRoute", "some"), rule("HTTPRouteGroup", "no")]),
            Some(some),
            vec!["rule HTTPRouteGroup no"],
        ),
        (json!([rule("TCPRoute", "some"), picked(&json!(["broken"]))]), Some(some), vec![]),
        // A group alone opens its requests on all ports; beside a TCPRoute that is missing it must not.
        (json!([rule("TCPRoute", "no"), picked(&json!(["metrics"]))]), none, vec!["rule TCPRoute no"]),
        (
            json!([rule("TCPRoute", "no"), rule("TCPRoute", "some"), rule("HTTPRouteGroup", "no")]),
            Some(some),
            vec!["rule HTTPRouteGroup no", "rule TCPRoute no"],
        ),
        (
            json!([picked(&json!(["no", "metrics"]))]),
            Some("tcp None udp None http Some([\"/metrics\"])"),
            vec!["rule HTTPRouteGroup routes no"],
        ),
    ] {
        assert_eq!(
            granted(rules.clone()),
            (wanted.map(str::to_owned), told.into_iter().map(str::to_owned).collect()),
            "{rules}"
        );
    }
}

#[test]
fn a_target_grants_its_sources_its_destination() {
    let spec = json!({
        "destination": {"kind": "ServiceAccount", "name": "api", "namespace": "shop", "port": "http"},
        "sources": [
            {"kind": "ServiceAccount", "name": "prometheus", "namespace": "watch"},
            {"kind": "ServiceAccount", "name": "web"},
            {"kind": "ServiceAccount", "name": "web"},
        ],
        "rules": [{"kind": "HTTPRouteGroup", "name": "routes", "matches": ["metrics"]}],
    });
    let (found, findings) =
        grants(&[smi("v1alpha2", "TrafficTarget", "it", &json!({"spec": spec})), routes()], &[]);
    assert_eq!(reasons(&findings), [Reason::RouteMatchInvalid]);
    let prometheus = Principal { namespace: "watch".into(), ..account("prometheus") };
    let grant = Grant {
        namespace: "shop".into(),
        name: "it".into(),
        destination: account("api"),
        sources: vec![account("web"), prometheus],
        port: Some(PodPort::Name("http".into())),
        tcp: None,
        udp: None,
        http: Some(vec![request("/metrics", &["GET"])]),
    };
    let mut sources = grant.sources.clone();
    sources.sort();
    assert_eq!(found, [Grant { sources, ..grant }]);
}

#[test]
fn several_targets_are_told_beside_each_other() {
    let rules = json!([{"kind": "HTTPRouteGroup", "name": "routes"}]);
    let other = smi(
        "v1alpha4",
        "TrafficTarget",
        "a",
        &json!({"metadata": {"namespace": "bank"}, "spec": {"destination": {"kind": "ServiceAccount", "name": "api"},
            "sources": [{"kind": "ServiceAccount", "name": "web"}], "rules": [{"kind": "TCPRoute", "name": "all"}]}}),
    );
    let all = smi("v1alpha4", "TCPRoute", "all", &json!({"metadata": {"namespace": "bank"}}));
    let objects = [target("b", &rules), target("a", &rules), other, all, routes()];
    let (found, _) = grants(&objects, &[]);
    let names: Vec<_> = found.iter().map(|grant| format!("{}/{}", grant.namespace, grant.name)).collect();
    assert_eq!(names, ["bank/a", "shop/a", "shop/b"]);
    assert_eq!(found[0].destination.namespace, "bank", "it is the target's own unless it says another");
    let mut turned = objects.to_vec();
    turned.reverse();
    assert_eq!(grants(&turned, &[]).0, found);
}

#[test]
fn a_target_stands_with_its_destination() {
    let foreign = json!({"spec": {
        "destination": {"kind": "ServiceAccount", "name": "api", "namespace": "bank"},
        "sources": [{"kind": "ServiceAccount", "name": "web"}],
        "rules": [{"kind": "TCPRoute", "name": "all"}],
    }});
    let objects = [smi("v1alpha4", "TrafficTarget", "it", &foreign), ports("TCPRoute", "all", &json!([]))];
    let (found, findings) = grants(&objects, &[]);
    assert!(found.is_empty());
    assert_eq!(
        (reasons(&findings), findings[0].detail.as_str()),
        (vec![Reason::AccessNotGranted], "destination")
    );
    assert!(findings[0].note.contains("acl.crossNamespaceTargets"), "{}", findings[0].note);
    let (found, findings) = grants(&objects, &["--acl-cross-namespace-targets=true"]);
    assert_eq!((found.len(), findings.len()), (1, 0));
}

#[test]
fn without_rules_or_sources_nothing_is_granted() {
    let (found, findings) = grants(&[target("it", &json!([]))], &[]);
    assert!(found.is_empty() && findings[0].note.contains("acl.emptyRules"), "{findings:?}");
    let (found, findings) = grants(&[target("it", &Value::Null)], &["--acl-empty-rules=allow"]);
    assert_eq!(findings, []);
    assert_eq!((&found[0].tcp, &found[0].udp, &found[0].http), (&Some(vec![]), &Some(vec![]), &None));
    let spec = json!({"spec": {"destination": {"kind": "ServiceAccount", "name": "api"}, "sources": [],
        "rules": [{"kind": "HTTPRouteGroup", "name": "routes", "matches": ["metrics"]}]}});
    let (found, findings) = grants(&[smi("v1alpha4", "TrafficTarget", "it", &spec), routes()], &[]);
    assert!(found.is_empty() && findings.iter().any(|finding| finding.detail == "sources"));
}

#[test]
fn only_what_names_pods_counts() {
    let subject = |kind: &str, group: &str| json!({"kind": kind, "group": group, "name": "web"});
    let binding =
        smi("v1alpha4", "IdentityBinding", "web", &json!({"spec": {"schemes": {"serviceAccount": "web"}}}));
    let source = |source: Value| {
        let spec = json!({"spec": {"destination": {"kind": "ServiceAccount", "name": "api"}, "sources": [source],
            "rules": [{"kind": "TCPRoute", "name": "all"}]}});
        let objects = [
            smi("v1alpha4", "TrafficTarget", "it", &spec),
            ports("TCPRoute", "all", &json!([])),
            binding.clone(),
        ];
        let (grants, findings) = grants(&objects, &[]);
        assert_eq!(grants.is_empty(), findings.len() == 1, "{findings:?}");
        grants.into_iter().next().map(|mut grant| grant.sources.remove(0).kind)
    };
    assert_eq!(source(subject("ServiceAccount", "")), Some(PrincipalKind::ServiceAccount));
    assert_eq!(
        source(subject("IdentityBinding", "access.smi-spec.io")),
        Some(PrincipalKind::IdentityBinding)
    );
    assert_eq!(
        source(subject("IdentityBinding", "")),
        Some(PrincipalKind::IdentityBinding),
        "its group was dropped"
    );
    assert_eq!(source(subject("IdentityBinding", "example.org")), None);
    assert_eq!(source(subject("User", "")), None);
    assert_eq!(source(json!({"kind": "IdentityBinding", "name": "no"})), None);
    assert_eq!(source(json!({"kind": "IdentityBinding", "name": "web", "namespace": "bank"})), None);
}

#[test]
fn nothing_is_controlled_unless_it_is_asked_for() {
    let objects = [target("it", &json!([]))];
    let (topology, findings) = resolved(&objects, &[]);
    assert!(topology.access.is_none() && !topology.wants_callers && findings.is_empty());
    let (topology, _) = resolved(&objects, &[ACL, "--acl-mode=audit"]);
    assert_eq!(topology.access.as_ref().unwrap().mode, AccessMode::Audit);
    let rendered = crate::render::render(&topology, &["mesh".into()], "node-1", None);
    assert_eq!(rendered.access.as_ref(), topology.access.as_deref());
}

#[test]
fn objects_of_namespaces_that_are_left_alone_count_for_nothing() {
    let rules = json!([{"kind": "HTTPRouteGroup", "name": "routes"}]);
    let objects = [target("it", &rules), routes(), smi("v1alpha4", "TrafficTarget", "bad", &json!({}))];
    let (found, findings) = grants(&objects, &["--ignore-namespaces=shop"]);
    assert!(found.is_empty() && findings.is_empty());
    let (found, findings) = grants(&objects, &["--watch-namespaces=shop"]);
    assert_eq!(
        (found.len(), reasons(&findings)),
        (1, vec![Reason::SmiObjectInvalid, Reason::RouteMatchInvalid])
    );
}

#[test]
fn a_name_leads_nowhere_where_access_is_enforced_and_the_mesh_cannot_serve_it() {
    let web = service("shop", "web", json!({}));
    let endpoints = slice("shop", "web", json!([{"addresses": ["10.1.0.5"]}]));
    let snapshot = snapshot(&[web], &[endpoints]);
    let addresses =
        |arguments: &[&str]| resolve(&snapshot, &settings(arguments)).0.services[0].addresses.len();
    assert_eq!((addresses(&[]), addresses(&[ACL]), addresses(&[ACL, "--acl-mode=audit"])), (1, 0, 1));
    let sctp =
        service("shop", "web", json!({"spec": {"ports": [{"name": "a", "port": 80, "protocol": "SCTP"}]}}));
    let snapshot = super::super::tests::snapshot(&[sctp], &[]);
    let note = |arguments: &[&str]| resolve(&snapshot, &settings(arguments)).1[0].note.clone();
    assert!(
        note(&[ACL]).contains("has no address") && note(&[]).contains("past the mesh"),
        "{}",
        note(&[ACL])
    );
}

#[test]
fn a_services_port_where_a_pods_is_meant_is_told() {
    let web = service("shop", "web", json!({}));
    let endpoints = slice("shop", "web", json!([{"addresses": ["10.1.0.5"]}]));
    let pod = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"containers": [], "serviceAccountName": "api"},
        "status": {"phase": "Running", "podIP": "10.1.0.5"}});
    let told = |port: u16| {
        let objects = vec![
            target("it", &json!([{"kind": "TCPRoute", "name": "one"}])),
            ports("TCPRoute", "one", &json!([port])),
        ];
        let pods = vec![Arc::new(serde_json::from_value(pod.clone()).unwrap())];
        let snapshot = Snapshot {
            smi: objects,
            pods,
            ..snapshot(std::slice::from_ref(&web), std::slice::from_ref(&endpoints))
        };
        resolve(&snapshot, &settings(&[ACL])).1
    };
    let found = told(80);
    assert_eq!(reasons(&found), [Reason::AccessNotGranted]);
    assert!(
        found[0].note.starts_with("Port 80 is that of a Service") && found[0].note.contains("on 8080"),
        "{}",
        found[0].note
    );
    assert_eq!((told(8080), told(7)), (vec![], vec![]));
}
