//! A node's proxy dies: its clients go through another node's, and come back.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use weft_e2e::{
    mesh::NAMESPACE,
    mix::Mix,
    process,
    wait::{eventually, seconds},
};

#[tokio::test]
async fn when_a_proxy_is_killed_traffic_goes_through_another_within_five_seconds() -> Result<()> {
    let scene = Scene::set("e2e-killed").await?;
    let (node, client) = scene.first()?;
    client.goes_through(&scene.url("web"), node).await?;
    let pod = scene.cluster.proxy_on(node).await?;
    let variable = format!("WEFT_POD_NAME={pod}");
    process::kill("/weft-proxy", &variable).await?;
    let killed = Instant::now();
    // Killed again whenever it comes back, so that it stays down for as long as the test looks.
    let killer = tokio::spawn(async move {
        let end = Instant::now() + seconds(20);
        while Instant::now() < end {
            let _ = process::kill("/weft-proxy", &variable).await; // mostly it is not there
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    eventually("an answer through another proxy", seconds(5), || async {
        let summary = client.get(&scene.url("web"), 1).await?;
        summary.all_ok()?;
        let peer = summary.peers.keys().next().context("no peer")?;
        let proxies = scene.cluster.proxies().await?;
        ensure!(proxies.get(peer).is_some_and(|of| of != node), "{peer} of {proxies:?}");
        Ok(())
    })
    .await?;
    ensure!(killed.elapsed() < seconds(5), "{:?}", killed.elapsed());
    killer.await?;
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}

/// How long clients of a node whose proxy is killed may see errors.
const LONGEST_MS: f64 = 3000.0;

#[tokio::test]
async fn when_a_proxy_is_killed_its_clients_see_errors_for_at_most_three_seconds() -> Result<()> {
    let scene = Scene::set("e2e-window").await?;
    scene.grpc(false).await?;
    let (node, client) = scene.first()?;
    client.goes_through(&scene.url("web"), node).await?;
    let pod = scene.cluster.proxy_on(node).await?;
    let requests = async || {
        let lines = client.metrics(node, &["requests_total", &scene.namespace]).await?;
        let counts = lines.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        anyhow::Ok(counts.fold(0.0, |sum, count| sum + count))
    };
    let before = requests().await?;
    let mix = Mix::start(std::iter::once(client), &scene.targets(), 25);
    eventually("the clients are at it", seconds(15), || async {
        let now = requests().await?;
        ensure!(now > before + 300.0 && mix.runs(), "{now} requests, {before} before");
        Ok(())
    })
    .await?;
    process::kill("/weft-proxy", &format!("WEFT_POD_NAME={pod}")).await?;
    for (kind, sum) in mix.end().await? {
        println!("{kind:?}: {} of {} failed, within {:.0} ms", sum.failed, sum.sent, sum.failing_ms);
        ensure!(sum.ok > 0 && sum.failing_ms <= LONGEST_MS, "{kind:?}: {sum:?}");
    }
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}

#[tokio::test]
async fn a_node_that_goes_takes_its_configmap_with_it() -> Result<()> {
    let scene = Scene::set("e2e-node").await?;
    let nodes: Api<Node> = Api::all(scene.cluster.client.clone());
    let _ = nodes.delete("e2e-fake", &DeleteParams::default()).await; // of a run that was broken off
    let fake = json!({"metadata": {"name": "e2e-fake", "labels": {"weft.mesh/e2e-fake": ""}},
                      "spec": {"taints": [{"key": "weft.mesh/e2e-fake", "effect": "NoSchedule"}], "unschedulable": true}});
    nodes.create(&PostParams::default(), &serde_json::from_value(fake)?).await?;
    let configmaps = scene.cluster.api::<ConfigMap>(NAMESPACE);
    let name = weft_contract::object::configmap_name("e2e-fake");
    eventually("its ConfigMap comes", seconds(20), || async { Ok(configmaps.get(&name).await?) }).await?;
    nodes.delete("e2e-fake", &DeleteParams::default()).await?;
    eventually("its ConfigMap goes", seconds(60), || async {
        ensure!(configmaps.get_opt(&name).await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    scene.strike().await
}
