//! The steps of the conformance suite of the Service Mesh Interface (Layer5's), by the mesh name.
//!
//! The suite itself cannot run on a cluster of today: it demands CRDs of an API version that is gone, and two of its objects
//! lose fields to the CRDs of now. Its three parts are here, in its order; where it has one step to bring up a program and
//! another to see it run, both are one line.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use serde_json::json;
use weft_e2e::{
    cluster::Cluster,
    smi::{SPECS, Target},
    traffic::{ClientPod, Summary, until_spread},
    wait::{eventually, seconds},
};

/// The port that the suite's program has.
const PORT: u16 = 9091;
/// How many requests the suite sends to see how they are split.
const REQUESTS: u32 = 50;

/// Two programs, each under a ServiceAccount of its own, where access is controlled.
async fn two_apps(namespace: &str) -> Result<(Cluster, ClientPod)> {
    let cluster = Cluster::connect().await?;
    cluster
        .install(&["--reset-values", "--set", "smi.installCRDs=true", "--set", "acl.enabled=true"])
        .await?;
    cluster.fresh_namespace(namespace).await?;
    for app in ["app-a", "app-b"] {
        cluster.account(namespace, app).await?;
        cluster.echo_as(namespace, app, 1, app).await?;
        cluster.service(namespace, app, &[("http", PORT, 8080)]).await?;
    }
    for app in ["app-a", "app-b"] {
        cluster.rolled_out(namespace, app).await?;
        cluster.mesh_ready(namespace, app).await?;
    }
    let caller = app(&cluster, namespace, "app-a").await?;
    Ok((cluster, caller))
}

/// The pod of a program, which calls others.
async fn app(cluster: &Cluster, namespace: &str, name: &str) -> Result<ClientPod> {
    let pod = cluster.pods(namespace, &format!("app={name}")).await?.pop().context("no pod")?;
    let pod = pod.metadata.name.context("no name")?;
    Ok(ClientPod { cluster: cluster.clone(), namespace: namespace.to_owned(), pod })
}

#[tokio::test]
async fn traffic_access() -> Result<()> {
    let namespace = "e2e-steps-access";
    let (cluster, caller) = two_apps(namespace).await?;
    let url = format!("http://app-b.{namespace}.mesh:{PORT}/echo");
    // 3. Blocked by default.
    caller.is_answered(&url, &[], 403).await?;
    // 4 and 5. A TrafficTarget with a TCPRoute without ports opens all of it; one request arrives once.
    cluster
        .put(namespace, SPECS, "TCPRoute", "tcp-route", json!({"spec": {"matches": {"ports": []}}}))
        .await?;
    let target = Target {
        name: "traffic-target",
        destination: "app-b",
        sources: &["app-a"],
        rules: &[("TCPRoute", "tcp-route")],
    };
    cluster.target(namespace, &target).await?;
    caller.is_answered(&url, &[], 200).await?;
    let who = format!("http://app-b.{namespace}.mesh:{PORT}/");
    let once = caller.summary(&["get", &who, "--summary"]).await?;
    ensure!(once.ok == 1 && once.pods.len() == 1, "{once:?}");
    ensure!(once.pods.keys().all(|pod| pod.starts_with("app-b")), "{once:?}");
    // 6 and 7. Blocked again when it is gone.
    cluster.remove(namespace, weft_e2e::smi::ACCESS, "TrafficTarget", "traffic-target").await?;
    caller.is_answered(&url, &[], 403).await?;
    cluster.delete_namespace(namespace).await
}

#[tokio::test]
async fn traffic_spec() -> Result<()> {
    let namespace = "e2e-steps-spec";
    let (cluster, caller) = two_apps(namespace).await?;
    let [metrics, echo] =
        ["metrics", "echo"].map(|path| format!("http://app-b.{namespace}.mesh:{PORT}/{path}"));
    let group = async |name: &str, path: &str, methods: &[&str]| {
        let matches = json!([{"name": name, "pathRegex": path, "methods": methods}]);
        let group = json!({"spec": {"matches": matches}});
        cluster.put(namespace, SPECS, "HTTPRouteGroup", "routes", group).await.map(drop)
    };
    // 1 to 3. One path, by every method.
    group("metrics", "/metrics", &["*"]).await?;
    let target = Target {
        name: "traffic-target",
        destination: "app-b",
        sources: &["app-a"],
        rules: &[("HTTPRouteGroup", "routes")],
    };
    cluster.target(namespace, &target).await?;
    caller.is_answered(&metrics, &[], 200).await?;
    caller.is_answered(&metrics, &["--method", "DELETE"], 200).await?;
    caller.is_answered(&echo, &[], 403).await?;
    // 4 to 6. Every path, by one method.
    group("get", ".*", &["GET"]).await?;
    caller.is_answered(&echo, &[], 200).await?;
    caller.is_answered(&echo, &["--method", "POST"], 403).await?;
    caller.is_answered(&metrics, &["--method", "DELETE"], 403).await?;
    cluster.delete_namespace(namespace).await
}

#[tokio::test]
async fn traffic_split() -> Result<()> {
    let namespace = "e2e-steps-split";
    let cluster = Cluster::connect().await?;
    cluster.install(&["--reset-values", "--set", "smi.installCRDs=true"]).await?;
    cluster.fresh_namespace(namespace).await?;
    for app in ["app-a", "app-b", "app-c"] {
        cluster.echo(namespace, app, 1).await?;
        cluster.service(namespace, app, &[("http", PORT, 8080)]).await?;
    }
    // 1 and 2. The root has the pods of both.
    root(&cluster, namespace).await?;
    for app in ["app-a", "app-b", "app-c"] {
        cluster.rolled_out(namespace, app).await?;
        cluster.mesh_ready(namespace, app).await?;
    }
    cluster.mesh_ready(namespace, "app-svc").await?;
    let caller = app(&cluster, namespace, "app-a").await?;
    let url = format!("http://app-svc.{namespace}.mesh:{PORT}/");
    let of_both = |summary: &Summary| {
        let of = |app: &str| {
            summary.pods.iter().filter(|(pod, _)| pod.starts_with(app)).map(|(_, count)| count).sum::<u64>()
        };
        (of("app-b"), of("app-c"))
    };
    // 3. Without a split, both are seen.
    let both = until_spread(2, || caller.get(&url, REQUESTS)).await?;
    let (b, c) = of_both(&both);
    ensure!(b > 0 && c > 0, "{b} and {c}");
    // 4 to 11. One side only, the other one only, more of the one, more of the other.
    for (weights, right) in [
        ((1, 0), (|b, c| b == u64::from(REQUESTS) && c == 0) as fn(u64, u64) -> bool),
        ((0, 1), |b, c| b == 0 && c == u64::from(REQUESTS)),
        ((75, 25), |b, c| b > c && c > 0),
        ((25, 75), |b, c| c > b && b > 0),
    ] {
        cluster.split(namespace, "app-svc", &[("app-b", weights.0), ("app-c", weights.1)]).await?;
        eventually(&format!("split by {weights:?}"), seconds(30), || async {
            let summary = caller.get(&url, REQUESTS).await?;
            summary.all_ok()?;
            let (b, c) = of_both(&summary);
            ensure!(right(b, c), "{b} and {c}");
            Ok(())
        })
        .await?;
    }
    cluster.delete_namespace(namespace).await
}

/// A Service whose endpoints are the pods of both backends: it has the label that they share.
async fn root(cluster: &Cluster, namespace: &str) -> Result<()> {
    for app in ["app-b", "app-c"] {
        let change = json!({"spec": {"template": {"metadata": {"labels": {"split": "yes"}}}}});
        cluster.merge::<Deployment>(namespace, app, change).await?;
    }
    let ports = json!([{"name": "http", "port": PORT, "targetPort": 8080}]);
    let service =
        json!({"metadata": {"name": "app-svc"}, "spec": {"selector": {"split": "yes"}, "ports": ports}});
    cluster.apply::<Service>(namespace, service).await.map(drop)
}
