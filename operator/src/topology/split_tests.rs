//! The golden cases of what is split.

use super::super::{
    resolve,
    tests::{reasons, service, snapshot},
};
use super::*;
use crate::{
    observe::Snapshot,
    testing::{settings, smi},
};
use serde_json::{Value, json};
use std::sync::Arc;
use weft_contract::HeaderRegex;

type Objects = Vec<Arc<Object>>;

fn named(name: &str) -> Arc<k8s_openapi::api::core::v1::Service> {
    service("shop", name, json!({}))
}

fn split(name: &str, root: &str, backends: &[(&str, u32)], more: &Value) -> Arc<Object> {
    let backends: Vec<_> =
        backends.iter().map(|(service, weight)| json!({"service": service, "weight": weight})).collect();
    let mut object = json!({"spec": {"service": root, "backends": backends}});
    super::super::tests::merge(&mut object, more.clone());
    smi("v1alpha4", "TrafficSplit", name, &object)
}

/// The splits of the Services `a`, `b` and `web`, which is also what `more` says.
fn resolved(smi: Objects, more: &Value) -> (Vec<Option<Split>>, Vec<Finding>) {
    let services = [named("a"), named("b"), service("shop", "web", more.clone())];
    let snapshot = Snapshot { smi, ..snapshot(&services, &[]) };
    let (topology, findings) = resolve(&snapshot, &settings(&[]));
    (topology.services.iter().map(|service| service.split.clone()).collect(), findings)
}

fn of_web(smi: Objects) -> (Option<Split>, Vec<Finding>) {
    let (mut splits, findings) = resolved(smi, &json!({}));
    (splits.remove(2), findings)
}

fn shares(split: &Split) -> Vec<(String, u32)> {
    split.backends.iter().map(|backend| (backend.service.name.clone(), backend.weight)).collect()
}

fn weights(backends: &[(&str, u32)]) -> Vec<(String, u32)> {
    backends.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}

#[test]
fn a_split_is_on_its_root_with_its_weights() {
    let (found, findings) = of_web(vec![split("canary", "web", &[("b", 10), ("a", 90)], &json!({}))]);
    let backend =
        |name, weight| SplitBackend { service: ServiceKey::new("shop", name), weight, ports: vec![80] };
    let wanted = Split {
        name: "canary".into(),
        matches: None,
        backends: vec![backend("a", 90), backend("b", 10)],
        sticky: None,
    };
    assert_eq!((found, findings), (Some(wanted), vec![]));
}

#[test]
fn the_root_may_be_one_of_its_backends() {
    let (found, findings) = of_web(vec![split("rollout", "web", &[("web", 100), ("a", 0)], &json!({}))]);
    assert_eq!((shares(&found.unwrap()), findings), (weights(&[("a", 0), ("web", 100)]), vec![]));
}

#[test]
fn names_may_be_longer() {
    for root in [
        "web",
        "web.shop",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "web.shop.svc.cluster.local.",
        "web.shop.maesh",
    ] {
        let (found, findings) = of_web(vec![split("it", root, &[("a.shop.svc", 1)], &json!({}))]);
        assert_eq!((shares(&found.unwrap()), findings), (weights(&[("a", 1)]), vec![]), "{root}");
    }
    for root in
        ["web.bank", "web.bank.svc", "web.shopping", "web.example.org", "", ".shop", "web.shop.example.org"]
    {
        let (found, findings) = of_web(vec![split("it", root, &[("a", 1)], &json!({}))]);
        assert_eq!((found, reasons(&findings)), (None, vec![Reason::SplitNotUsed]), "{root:?}");
    }
}

#[test]
fn the_oldest_of_several_splits_is_in_force() {
    let aged = |name: &str, day: u32, backend: &str| {
        let created = format!("2026-01-0{day}T00:00:00Z");
        split(name, "web", &[(backend, 1)], &json!({"metadata": {"creationTimestamp": created}}))
    };
    let (found, findings) = of_web(vec![aged("a", 2, "a"), aged("b", 1, "b"), aged("c", 1, "a")]);
    assert_eq!(found.unwrap().name, "b");
    let told: Vec<_> = findings.iter().map(|finding| (finding.reason, finding.about.name.as_str())).collect();
    assert_eq!(told, [(Reason::SplitNotUsed, "a"), (Reason::SplitNotUsed, "c")]);
    assert!(findings[0].note.contains("split by b already"), "{}", findings[0].note);
}

#[test]
fn a_root_that_does_not_exist_is_told() {
    let (found, findings) = of_web(vec![split("it", "no", &[("a", 1)], &json!({}))]);
    assert_eq!((found, reasons(&findings)), (None, vec![Reason::SplitNotUsed]));
}

#[test]
fn a_backend_that_is_still_to_come_is_told_once_it_should_get_traffic() {
    let (found, findings) = of_web(vec![split("it", "web", &[("a", 100), ("next", 0)], &json!({}))]);
    assert_eq!((shares(&found.unwrap()), findings), (weights(&[("a", 100)]), vec![]));
    let (found, findings) = of_web(vec![split("it", "web", &[("a", 50), ("next", 50)], &json!({}))]);
    assert_eq!(
        (shares(&found.unwrap()), reasons(&findings)),
        (weights(&[("a", 50)]), vec![Reason::SplitBackendNotUsed])
    );
    let (found, findings) = of_web(vec![split("it", "web", &[("a", 1), ("b.bank", 1)], &json!({}))]);
    assert_eq!(
        (shares(&found.unwrap()), reasons(&findings)),
        (weights(&[("a", 1)]), vec![Reason::SplitBackendNotUsed])
    );
}

#[test]
fn a_backend_without_a_port_of_the_root_is_left_out_for_that_port() {
    let ports = json!({"spec": {"ports": [{"name": "grpc", "port": 80, "protocol": "TCP"}, {"name": "rest", "port": 9090, "protocol": "TCP"}]}});
    let (mut splits, findings) =
        resolved(vec![split("it", "web", &[("a", 1), ("web", 1)], &json!({}))], &ports);
    let found = splits.remove(2).unwrap();
    let told: Vec<_> = found.backends.iter().map(|backend| backend.ports.clone()).collect();
    assert_eq!(told, [vec![80], vec![80, 9090]]);
    assert_eq!(reasons(&findings), [Reason::SplitBackendNotUsed]);
    assert!(findings[0].note.contains("port 9090"), "{}", findings[0].note);
    // And where no backend has it, nobody answers there.
    let (_, findings) = resolved(vec![split("it", "web", &[("a", 1)], &json!({}))], &ports);
    assert_eq!(reasons(&findings), [Reason::SplitBackendNotUsed, Reason::SplitWithoutBackend]);
    assert_eq!(findings[1].detail, "9090");
}

#[test]
fn a_split_that_cannot_be_used_stands_and_is_told() {
    for backends in [&[][..], &[("a", 0), ("b", 0)], &[("no", 1)]] {
        let (found, findings) = of_web(vec![split("it", "web", backends, &json!({}))]);
        assert!(found.unwrap().backends.iter().all(|backend| backend.weight == 0));
        assert!(reasons(&findings).contains(&Reason::SplitWithoutBackend), "{findings:?}");
    }
}

#[test]
fn weights_that_cannot_be_used_count_as_none() {
    let more = json!({"spec": {"backends": [{"service": "a", "weight": -1}, {"service": "b", "weight": 0.5}, {"service": "web", "weight": 3}]}});
    let (found, findings) = of_web(vec![smi(
        "v1alpha4",
        "TrafficSplit",
        "it",
        &json!({"spec": {"service": "web", "backends": more["spec"]["backends"]}}),
    )]);
    assert_eq!(shares(&found.unwrap()), weights(&[("a", 0), ("b", 0), ("web", 3)]));
    assert_eq!(reasons(&findings), [Reason::SplitBackendNotUsed; 2]);
}

#[test]
fn quantities_keep_their_relation() {
    let split = |one: &str, other: &str| {
        let backends = json!([{"service": "a", "weight": one}, {"service": "b", "weight": other}]);
        let spec = json!({"spec": {"service": "web", "backends": backends}});
        let (found, findings) = of_web(vec![smi("v1alpha1", "TrafficSplit", "it", &spec)]);
        assert_eq!(findings, []);
        let found = shares(&found.unwrap());
        (found[0].1, found[1].1)
    };
    assert_eq!(split("1", "900m"), (1000, 900));
    assert_eq!(split("90", "10"), (90, 10));
    assert_eq!(split("1M", "1"), (1_000_000, 1));
    let (large, small) = split("9e12", "1e12");
    assert!(large.abs_diff(small * 9) <= 9 && small > 0, "{large} {small}");
    assert_eq!(split("9e12", "1").1, 1, "what has a weight keeps one");
}

#[test]
fn a_backend_named_twice_has_both_weights() {
    let (found, _) = of_web(vec![split("it", "web", &[("a", 1), ("a.shop", 2), ("b", 3)], &json!({}))]);
    assert_eq!(shares(&found.unwrap()), weights(&[("a", 3), ("b", 3)]));
}

#[test]
fn a_split_is_never_followed_into_another() {
    let objects = vec![
        split("outer", "web", &[("a", 1)], &json!({})),
        split("inner", "a", &[("b", 1), ("a", 1)], &json!({})),
    ];
    let (splits, findings) = resolved(objects, &json!({}));
    assert_eq!(shares(splits[2].as_ref().unwrap()), weights(&[("a", 1)]));
    assert_eq!(shares(splits[0].as_ref().unwrap()), weights(&[("a", 1), ("b", 1)]));
    assert_eq!((reasons(&findings), findings[0].about.name.as_str()), (vec![Reason::SplitNested], "outer"));
}

fn groups() -> Objects {
    let header = |regex: &str| json!([{"name": "it", "headers": {"user-agent": regex}}]);
    vec![
        smi("v1alpha4", "HTTPRouteGroup", "firefox", &json!({"spec": {"matches": header(".*Firefox.*")}})),
        smi("v1alpha1", "HTTPRouteGroup", "android", &json!({"matches": header(".*Android.*")})),
    ]
}

fn matched(by: &[(&str, &str)], more: &Value) -> (Option<Vec<HttpMatch>>, Vec<Reason>) {
    let by: Vec<_> = by.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect();
    let mut objects = groups();
    objects.push(split("ab-test", "web", &[("a", 0), ("b", 100)], &json!({"spec": {"matches": by}})));
    let (mut splits, findings) = resolved(objects, more);
    (splits.remove(2).unwrap().matches, reasons(&findings))
}

#[test]
fn several_groups_are_one() {
    let agent = |regex: &str| HttpMatch {
        headers: vec![HeaderRegex { name: "user-agent".into(), regex: regex.into() }],
        ..HttpMatch::default()
    };
    let (firefox, android) = (agent(".*Firefox.*"), agent(".*Android.*"));
    let group = "HTTPRouteGroup";
    assert_eq!(matched(&[(group, "firefox")], &json!({})), (Some(vec![firefox.clone()]), vec![]));
    assert_eq!(
        matched(&[(group, "firefox"), (group, "android"), (group, "android")], &json!({})),
        (Some(vec![android, firefox.clone()]), vec![])
    );
    assert_eq!(
        matched(&[(group, "no"), (group, "firefox")], &json!({})),
        (Some(vec![firefox]), vec![Reason::SplitMatchesNotUsed])
    );
    assert_eq!(matched(&[(group, "no")], &json!({})), (Some(vec![]), vec![Reason::SplitMatchesNotUsed]));
    assert_eq!(
        matched(&[("TCPRoute", "firefox")], &json!({})),
        (Some(vec![]), vec![Reason::SplitMatchesNotUsed])
    );
    assert_eq!(matched(&[], &json!({})), (None, vec![]), "an empty list is none");
    let tcp = json!({"metadata": {"annotations": {"weft.mesh/traffic-type": "tcp"}}});
    assert_eq!(matched(&[(group, "firefox")], &tcp).1, [Reason::SplitMatchesNotUsed]);
}

#[test]
fn what_keeps_a_user_on_one_side_is_an_annotation_of_the_root() {
    let sticky = |value: &str, more: &Value| {
        let mut object = json!({"metadata": {"annotations": {"weft.mesh/split-sticky": value}}});
        super::super::tests::merge(&mut object, more.clone());
        let (mut splits, findings) = resolved(vec![split("it", "web", &[("a", 1)], &json!({}))], &object);
        (splits.remove(2).unwrap().sticky, reasons(&findings))
    };
    assert_eq!(sticky("cookie=side", &json!({})), (Some(SplitSticky::Cookie("side".into())), vec![]));
    assert_eq!(sticky("header=X-User", &json!({})), (Some(SplitSticky::Header("x-user".into())), vec![]));
    assert_eq!(sticky("side", &json!({})), (None, vec![Reason::AnnotationInvalid]));
    let same = json!({"metadata": {"annotations": {"weft.mesh/sticky-cookie": "side"}}});
    assert_eq!(sticky("cookie=side", &same), (None, vec![Reason::AnnotationUnused]));
    let tcp = json!({"metadata": {"annotations": {"weft.mesh/traffic-type": "tcp"}}});
    assert_eq!(sticky("cookie=side", &tcp), (None, vec![Reason::AnnotationUnused]));
}
