//! Annotations: what cannot be read or served never takes a Service down.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use weft_e2e::wait::{eventually, seconds};

fn annotation(key: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {key: value.into()}}})
}

#[tokio::test]
async fn a_bad_value_is_told_and_the_last_good_one_serves_on() -> Result<()> {
    let scene = Scene::set("e2e-annotations").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (node, client) = scene.first()?;
    let load = client.load(&scene.url("web"), 50, 15);
    cluster.merge::<Service>(namespace, "web", annotation("weft.mesh/traffic-type", "htpp")).await?;
    let told = cluster.event(namespace, "web", "AnnotationInvalid", "htpp").await?;
    ensure!(told.type_.as_deref() == Some("Warning"), "{told:?}");
    ensure!(
        told.note.as_deref().unwrap_or_default().contains("the default (what the port's appProtocol says"),
        "{told:?}"
    );
    load.await??.all_ok()?;

    cluster.service(namespace, "ledger", &[("tcp", 9000, 9000)]).await?;
    let selector = json!({"spec": {"selector": {"app": "web"}}});
    cluster.merge::<Service>(namespace, "ledger", selector).await?;
    cluster.merge::<Service>(namespace, "ledger", annotation("weft.mesh/traffic-type", "tcp")).await?;
    cluster.event(namespace, "ledger", "MeshReady", "9000 (tcp)").await?;
    cluster.merge::<Service>(namespace, "ledger", annotation("weft.mesh/traffic-type", "tpc")).await?;
    cluster.event(namespace, "ledger", "AnnotationInvalid", "\"tcp\" is in force").await?;
    client.run(&["tcp", &format!("ledger.{namespace}.mesh:9000"), "--bytes", "1000"]).await?;
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}

#[tokio::test]
async fn a_service_that_cannot_be_served_answers_at_its_own_address() -> Result<()> {
    let scene = Scene::set("e2e-unserved").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (_, client) = scene.first()?;
    let http = json!({"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"});
    let sctp = json!({"name": "sctp", "port": 81, "targetPort": 81, "protocol": "SCTP"});
    let ports = |ports: &[&Value]| json!({"spec": {"ports": ports}});
    cluster.merge::<Service>(namespace, "web", ports(&[&http, &sctp])).await?;
    cluster.event(namespace, "web", "PortNotServed", "81/SCTP").await?;
    let own = cluster.api::<Service>(namespace).get("web").await?.spec.and_then(|spec| spec.cluster_ip);
    eventually("the name leads past the mesh", seconds(30), || async {
        let printed = client.run(&["resolve", &format!("web.{namespace}.mesh"), "--type", "A"]).await?;
        ensure!(own.as_deref().is_some_and(|own| printed.contains(own)), "{printed} {own:?}");
        client.get(&scene.url("web"), 3).await?.all_ok()
    })
    .await?;
    cluster.merge::<Service>(namespace, "web", ports(&[&http])).await?;
    let (node, client) = scene.first()?;
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}

#[tokio::test]
async fn services_left_out_by_a_full_range_work_and_are_served_when_a_port_frees() -> Result<()> {
    let scene = Scene::set("e2e-exhausted").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let only = ["--set", &format!("watchNamespaces={{{namespace}}}")];
    cluster
        .install(&[
            "--reset-values",
            only[0],
            only[1],
            "--set",
            "listenerPorts.first=20000,listenerPorts.last=20000",
        ])
        .await?;
    let (node, client) = scene.first()?;
    client.goes_through(&scene.url("web"), node).await?;
    cluster.service(namespace, "second", &[("http", 80, 8080)]).await?;
    cluster.merge::<Service>(namespace, "second", json!({"spec": {"selector": {"app": "web"}}})).await?;
    cluster.event(namespace, "second", "PortsExhausted", "20000-20000").await?;
    eventually("it works past the mesh", seconds(30), || async {
        client.get(&scene.url("second"), 3).await?.all_ok()
    })
    .await?;
    cluster.api::<Service>(namespace).delete("web", &Default::default()).await?;
    client.goes_through(&scene.url("second"), node).await?;
    scene.strike().await
}
