//! Rollouts under load: not one request fails.

use crate::scene::Scene;
use anyhow::Result;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use serde_json::json;
use weft_e2e::{
    mesh::NAMESPACE,
    wait::{eventually, seconds},
};

#[tokio::test]
async fn the_backend_scales_and_rolls_without_a_failed_request() -> Result<()> {
    let scene = Scene::set("e2e-backend").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let load: Vec<_> = scene.clients.values().map(|client| client.load(&scene.url("web"), 100, 60)).collect();
    for replicas in [6, 2] {
        cluster.merge::<Deployment>(namespace, "web", json!({"spec": {"replicas": replicas}})).await?;
        cluster.rolled_out(namespace, "web").await?;
    }
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": "1"}}}}});
    cluster.merge::<Deployment>(namespace, "web", restart).await?;
    cluster.rolled_out(namespace, "web").await?;
    for load in load {
        load.await??.all_ok()?;
    }
    scene.strike().await
}

#[tokio::test]
async fn the_proxies_roll_without_a_failed_request() -> Result<()> {
    let scene = Scene::set("e2e-proxies").await?;
    let cluster = &scene.cluster;
    let load: Vec<_> = scene.clients.values().map(|client| client.load(&scene.url("web"), 50, 120)).collect();
    let restart =
        json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": scene.namespace}}}}});
    cluster.merge::<DaemonSet>(NAMESPACE, "weft-proxy", restart).await?;
    eventually("the proxies roll", seconds(180), || async {
        let proxies = cluster.api::<DaemonSet>(NAMESPACE).get("weft-proxy").await?;
        let status = proxies.status.unwrap_or_default();
        let done = status.observed_generation >= proxies.metadata.generation
            && status.updated_number_scheduled == Some(status.desired_number_scheduled)
            && status.number_ready == status.desired_number_scheduled;
        anyhow::ensure!(done, "{status:?}");
        Ok(())
    })
    .await?;
    for load in load {
        load.await??.all_ok()?;
    }
    scene.strike().await
}
