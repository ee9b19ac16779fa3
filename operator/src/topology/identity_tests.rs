//! Whose address is whose, and what binds pods.

use super::super::{
    resolve,
    tests::{merge, reasons, snapshot},
};
use crate::{
    finding::Finding,
    finding::Reason,
    observe::Snapshot,
    smi::Object,
    testing::{settings, smi},
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::sync::Arc;

fn pod(name: &str, address: &str, more: &Value) -> Arc<Pod> {
    let mut object = json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}},
        "spec": {"containers": [], "serviceAccountName": name},
        "status": {"phase": "Running", "podIP": address},
    });
    merge(&mut object, more.clone());
    Arc::new(serde_json::from_value(object).unwrap())
}

/// Each address, with the ServiceAccount and the bindings of its pod.
fn sources(pods: &[Arc<Pod>], smi: &[Arc<Object>]) -> (Vec<String>, Vec<Finding>) {
    let snapshot = Snapshot { pods: pods.to_vec(), smi: smi.to_vec(), ..snapshot(&[], &[]) };
    let (topology, findings) = resolve(&snapshot, &settings(&["--acl=true"]));
    let shown = topology.sources.iter().map(|source| {
        format!(
            "{} {}/{} {}",
            source.address,
            source.namespace,
            source.service_account,
            source.identity_bindings.join(",")
        )
    });
    (shown.collect(), findings)
}

fn binding(name: &str, schemes: &Value) -> Arc<Object> {
    smi("v1alpha4", "IdentityBinding", name, &json!({"spec": {"schemes": schemes}}))
}

#[test]
fn an_address_of_two_pods_is_nobodys_unless_one_of_them_runs() {
    let phase = |phase: &str| json!({"status": {"phase": phase}});
    let (running, pending) = (phase("Running"), phase("Pending"));
    let owners = |pods: &[(&str, &Value)]| {
        let pods: Vec<_> = pods.iter().map(|(name, more)| pod(name, "10.1.0.5", more)).collect();
        let mut turned = pods.clone();
        turned.reverse();
        assert_eq!(sources(&pods, &[]), sources(&turned, &[]));
        sources(&pods, &[]).0
    };
    assert_eq!(owners(&[("a", &running)]), ["10.1.0.5 shop/a "]);
    assert_eq!(owners(&[("a", &pending)]), ["10.1.0.5 shop/a "], "its init containers may call");
    assert_eq!(owners(&[("a", &running), ("b", &pending)]), ["10.1.0.5 shop/a "]);
    assert_eq!(owners(&[("a", &running), ("b", &phase("Succeeded"))]), ["10.1.0.5 shop/a "]);
    assert!(owners(&[("a", &running), ("b", &running)]).is_empty());
    assert!(owners(&[("a", &pending), ("b", &pending)]).is_empty());
    assert!(owners(&[("a", &phase("Failed"))]).is_empty());
    assert!(owners(&[("a", &json!({"spec": {"hostNetwork": true}}))]).is_empty());
    let twin = json!({"spec": {"serviceAccountName": "a"}});
    assert_eq!(owners(&[("a", &running), ("b", &twin)]), ["10.1.0.5 shop/a "], "nothing tells them apart");
}

#[test]
fn one_scheme_of_a_binding_is_enough_and_only_in_its_namespace() {
    let pods = [
        pod("a", "10.1.0.1", &json!({})),
        pod("b", "10.1.0.2", &json!({})),
        pod(
            "c",
            "10.1.0.3",
            &json!({"metadata": {"namespace": "bank"}, "spec": {"serviceAccountName": "a"}}),
        ),
    ];
    let expression = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["b", "x"]}]});
    let (found, findings) = sources(
        &pods,
        &[
            binding("account", &json!({"serviceAccount": "a"})),
            binding("all", &json!({"podLabelSelector": {}})),
            binding("labels", &json!({"podLabelSelector": {"matchLabels": {"app": "a"}}})),
            binding("some", &json!({"podLabelSelector": expression})),
            binding("spiffe", &json!({"spiffeIdentities": ["spiffe://x/ns/shop/sa/b"]})),
            binding(
                "either",
                &json!({"podLabelSelector": {"matchLabels": {"app": "b"}}, "spiffeIdentities": ["x/ns/shop/sa/a"]}),
            ),
        ],
    );
    assert_eq!(findings, []);
    assert_eq!(
        found,
        [
            "10.1.0.1 shop/a account,all,either,labels",
            "10.1.0.2 shop/b all,either,some,spiffe",
            "10.1.0.3 bank/a "
        ]
    );
}

#[test]
fn schemes_that_bind_nothing_are_told() {
    let told = |schemes: &Value| {
        let (_, findings) = sources(&[], &[binding("it", schemes)]);
        assert!(reasons(&findings).iter().all(|reason| *reason == Reason::IdentitySchemeInvalid));
        findings.iter().map(|finding| finding.detail.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&json!({})), ["schemes"]);
    assert_eq!(told(&json!({"jwt": {}})), ["schemes"]);
    assert_eq!(told(&json!({"podLabelSelector": {}, "serviceAccount": "a"})), ["exclusive"]);
    assert_eq!(
        told(&json!({"spiffeIdentities": ["a/b", "x/ns/bank/sa/a", "x/ns/shop/sa/a"]})),
        ["spiffe 0", "spiffe 1"]
    );
}
