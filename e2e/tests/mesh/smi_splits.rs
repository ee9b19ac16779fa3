//! TrafficSplits: who says how much goes where gets just that, over every protocol.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weft_e2e::{
    smi::{SPECS, SPLIT},
    traffic::{ClientPod, Summary},
    wait::{eventually, seconds},
};

/// How far a share may be from its weight.
const OFF: f64 = 0.01;

/// The scene with a second Deployment, `next`, and Services of both for each protocol.
async fn scene(namespace: &str) -> Result<Scene> {
    let scene = Scene::with(namespace, &["--set", "smi.installCRDs=true"]).await?;
    let cluster = &scene.cluster;
    cluster.echo(namespace, "next", 2).await?;
    for pods in ["web", "next"] {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": 8080},
            {"name": "grpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"},
            {"name": "tcp", "port": 9000, "appProtocol": "tcp"},
            {"name": "udp", "port": 9001, "protocol": "UDP"},
        ]);
        cluster.meshed_pods(namespace, pods, pods, ports, &[], "9001 (udp)").await?;
    }
    cluster.rolled_out(namespace, "next").await?;
    Ok(scene)
}

/// What share of answers came from these pods.
fn share(summary: &Summary, pods: &str) -> f64 {
    let count = |name: &str| {
        summary.pods.iter().filter(|(pod, _)| pod.starts_with(name)).map(|(_, count)| count).sum::<u64>()
    };
    #[allow(clippy::cast_precision_loss)] // of thousands
    let share = count(pods) as f64 / summary.ok.max(1) as f64;
    share
}

/// Waits until every request goes to these pods, or none does.
async fn all_go(client: &ClientPod, url: &str, pods: &str) -> Result<()> {
    eventually(&format!("all go to {pods}"), seconds(30), || async {
        let summary = client.get(url, 50).await?;
        summary.all_ok()?;
        ensure!(summary.pods.keys().all(|pod| pod.starts_with(pods)), "{summary:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn weights_hold_over_every_protocol() -> Result<()> {
    let scene = scene("e2e-weights").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    cluster.split(namespace, "web", &[("web", 0), ("next", 1)]).await?;
    all_go(client, &url, "next").await?;
    // The root is one of its own backends, as some programs write it.
    cluster.split(namespace, "web", &[("web", 9), ("next", 1)]).await?;
    eventually("both are called", seconds(30), || async {
        let summary = client.get(&url, 50).await?;
        ensure!(summary.pods.keys().any(|pod| pod.starts_with("web")), "{summary:?}");
        Ok(())
    })
    .await?;
    let host = scene.host("web");
    for (what, call) in [
        ("a request", format!("get {url} --count 10000 --concurrency 8")),
        ("a call of gRPC", format!("grpc http://{host}:9090 --count 10000 --concurrency 8")),
        ("a connection", format!("messages tcp://{host}:9000 --count 2000 --per-line 1 --connections 4")),
        ("a session", format!("messages udp://{host}:9001 --count 2000 --per-line 1 --connections 4")),
    ] {
        let text = format!("{call} --summary");
        let summary = client.summary(&text.split_whitespace().collect::<Vec<_>>()).await?;
        summary.all_ok()?;
        let share = share(&summary, "next");
        ensure!((share - 0.1).abs() <= OFF, "{what}: {share} instead of 0.1: {summary:?}");
    }
    users_stay_on_their_side(&scene).await?;
    cluster.remove(namespace, SPLIT, "TrafficSplit", "web").await?;
    all_go(client, &url, "web").await?;
    scene.strike().await
}

/// How many users there are: enough that by chance all would be on one side once in a million times.
const USERS: usize = 20;

/// Each user has one side, by a cookie that the proxy sets or by a header, and there are users on both.
async fn users_stay_on_their_side(scene: &Scene) -> Result<()> {
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    scene.cluster.split(&scene.namespace, "web", &[("web", 1), ("next", 1)]).await?;
    // What a user sends, and the side that the first answer came from.
    let mut users: Vec<(String, Option<String>)> = Vec::new();
    scene.annotate("split-sticky", "cookie=side").await?;
    let firsts = eventually("every new user gets a cookie", seconds(30), || async {
        let count = USERS.to_string();
        let outcomes = client.outcomes(&["get", &url, "--count", &count, "--json"]).await?;
        for outcome in &outcomes {
            let cookie = outcome.headers.get("set-cookie");
            ensure!(cookie.is_some_and(|cookie| cookie.starts_with("side=")), "{outcome:?}");
        }
        Ok(outcomes)
    })
    .await?;
    for outcome in firsts {
        let cookie = outcome.headers["set-cookie"].split(';').next().unwrap_or_default();
        users.push((format!("cookie:{cookie}"), outcome.said(&["service"]).map(str::to_owned)));
    }
    stay(client, &url, users).await?;
    scene.annotate("split-sticky", "header=x-user").await?;
    eventually("no cookies any more", seconds(30), || async {
        let outcome = client.ask(&url, &[]).await?;
        ensure!(!outcome.headers.contains_key("set-cookie"), "{outcome:?}");
        Ok(())
    })
    .await?;
    stay(client, &url, (0..USERS).map(|number| (format!("x-user:{number}"), None)).collect()).await?;
    scene.annotate("split-sticky", Value::Null).await
}

/// Demands that each of these users is always answered by the same side, the one that is known of it, and that both sides
/// have users.
async fn stay(client: &ClientPod, url: &str, users: Vec<(String, Option<String>)>) -> Result<()> {
    let mut sides = BTreeSet::new();
    for (user, mut known) in users {
        for outcome in client.outcomes(&["get", url, "--count", "20", "--header", &user, "--json"]).await? {
            let side = outcome.said(&["service"]).with_context(|| format!("{user}: {outcome:?}"))?;
            let known = known.get_or_insert_with(|| side.to_owned());
            ensure!(known == side, "{user} is on {known}, and got {side}");
        }
        sides.extend(known);
    }
    ensure!(sides.iter().map(String::as_str).eq(["next", "web"]), "all users are on one side: {sides:?}");
    Ok(())
}

#[tokio::test]
async fn what_matches_is_split_and_the_rest_goes_to_the_root() -> Result<()> {
    let scene = scene("e2e-matches").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    let beta = json!([{"name": "beta", "headers": [{"x-user": "^beta"}]}]);
    cluster.put(namespace, SPECS, "HTTPRouteGroup", "beta", json!({"spec": {"matches": beta}})).await?;
    let spec = json!({"service": "web", "backends": [{"service": "next", "weight": 1}],
                      "matches": [{"kind": "HTTPRouteGroup", "name": "beta"}]});
    cluster.put(namespace, SPLIT, "TrafficSplit", "web", json!({"spec": spec})).await?;
    let beta = ["--header", "x-user:beta-7"];
    eventually("users of the new one get it", seconds(30), || async {
        let outcome = client.ask(&url, &beta).await?;
        ensure!(outcome.said(&["service"]) == Some("next"), "{outcome:?}");
        Ok(())
    })
    .await?;
    for _ in 0..20 {
        let outcome = client.ask(&url, &beta).await?;
        ensure!(outcome.said(&["service"]) == Some("next"), "{outcome:?}");
    }
    all_go(client, &url, "web").await?;
    // All weights are zero: nothing is left for what matches, and that is told.
    let none = json!({"spec": {"service": "web", "backends": [{"service": "next", "weight": 0}],
                               "matches": [{"kind": "HTTPRouteGroup", "name": "beta"}]}});
    cluster.put(namespace, SPLIT, "TrafficSplit", "web", none).await?;
    client.is_answered(&url, &beta, 503).await?;
    cluster.event(namespace, "web", "SplitWithoutBackend", "").await?;
    all_go(client, &url, "web").await?;
    // And for everybody where there are no `matches`; the same where no backend can be used.
    cluster.split(namespace, "web", &[("next", 0), ("web", 0)]).await?;
    client.is_answered(&url, &[], 503).await?;
    cluster.split(namespace, "web", &[("next", 1)]).await?;
    all_go(client, &url, "next").await?;
    cluster.split(namespace, "web", &[("absent", 1)]).await?;
    client.is_answered(&url, &[], 503).await?;
    cluster.event(namespace, "web", "SplitBackendNotUsed", "absent").await?;
    scene.strike().await
}

/// Flagger's and Argo Rollouts' older spellings.
#[tokio::test]
async fn splits_of_every_version_are_served() -> Result<()> {
    let scene = scene("e2e-versions").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    for (version, weight) in [
        ("v1alpha1", Value::from("1000m")),
        ("v1alpha2", 1.into()),
        ("v1alpha3", 1.into()),
        ("v1alpha4", 1.into()),
    ] {
        let backends = json!([{"service": "next", "weight": weight}]);
        let spec = json!({"spec": {"service": "web", "backends": backends}});
        let version = format!("split.smi-spec.io/{version}");
        cluster.put(namespace, &version, "TrafficSplit", "web", spec).await?;
        all_go(client, &url, "next").await?;
        cluster.remove(namespace, &version, "TrafficSplit", "web").await?;
        all_go(client, &url, "web").await?;
    }
    scene.strike().await
}
