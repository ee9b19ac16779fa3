//! Rollouts under load of every kind: not one request fails.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{Node, Pod},
};
use kube::{Api, ResourceExt, api::EvictParams, api::Patch, api::PatchParams};
use serde_json::json;
use weft_e2e::{
    mesh::NAMESPACE,
    mix::{Kind, Mix},
    wait::{eventually, seconds},
    workload::node,
};

/// How long the clients run while the backend changes: what is done to it takes half of that.
const BACKEND_SECONDS: u32 = 90;
/// How long they run while the proxies roll. Streams and WebSockets that last hold each until it cuts them off.
const PROXIES_SECONDS: u32 = 150;
/// How many requests a rollout of the proxies must not lose one of.
const REQUESTS: u64 = 100_000;

#[tokio::test]
async fn the_backend_scales_rolls_and_leaves_a_node_without_a_failed_request() -> Result<()> {
    let scene = Scene::set("e2e-backend").await?;
    scene.grpc(false).await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let mix = Mix::start(scene.clients.values(), &scene.targets(), BACKEND_SECONDS);
    for replicas in [6, 3] {
        cluster.merge::<Deployment>(namespace, "web", json!({"spec": {"replicas": replicas}})).await?;
        cluster.rolled_out(namespace, "web").await?;
    }
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": "1"}}}}});
    cluster.merge::<Deployment>(namespace, "web", restart).await?;
    cluster.rolled_out(namespace, "web").await?;
    let pods = cluster.pods(namespace, "app=web").await?;
    let drained = &pods.iter().find_map(node).context("no pod has a node")?;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let cordon = |cordoned: bool| {
        let change = json!({"spec": {"unschedulable": cordoned}});
        async {
            let change = Patch::Merge(change);
            nodes.patch(drained, &PatchParams::default(), &change).await
        }
    };
    cordon(true).await?;
    let left = leave(&scene, drained).await;
    cordon(false).await?; // whatever became of it, for the tests after this one
    left?;
    ensure!(mix.runs(), "the clients ended before the backend was done");
    mix.all_ok().await?;
    scene.strike().await
}

/// Evicts the pods of `web` from a node, as `kubectl drain` does, and waits until others have taken their place.
async fn leave(scene: &Scene, drained: &str) -> Result<()> {
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let on_it = || async {
        let pods = cluster.pods(namespace, "app=web").await?;
        let there = pods.iter().filter(|pod| node(pod).as_deref() == Some(drained));
        anyhow::Ok(there.map(ResourceExt::name_any).collect::<Vec<_>>())
    };
    let pods = on_it().await?;
    ensure!(!pods.is_empty(), "no pod on {drained}");
    for pod in pods {
        cluster.api::<Pod>(namespace).evict(&pod, &EvictParams::default()).await?;
    }
    cluster.rolled_out(namespace, "web").await?;
    let left = on_it().await?;
    ensure!(left.is_empty(), "{left:?} came back to {drained}");
    Ok(())
}

#[tokio::test]
async fn the_proxies_roll_without_a_failed_request_of_a_hundred_thousand() -> Result<()> {
    let scene = Scene::set("e2e-proxies").await?;
    scene.grpc(true).await?;
    let cluster = &scene.cluster;
    let mix = Mix::start(scene.clients.values(), &scene.targets(), PROXIES_SECONDS);
    let restart =
        json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": scene.namespace}}}}});
    cluster.merge::<DaemonSet>(NAMESPACE, "weft-proxy", restart).await?;
    eventually("the proxies roll", seconds(PROXIES_SECONDS.into()), || async {
        let proxies = cluster.api::<DaemonSet>(NAMESPACE).get("weft-proxy").await?;
        let status = proxies.status.unwrap_or_default();
        let done = status.observed_generation >= proxies.metadata.generation
            && status.updated_number_scheduled == Some(status.desired_number_scheduled)
            && status.number_ready == status.desired_number_scheduled;
        ensure!(done, "{status:?}");
        Ok(())
    })
    .await?;
    ensure!(mix.runs(), "the clients ended before the proxies were done");
    let sent = mix.all_ok().await?;
    let nodes = u64::try_from(scene.clients.len()).context("nodes")?;
    let rate: u64 = Kind::ALL.iter().map(|kind| u64::from(kind.rate())).sum();
    ensure!(
        sent >= REQUESTS,
        "{sent} requests, where {nodes} nodes at {rate} a second should make more than {REQUESTS}"
    );
    scene.strike().await
}
