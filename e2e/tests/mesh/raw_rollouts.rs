//! Rollouts below long TCP connections: nobody cuts them short.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::Pod,
};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use weft_e2e::{
    cluster::Cluster,
    mesh::{NAMESPACE, PROXY},
    programs::Shell,
    wait::{eventually, seconds},
    workload::{address, node},
};

fn restart() -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": "raw"}}}}})
}

#[tokio::test]
async fn connections_to_pods_that_are_replaced_come_to_their_own_end() -> Result<()> {
    let scene = Scene::set("e2e-raw-backend").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    ledger(&scene).await?;
    // Each of 3 s, which the echo server lets finish when it is told to go. The client opens no connection that ends
    // before its time without counting a failure.
    let text = format!(
        "messages tcp://{}:9000 --connections 5 --count 2500 --interval 100ms --per-line 30 --summary",
        scene.host("ledger")
    );
    let talking: Vec<_> = scene
        .clients
        .values()
        .map(|client| client.start(text.split_whitespace().map(str::to_owned).collect()))
        .collect();
    cluster.merge::<Deployment>(namespace, "web", restart()).await?;
    cluster.rolled_out(namespace, "web").await?;
    ensure!(talking.iter().all(|client| !client.is_finished()), "the clients ended before the rollout");
    let pods = scene.pods().await?;
    for talking in talking {
        let summary = talking.await??;
        summary.all_ok()?;
        let (new, old): (Vec<_>, Vec<_>) = summary.pods.keys().partition(|pod| pods.contains_key(*pod));
        ensure!(!new.is_empty() && !old.is_empty(), "new {new:?}, old {old:?}: {summary:?}");
    }
    scene.strike().await
}

/// A Service `ledger` of TCP in front of the pods of `web`.
async fn ledger(scene: &Scene) -> Result<()> {
    let ports = json!([{"name": "echo", "port": 9000}]);
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    cluster.meshed_pods(namespace, "ledger", "web", ports, &[("traffic-type", "tcp")], "9000 (tcp)").await
}

/// How long a proxy that goes carries what it has.
const GRACE: u64 = 40;
/// How much of that must have passed before a connection is cut: it is looked at now and then only.
const SOONEST: u64 = 35;

#[tokio::test]
async fn connections_have_the_whole_grace_of_a_proxy_and_new_ones_go_to_the_next() -> Result<()> {
    let scene = Scene::with("e2e-raw-proxies", &["--set", &format!("proxy.drainDeadline={GRACE}s")]).await?;
    let cluster = &scene.cluster;
    ledger(&scene).await?;
    let (node, client) = scene.first()?;
    let old = eventually("only the proxies of now are there", seconds(90), || async {
        let there = proxies(cluster, node).await?;
        ensure!(there.len() == 1, "{} on {node}", there.len());
        there.into_iter().next().context("none")
    })
    .await?;
    let (old_name, old_address) = (old.name_any(), address(&old).context("no address")?);
    let subscriber = Subscriber::listen(&scene).await?;
    let (id, from) = eventually("somebody listens", seconds(20), || subscriber.heard()).await?;
    ensure!(from.starts_with(&format!("addr={old_address}:")), "{from} is not {old_address}");

    let place = format!("tcp://{}:9000", scene.host("ledger"));
    let text =
        format!("messages {place} --connections 2 --per-line 1 --count 2400 --interval 50ms --summary");
    let fresh = client.start(text.split_whitespace().map(str::to_owned).collect());
    cluster.merge::<DaemonSet>(NAMESPACE, "weft-proxy", restart()).await?;
    eventually("the old proxy is told to go", seconds(180), || async {
        let there = proxies(cluster, node).await?;
        let old = there.iter().find(|pod| pod.name_any() == old_name).context("it is gone already")?;
        ensure!(old.metadata.deletion_timestamp.is_some(), "not yet");
        Ok(())
    })
    .await?;
    let told = Instant::now();
    let new_ones = || async {
        let summary =
            client.summary(&["messages", &place, "--count", "10", "--per-line", "1", "--summary"]).await?;
        summary.all_ok()?;
        let new = cluster.proxy_address(node).await?;
        ensure!(new != old_address && summary.peers.keys().eq([&new]), "{summary:?} instead of {new}");
        Ok(())
    };
    eventually("new connections go through the new proxy", seconds(3), new_ones).await?;
    let counted = client.metrics_of(&old_address, &["weft_drain_connections_total", "established"]).await?;
    ensure!(!counted.is_empty(), "connections of a proxy that goes are not counted");
    while told.elapsed() < seconds(SOONEST) {
        let (now, _) = subscriber.heard().await.with_context(|| format!("cut after {:?}", told.elapsed()))?;
        ensure!(now == id && !subscriber.held.is_finished(), "connected anew after {:?}", told.elapsed());
        new_ones().await?;
    }
    eventually("at the end of the grace it is cut", seconds(GRACE - SOONEST + 10), || async {
        ensure!(subscriber.held.is_finished() && subscriber.heard().await.is_err(), "it is still there");
        Ok(())
    })
    .await?;
    fresh.await??.all_ok()?;
    scene.strike().await
}

/// A connection to Redis through the proxy of the first node, which stays open as long as it may.
struct Subscriber {
    held: JoinHandle<Result<(bool, String)>>,
    redis: Shell,
}

impl Subscriber {
    async fn listen(scene: &Scene) -> Result<Self> {
        let (cluster, namespace) = (&scene.cluster, &scene.namespace);
        let server = "exec redis-server --port 6379 --save '' --protected-mode no";
        cluster.program(namespace, "redis", 1, Some(6379), server).await?;
        let (_, shell) = scene.shell().await?;
        cluster.rolled_out(namespace, "redis").await?;
        let ports = json!([{"name": "redis", "port": 6379}]);
        cluster.meshed(namespace, "redis", ports, &[("traffic-type", "tcp")], "6379 (tcp)").await?;
        let (_, redis) = cluster.shells_in(namespace, "app=redis").await?.pop_first().context("no Redis")?;
        let script = format!("redis-cli -h {} subscribe news >/tmp/news 2>&1", scene.host("redis"));
        Ok(Self { held: tokio::spawn(async move { shell.attempt(&script).await }), redis })
    }

    /// What Redis says of it, asked past the mesh: which connection it is, and from where.
    async fn heard(&self) -> Result<(String, String)> {
        let clients = self.redis.run("redis-cli client list type pubsub").await?;
        let word =
            |start: &str| clients.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned);
        Ok((word("id=").context("nobody listens")?, word("addr=").context("no address")?))
    }
}

/// The proxies on a node, those on their way out too.
async fn proxies(cluster: &Cluster, wanted: &str) -> Result<Vec<Pod>> {
    let pods = cluster.api::<Pod>(NAMESPACE).list(&ListParams::default().labels(PROXY)).await?;
    Ok(pods.items.into_iter().filter(|pod| node(pod).as_deref() == Some(wanted)).collect())
}
