//! Which ports are closed.

use super::super::{
    resolve,
    tests::{merge, service, slice, snapshot},
};
use super::*;
use crate::testing::settings;
use serde_json::{Value, json};
use std::sync::Arc;

fn selecting(name: &str, more: &Value) -> Arc<k8s_openapi::api::core::v1::Service> {
    let mut object = json!({"spec": {"selector": {"app": name}}});
    merge(&mut object, more.clone());
    service("shop", name, object)
}

/// The walls, as the first label they select by and their ports.
fn walls(
    services: &[Arc<k8s_openapi::api::core::v1::Service>],
    slices: &[Arc<k8s_openapi::api::discovery::v1::EndpointSlice>],
    arguments: &[&str],
) -> Vec<String> {
    let (topology, _) = resolve(&snapshot(services, slices), &settings(arguments));
    let shown = |wall: &Wall| {
        let ports: Vec<_> =
            wall.ports.iter().map(|(transport, port)| format!("{port}/{}", transport.kubernetes())).collect();
        format!("{} {}", wall.selector["app"], ports.join(" "))
    };
    topology.walls.iter().map(shown).collect()
}

const ON: [&str; 2] = ["--acl=true", "--acl-network-policies=true"];

#[test]
fn there_are_none_unless_they_are_asked_for() {
    let web = [selecting("web", &json!({}))];
    assert!(walls(&web, &[], &[]).is_empty());
    assert!(walls(&web, &[], &["--acl=true"]).is_empty());
    assert!(walls(&web, &[], &["--acl-network-policies=true"]).is_empty());
    assert_eq!(walls(&web, &[], &ON), ["web 8080/TCP"]);
}

#[test]
fn ports_are_those_of_the_pods() {
    let named =
        json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}]}});
    let plain =
        json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": null}]}});
    let endpoints = [slice("shop", "web", json!([{"addresses": ["10.1.0.5"]}]))];
    assert_eq!(walls(&[selecting("web", &named)], &endpoints, &ON), ["web 8080/TCP"]);
    assert!(walls(&[selecting("web", &named)], &[], &ON).is_empty(), "nobody is there to be reached");
    assert_eq!(walls(&[selecting("web", &plain)], &[], &ON), ["web 80/TCP"]);
    let none = json!({"spec": {"selector": null}});
    assert!(walls(&[selecting("web", &none)], &endpoints, &ON).is_empty());
}

#[test]
fn services_with_a_pod_in_common_close_each_others_ports() {
    let other =
        json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 9090}]}});
    let services = [
        selecting("a", &json!({})),
        selecting("b", &other),
        selecting(
            "c",
            &json!({"spec": {"ports": [{"name": "http", "port": 7, "protocol": "TCP", "targetPort": 7}]}}),
        ),
        selecting("d", &json!({})),
    ];
    let addresses = |name: &str, addresses: &[&str]| {
        let endpoints: Vec<_> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
        slice("shop", name, json!(endpoints))
    };
    let slices = [
        addresses("a", &["10.1.0.1"]),
        addresses("b", &["10.1.0.2", "10.1.0.1"]),
        addresses("c", &["10.1.0.2"]),
        addresses("d", &["10.1.0.4"]),
    ];
    let all = "7/TCP 8080/TCP 9090/TCP";
    assert_eq!(
        walls(&services, &slices, &ON),
        [format!("a {all}"), format!("b {all}"), format!("c {all}"), "d 8080/TCP".to_owned()]
    );
}
