//! Policies: what a Service asks for by annotation is done by the proxies, and what goes wrong is told.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use weft_e2e::{
    traffic::{Outcome, until_spread},
    wait::{eventually, seconds},
};

/// One pod of three fails: its requests are tried again at the others, and it is set aside.
#[tokio::test]
async fn a_pod_that_fails_is_set_aside_and_its_requests_are_tried_again() -> Result<()> {
    let scene = Scene::set("e2e-retries").await?;
    let (node, client) = scene.first()?;
    let url = scene.url("web");
    let (failing, address) = scene.pods().await?.pop_first().context("no pod")?;
    scene.annotate("retry-on", "5xx").await?;
    // Until the annotation is in force, requests to that pod fail; the other pods must not be set aside for it.
    client.switch(&address, "fail?status=500&percent=20").await?;
    eventually("failures are tried again", seconds(30), || async { client.get(&url, 60).await?.all_ok() })
        .await?;
    client.switch(&address, "fail?status=500").await?;
    let load = client.load(&url, 50, 10);
    let ejected = ["eject", &scene.namespace, "web"];
    eventually("the pod is set aside", seconds(10), || async {
        let lines = client.metrics(node, &ejected).await?;
        ensure!(!lines.is_empty(), "no metric says so");
        Ok(())
    })
    .await?;
    let summary = load.await??;
    summary.all_ok()?;
    ensure!(!summary.pods.contains_key(&failing), "it answered with 200? {summary:?}");
    client.switch(&address, "heal").await?;
    eventually("it takes part again", seconds(90), || async {
        let summary = client.get(&url, 60).await?;
        summary.all_ok()?;
        ensure!(summary.pods.contains_key(&failing), "{summary:?}");
        Ok(())
    })
    .await?;
    scene.strike().await
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_again() -> Result<()> {
    let scene = Scene::set("e2e-limits").await?;
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    scene.annotate("ratelimit-average", "5").await?;
    scene.annotate("ratelimit-burst", "5").await?;
    let refused = eventually("a limit", seconds(30), || async {
        let outcomes = client.outcomes(&["get", &url, "--count", "40", "--json"]).await?;
        let ok = outcomes.iter().filter(|outcome| outcome.status == 200).count();
        ensure!((1..=15).contains(&ok), "{ok} of 40 came through");
        outcomes.into_iter().find(|outcome| outcome.status == 429).context("none was refused")
    })
    .await?;
    let after = refused.headers.get("retry-after").and_then(|after| after.parse::<u32>().ok());
    ensure!(after.is_some_and(|after| (1..=10).contains(&after)), "{refused:?}");
    ensure!(refused.headers.contains_key("proxy-status"), "{refused:?}");
    // Each source has a bucket of its own: the client of another node is not held up.
    let (_, other) = scene.clients.iter().nth(1).context("one node")?;
    let busy = client.start(words(&format!("get {url} --count 60 --interval 20ms --summary")));
    let calm = other.summary(&["get", &url, "--count", "3", "--interval", "1s", "--summary"]).await?;
    calm.all_ok()?;
    ensure!(busy.await??.errors.contains_key("status 429"), "the busy one was let through");
    scene.strike().await
}

#[tokio::test]
async fn a_circuit_breaker_trips_is_told_and_closes_again() -> Result<()> {
    let scene = Scene::set("e2e-breaker").await?;
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    scene.annotate("outlier", "off").await?;
    scene.annotate("circuit-breaker-expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.5").await?;
    let pods = scene.pods().await?;
    for address in pods.values() {
        client.switch(address, "fail?status=500").await?;
    }
    let load = client.load(&url, 50, 30);
    let refused = eventually("the breaker trips", seconds(30), || async {
        let outcome = client.ask(&url, &[]).await?;
        ensure!(outcome.status == 503, "{outcome:?}");
        Ok(outcome)
    })
    .await?;
    ensure!(refused.headers.contains_key("proxy-status"), "{refused:?}");
    scene.cluster.event(&scene.namespace, "web", "CircuitBreakerOpen", "").await?;
    for address in pods.values() {
        client.switch(address, "heal").await?;
    }
    let load = load.await??;
    ensure!(load.errors.contains_key("status 503"), "{load:?}");
    eventually("the breaker closes", seconds(60), || async { client.get(&url, 30).await?.all_ok() }).await?;
    scene.strike().await
}

/// Asks until the outcome is as it should be.
async fn until(
    scene: &Scene,
    what: &str,
    more: &[&str],
    right: impl Fn(&Outcome) -> bool,
) -> Result<Outcome> {
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    eventually(what, seconds(30), || async {
        let outcome = client.ask(&url, more).await?;
        ensure!(right(&outcome), "{outcome:?}");
        Ok(outcome)
    })
    .await
}

#[tokio::test]
async fn actions_by_annotation_and_a_wrong_one_is_told_while_the_last_good_serves_on() -> Result<()> {
    let scene = Scene::set("e2e-actions").await?;
    scene.annotate("request-headers", "set x-tenant=shop, remove x-secret").await?;
    scene.annotate("response-headers", "set x-served-by=weft").await?;
    let changed = |outcome: &Outcome| {
        outcome.said(&["headers", "x-tenant"]) == Some("shop")
            && outcome.said(&["headers", "x-secret"]).is_none()
            && outcome.headers.get("x-served-by").is_some_and(|value| value == "weft")
    };
    until(&scene, "headers are changed", &["--header", "x-secret:1"], changed).await?;

    scene.annotate("request-headers", "put x-tenant=bank").await?;
    let told = scene.cluster.event(&scene.namespace, "web", "AnnotationInvalid", "request-headers").await?;
    ensure!(told.type_.as_deref() == Some("Warning"), "{told:?}");
    let outcome =
        until(&scene, "it answers", &["--header", "x-secret:1"], |outcome| outcome.status == 200).await?;
    ensure!(changed(&outcome), "the last good one is not in force: {outcome:?}");
    scene.annotate("request-headers", Value::Null).await?;
    scene.annotate("response-headers", Value::Null).await?;

    scene.annotate("fault-abort", "418").await?;
    scene.annotate("fault-only", "header:x-test=1").await?;
    until(&scene, "a fault", &["--header", "x-test:1"], |outcome| outcome.status == 418).await?;
    until(&scene, "no fault", &[], |outcome| outcome.status == 200).await?;
    scene.annotate("fault-only", Value::Null).await?;
    scene.annotate("fault-abort", Value::Null).await?;

    scene.annotate("rewrite-path", "prefix / /inner").await?;
    let inner = |outcome: &Outcome| outcome.said(&["path"]).is_some_and(|path| path.starts_with("/inner"));
    until(&scene, "another path", &[], inner).await?;
    scene.annotate("rewrite-path", Value::Null).await?;

    scene.annotate("redirect", "308 https://shop.example.org").await?;
    let elsewhere = until(&scene, "a redirect", &[], |outcome| outcome.status == 308).await?;
    let location = elsewhere.headers.get("location").map(String::as_str).unwrap_or_default();
    ensure!(location == "https://shop.example.org/", "{location}");
    scene.annotate("redirect", Value::Null).await?;
    until(&scene, "as before", &[], |outcome| outcome.status == 200).await?;
    scene.strike().await
}

#[tokio::test]
async fn clients_stay_where_a_cookie_or_their_node_puts_them() -> Result<()> {
    let scene = Scene::set("e2e-near").await?;
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    scene.annotate("sticky-cookie", "weft-endpoint").await?;
    let first = until(&scene, "a cookie", &[], |outcome| outcome.headers.contains_key("set-cookie")).await?;
    let cookie = first.headers["set-cookie"].split(';').next().unwrap_or_default().to_owned();
    ensure!(cookie.starts_with("weft-endpoint="), "{first:?}");
    let pod = first.said(&["pod"]).unwrap_or_default();
    let header = format!("cookie:{cookie}");
    let same = client.summary(&["get", &url, "--count", "30", "--header", &header, "--summary"]).await?;
    same.all_ok()?;
    ensure!(same.pods.keys().eq([pod]), "{pod} instead of {:?}", same.pods);
    until_spread(3, || client.get(&url, 60)).await.context("without the cookie")?;
    scene.annotate("sticky-cookie", Value::Null).await?;

    let near = json!({"spec": {"trafficDistribution": "PreferSameNode"}});
    scene.cluster.merge::<Service>(&scene.namespace, "web", near).await?;
    for (node, client) in &scene.clients {
        eventually(&format!("answers of pods on {node}"), seconds(30), || async {
            let summary = client.get(&url, 30).await?;
            summary.all_ok()?;
            ensure!(summary.nodes.keys().eq([node]), "{summary:?}");
            Ok(())
        })
        .await?;
    }
    scene.strike().await
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
