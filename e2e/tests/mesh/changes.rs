//! Changes of the configuration under load: nobody notices.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::json;
use std::{collections::BTreeMap, env, time::Duration};
use tokio::time::interval;
use weft_e2e::{
    mix::{Kind, Mix, Targets},
    traffic::Summary,
    wait::{eventually, seconds},
};

/// How long it goes on: this many seconds, or as `WEFT_E2E_CHANGES_SECONDS` says (600 for the ten minutes that the
/// project promises).
const SECONDS: u32 = 60;
/// From how long on the latency is looked at too: below, a few slow answers of a busy machine would decide.
const LONG: u32 = 300;
/// By how much the 99th percentile may be longer than without changes, beyond what calls past the mesh become slower by:
/// a change is work for the API server and for each node's kubelet and kube-proxy too, and here they all share the CPUs.
const SLOWER: f64 = 1.2;

/// Once a second an annotation of another Service and its endpoints change, and an annotation of the called one.
#[tokio::test]
async fn a_change_a_second_fails_no_request_and_cuts_no_stream() -> Result<()> {
    let scene = Scene::set("e2e-changes").await?;
    scene.grpc(false).await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let ports = json!([{"name": "http", "port": 80}]);
    cluster
        .apply::<Service>(namespace, json!({"metadata": {"name": "other"}, "spec": {"ports": ports}}))
        .await?;
    let long = env::var("WEFT_E2E_CHANGES_SECONDS").ok().and_then(|text| text.parse().ok());
    let length: u32 = long.unwrap_or(SECONDS);
    let quiet = if length >= LONG {
        let (mesh, past) = both(&scene, SECONDS);
        Some((mesh.end().await?, past.end().await?))
    } else {
        None
    };
    let (mix, past) = both(&scene, length);
    let mut beat = interval(Duration::from_secs(1));
    let mut changes = 0_u32;
    while mix.runs() {
        beat.tick().await;
        change(&scene, changes).await?;
        changes += 1;
    }
    ensure!(changes >= length / 2, "only {changes} changes in {length} s");
    let (sums, past) = (mix.end().await?, past.end().await?);
    for (kind, sum) in &sums {
        sum.all_ok()?;
        if matches!(kind, Kind::GrpcStreams | Kind::WebSockets) {
            ensure!(
                sum.resent == 0 && sum.opened == 10 * scene.clients.len() as u64,
                "{kind:?} were cut: {sum:?}"
            );
        }
    }
    if let Some(quiet) = quiet {
        not_slower(&quiet, &(sums, past))?;
    }
    let (_, client) = scene.first()?;
    eventually("the last change is in force", seconds(30), || async {
        let outcome = client.ask(&scene.url("web"), &[]).await?;
        let wanted = format!("{}", changes - 1);
        ensure!(outcome.headers.get("x-change") == Some(&wanted), "{outcome:?}");
        Ok(())
    })
    .await?;
    scene.strike().await
}

/// Clients that call through the mesh, and the same past it.
fn both(scene: &Scene, seconds: u32) -> (Mix, Mix) {
    let start = |targets: &Targets| Mix::start(scene.clients.values(), targets, seconds);
    (start(&scene.targets()), start(&scene.targets_past_the_mesh()))
}

/// What came of calls through the mesh, and of those past it.
type Sums = (BTreeMap<Kind, Summary>, BTreeMap<Kind, Summary>);

/// Compares 99th percentiles under changes with those before, all kinds told before one is found wanting.
fn not_slower(quiet: &Sums, changing: &Sums) -> Result<()> {
    let p99 = |sums: &BTreeMap<Kind, Summary>, kind: &Kind| {
        sums.get(kind)
            .map(|sum| sum.p99_ms)
            .filter(|p99| *p99 > 0.0)
            .context("a kind of client measured nothing")
    };
    let mut slower = Vec::new();
    for kind in &Kind::ALL {
        let (mesh, past) = (p99(&changing.0, kind)?, p99(&changing.1, kind)?);
        let (mesh_quiet, past_quiet) = (p99(&quiet.0, kind)?, p99(&quiet.1, kind)?);
        let said = format!(
            "{kind:?}: p99 {mesh:.1} ms through the mesh, {mesh_quiet:.1} without changes; past it {past:.1} and \
             {past_quiet:.1}"
        );
        println!("{said}");
        if mesh / mesh_quiet > SLOWER * (past / past_quiet).max(1.0) {
            slower.push(said);
        }
    }
    ensure!(slower.is_empty(), "slower by changes: {slower:?}");
    Ok(())
}

async fn change(scene: &Scene, number: u32) -> Result<()> {
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let attempts =
        json!({"metadata": {"annotations": {"weft.mesh/retry-attempts": (2 + number % 2).to_string()}}});
    cluster.merge::<Service>(namespace, "other", attempts).await?;
    // Documentation addresses (RFC 5737), which nothing here answers.
    let slice = json!({
        "metadata": {"name": "other-1", "labels": {"kubernetes.io/service-name": "other"}}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["192.0.2.1"]}, {"addresses": [format!("192.0.2.{}", 2 + number % 100)]}],
    });
    cluster.apply::<EndpointSlice>(namespace, slice).await?;
    scene.annotate("response-headers", format!("set x-change={number}")).await
}
