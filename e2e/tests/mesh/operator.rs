//! The operator dies: nothing that works stops working, and nothing is lost or leaked meanwhile.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use weft_e2e::{
    mesh::{NAMESPACE, OPERATOR},
    wait::{eventually, seconds},
};

async fn scale(scene: &Scene, replicas: u32) -> Result<()> {
    scene
        .cluster
        .merge::<Deployment>(NAMESPACE, "weft-operator", json!({"spec": {"replicas": replicas}}))
        .await?;
    eventually("the operator scales", seconds(60), || async {
        let pods = scene
            .cluster
            .api::<Pod>(NAMESPACE)
            .list(&kube::api::ListParams::default().labels(OPERATOR))
            .await?;
        ensure!(pods.items.len() == replicas as usize, "{} pods", pods.items.len());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn traffic_flows_without_the_operator_also_through_a_proxy_that_restarts_meanwhile() -> Result<()> {
    let scene = Scene::set("e2e-absent").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let load: Vec<_> = scene.clients.values().map(|client| client.load(&scene.url("web"), 50, 60)).collect();
    for pod in cluster.pods(NAMESPACE, OPERATOR).await? {
        let at_once = DeleteParams::default().grace_period(0);
        cluster.api::<Pod>(NAMESPACE).delete(&pod.name_any(), &at_once).await?;
    }
    scale(&scene, 0).await?;
    let (node, client) = scene.first()?;
    let before = cluster.proxy_on(node).await?;
    cluster.api::<Pod>(NAMESPACE).delete(&before, &DeleteParams::default()).await?;
    eventually("a new proxy is ready", seconds(60), || async {
        ensure!(cluster.proxy_on(node).await? != before, "still the old one");
        Ok(())
    })
    .await?;
    client.goes_through(&scene.url("web"), node).await?;
    // A Service goes while nobody watches.
    cluster.service(namespace, "orphan", &[("http", 80, 8080)]).await?;
    for load in load {
        load.await??.all_ok()?;
    }
    scale(&scene, 2).await?;
    cluster.mesh_ready(namespace, "orphan").await?;
    scale(&scene, 0).await?;
    let shadows = cluster.shadows().await?.len();
    cluster.api::<Service>(namespace).delete("orphan", &DeleteParams::default()).await?;
    scale(&scene, 2).await?;
    eventually("its shadow Service goes", seconds(60), || async {
        let left = cluster.shadows().await?.len();
        ensure!(left == shadows - 1, "{left} of {shadows}");
        Ok(())
    })
    .await?;
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}

#[tokio::test]
async fn another_replica_takes_over_and_target_ports_stay() -> Result<()> {
    let scene = Scene::set("e2e-leader").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let holder = || async {
        let lease = cluster.api::<Lease>(NAMESPACE).get("weft-operator").await?;
        anyhow::Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
    };
    let ports = || async {
        let spec =
            |shadow: &Service| (shadow.name_any(), shadow.spec.as_ref().and_then(|spec| spec.ports.clone()));
        anyhow::Ok(cluster.shadows().await?.iter().map(spec).collect::<Vec<_>>())
    };
    let (leader, before) = (holder().await?, ports().await?);
    cluster.api::<Pod>(NAMESPACE).delete(&leader, &DeleteParams::default().grace_period(0)).await?;
    eventually("another leads", seconds(60), || async {
        let now = holder().await?;
        ensure!(!now.is_empty() && now != leader, "{now}");
        Ok(())
    })
    .await?;
    cluster.service(namespace, "later", &[("http", 80, 8080)]).await?;
    cluster.mesh_ready(namespace, "later").await?;
    let after = ports().await?;
    ensure!(before.iter().all(|shadow| after.contains(shadow)), "{before:?} {after:?}");
    scene.strike().await
}

#[tokio::test]
async fn edits_by_hand_are_put_right() -> Result<()> {
    let scene = Scene::set("e2e-healed").await?;
    let cluster = &scene.cluster;
    let (node, client) = scene.first()?;
    let configmap = weft_contract::object::configmap_name(node);
    cluster
        .merge::<ConfigMap>(NAMESPACE, &configmap, json!({"data": {"configuration.json": "{\"schema\": 1"}}))
        .await?;
    eventually("the ConfigMap is put right", seconds(20), || async {
        let found = cluster.api::<ConfigMap>(NAMESPACE).get(&configmap).await?;
        let text = found.data.and_then(|mut data| data.remove("configuration.json")).unwrap_or_default();
        ensure!(text.ends_with('}') && text.len() > 100, "{text}");
        Ok(())
    })
    .await?;
    for shadow in cluster.shadows().await? {
        cluster.api::<Service>(NAMESPACE).delete(&shadow.name_any(), &DeleteParams::default()).await?;
    }
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}
