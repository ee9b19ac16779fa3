//! Changes of the configuration under load: nobody notices.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::json;
use std::{env, time::Duration};
use tokio::time::interval;
use weft_e2e::{
    mix::{Kind, Mix},
    wait::{eventually, seconds},
};

/// How long it goes on: this many seconds, or as `WEFT_E2E_CHANGES_SECONDS` says (600 for the ten minutes that the
/// project promises).
const SECONDS: u32 = 60;
/// From how long on the latency is looked at too: below, a few slow answers of a busy machine would decide.
const LONG: u32 = 300;
/// By how much the 99th percentile may be longer than without changes.
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
        let quiet = Mix::start(scene.clients.values(), &scene.targets(), SECONDS);
        Some(quiet.end().await?)
    } else {
        None
    };
    let mix = Mix::start(scene.clients.values(), &scene.targets(), length);
    let mut beat = interval(Duration::from_secs(1));
    let mut changes = 0_u32;
    while mix.runs() {
        beat.tick().await;
        change(&scene, changes).await?;
        changes += 1;
    }
    ensure!(changes >= length / 2, "only {changes} changes in {length} s");
    let sums = mix.end().await?;
    for (kind, sum) in &sums {
        sum.all_ok()?;
        if matches!(kind, Kind::GrpcStreams | Kind::WebSockets) {
            ensure!(
                sum.resent == 0 && sum.opened == 10 * scene.clients.len() as u64,
                "{kind:?} were cut: {sum:?}"
            );
        }
        let Some(before) = quiet.as_ref().and_then(|quiet| quiet.get(kind)) else { continue };
        ensure!(
            sum.p99_ms <= before.p99_ms * SLOWER,
            "{kind:?}: p99 {} ms, {} before",
            sum.p99_ms,
            before.p99_ms
        );
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
