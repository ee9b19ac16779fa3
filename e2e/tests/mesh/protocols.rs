//! Protocols: HTTP/1, HTTP/2, gRPC and WebSockets, by clients of ours and of others.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use serde_json::Value;
use weft_e2e::{
    program,
    traffic::until_spread,
    wait::{eventually, seconds},
};

/// Where curl puts what it tells about an exchange, apart from the body.
const TOLD: &str = "\\n%{http_version} %{http_code}";

/// A Service in front of an HTTP port: every version that clients speak there comes through.
#[tokio::test]
async fn curl_speaks_every_version_of_http_on_one_port() -> Result<()> {
    let scene = Scene::set("e2e-curl").await?;
    let (node, client) = scene.first()?;
    client.goes_through(&scene.url("web"), node).await?;
    let port = scene.cluster.listener_port(&scene.namespace, "web", 80).await?;
    let url = format!("http://{}:{port}", scene.cluster.proxy_address(node).await?);
    let body = "w".repeat(2_000_000);
    let folder = std::env::temp_dir().join(format!("weft-e2e-curl-{}", std::process::id()));
    std::fs::write(&folder, body)?;
    let file = format!("@{}", folder.display());
    let sent = file.as_str();
    for (arguments, path, expected) in [
        (&["--http1.1"][..], "/", "1.1 200"),
        (&["--http1.0"], "/", "1.1 200"),
        (&["--http2"], "/", "2 200"), // by Upgrade
        (&["--http2-prior-knowledge"], "/", "2 200"),
        (&["--http1.1", "--head"], "/bytes/1000", "1.1 200"),
        (&["--http2-prior-knowledge", "--head"], "/bytes/1000", "2 200"),
        (&["--http1.1"], "/status/204", "1.1 204"),
        (&["--http1.1", "-H", "If-None-Match: x"], "/status/304", "1.1 304"),
        (&["--http1.1", "-X", "CONNECT"], "/", "1.1 405"),
        // With `Expect: 100-continue`, as curl does where a body is large.
        (&["--http1.1", "-H", "Expect: 100-continue", "--data-binary", sent], "/echo", "1.1 200"),
        (&["--http2-prior-knowledge", "--data-binary", sent], "/echo", "2 200"),
        (&["--http1.1", "-H", "Transfer-Encoding: chunked", "--data-binary", sent], "/echo", "1.1 200"),
    ] {
        let target = format!("{url}{path}");
        let common = ["--silent", "--show-error", "--max-time", "10", "--write-out", TOLD, &target];
        let all: Vec<&str> = common.iter().chain(arguments).copied().collect();
        let printed = program::run("curl", &all).await?;
        let (came, told) = printed.trim_end().rsplit_once('\n').unwrap_or_default();
        // An answer of HTTP/1.0, which curl calls "1", is as good to a client of that version.
        let old = arguments == ["--http1.0"] && told == "1 200";
        ensure!(told == expected || old, "{arguments:?} {path}: {told} instead of {expected}: {came:.200}");
        if path == "/echo" {
            ensure!(came.trim_end().len() == 2_000_000, "{arguments:?}: {} bytes came back", came.len());
        }
    }
    std::fs::remove_file(&folder)?;
    ensure!(
        program::run("h2load", &["--version"]).await.is_ok(),
        "h2load (package nghttp2-client) is needed"
    );
    let printed = program::run("h2load", &["-n", "5000", "-c", "5", "-m", "20", &url]).await?;
    ensure!(printed.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{printed}");
    scene.strike().await
}

#[tokio::test]
async fn http_comes_through_whole() -> Result<()> {
    let scene = Scene::set("e2e-http").await?;
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    for version in [&[][..], &["--http2"]] {
        let with = |more: &[&'static str]| version.iter().chain(more).copied().collect::<Vec<_>>();
        let asked = with(&["--method", "PUT", "--body", "300000", "--header", "x-one:1"]);
        let outcome = client.ask(&format!("{url}a/b?c=d"), &asked).await?;
        ensure!(outcome.said(&["method"]) == Some("PUT"), "{outcome:?}");
        ensure!(outcome.said(&["path"]) == Some("/a/b?c=d"), "{outcome:?}");
        ensure!(outcome.said(&["headers", "x-one"]) == Some("1"), "{outcome:?}");
        let bytes = outcome.answer.as_ref().map(|answer| answer["body_bytes"].clone());
        ensure!(bytes == Some(300_000.into()), "{outcome:?}");
        let trailers = with(&["--method", "POST", "--body", "5000", "--header", "te:trailers"]);
        let outcome = client.ask(&format!("{url}trailers"), &trailers).await?;
        ensure!(outcome.trailers.get("echo-bytes").is_some_and(|count| count == "5000"), "{outcome:?}");
        let outcome = client.ask(&format!("{url}stream?count=30&interval=100ms"), version).await?;
        ensure!(outcome.status == 200 && outcome.error.is_none(), "{outcome:?}");
        let arguments = ["get", &url, "--count", "300", "--concurrency", "4", "--summary"];
        let all: Vec<&str> = arguments.iter().chain(version).copied().collect();
        until_spread(3, || client.summary(&all)).await.context("each request is balanced by itself")?;
    }
    scene.strike().await
}

#[tokio::test]
async fn grpc_of_every_kind_is_balanced_per_call_over_one_connection() -> Result<()> {
    let scene = Scene::set("e2e-grpc").await?;
    let (node, client) = scene.first()?;
    for annotated in [false, true] {
        if annotated {
            scene.cluster.api::<Service>(&scene.namespace).delete("grpc", &Default::default()).await?;
            scene.cluster.forget_events(&scene.namespace, "grpc").await?;
        }
        scene.grpc(annotated).await?;
        let url = scene.grpc_url();
        let call = async |more: &str| {
            let text = format!("grpc {url} --summary {more}");
            client.summary(&text.split_whitespace().collect::<Vec<_>>()).await
        };
        for kind in ["unary", "client", "server", "bidi"] {
            let messages = if kind == "unary" { 1 } else { 5 };
            let text = format!("--kind {kind} --count 240 --concurrency 4 --messages {messages}");
            let proxy = scene.cluster.proxy_address(node).await?;
            let summary = until_spread(3, || call(&text)).await.context(kind)?;
            ensure!(summary.peers.keys().eq([&proxy]), "past the proxy {proxy}: {summary:?}");
        }
    }
    statuses(&scene).await?;
    scene.strike().await
}

async fn statuses(scene: &Scene) -> Result<()> {
    let (_, client) = scene.first()?;
    let url = scene.grpc_url();
    for (arguments, expected) in [
        ("--kind unary --code 9", "grpc 9 as asked"),
        ("--kind bidi --code 9", "grpc 9 as asked"),
        ("--kind server --messages 3 --code 9", "grpc 9 as asked"),
        ("--metadata echo-status:8", "grpc 8 as asked"), // trailers-only
        ("--metadata echo-delay:3s --deadline 300ms", "grpc 4 "), // by the proxy, for the client waits for longer
    ] {
        let text = format!("grpc {url} --summary {arguments}");
        let summary = client.summary(&text.split_whitespace().collect::<Vec<_>>()).await?;
        let as_expected = summary.errors.keys().all(|error| error.starts_with(expected));
        ensure!(summary.failed == 1 && as_expected, "{arguments}: {summary:?}");
    }
    let outcomes = client.outcomes(&["grpc", &url, "--metadata", "echo-trailer:x-one=1"]).await?;
    ensure!(outcomes[0].error.is_none(), "{outcomes:?}");
    ensure!(outcomes[0].said(&["headers", "echo-trailer"]) == Some("x-one=1"), "{outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn websockets_come_through_and_stay_open() -> Result<()> {
    let scene = Scene::set("e2e-websockets").await?;
    let (node, client) = scene.first()?;
    let url = format!("ws://web.{}.mesh/ws", scene.namespace);
    eventually("WebSockets", seconds(30), || async {
        client.summary(&["websocket", &url, "--count", "3", "--summary"]).await?.all_ok()
    })
    .await?;
    let text = format!("websocket {url} --count 600 --connections 30 --interval 250ms --summary");
    let summary = client.summary(&text.split_whitespace().collect::<Vec<_>>()).await?;
    summary.all_ok()?;
    ensure!(summary.opened == 30 && summary.pods.len() == 3, "{summary:?}");
    let proxy = scene.cluster.proxy_address(node).await?;
    ensure!(summary.peers.keys().eq([&proxy]), "past the proxy {proxy}: {summary:?}");
    // A request that is no handshake is the endpoint's to refuse.
    let outcome = client.ask(&format!("{}ws", scene.url("web")), &[]).await?;
    ensure!(outcome.status == 400, "{outcome:?}");
    scene.strike().await
}

/// What the client sent comes to the backend as it was, but for what the proxy knows better.
#[tokio::test]
async fn forwarding_headers_are_the_proxys_own_unless_the_service_trusts_its_callers() -> Result<()> {
    let scene = Scene::set("e2e-forwarded").await?;
    let (_, client) = scene.first()?;
    let forged = ["--header", "x-forwarded-for:192.0.2.1", "--header", "x-forwarded-proto:https"];
    let said = async |name: &str| {
        let outcome = client.ask(&scene.url("web"), &forged).await?;
        anyhow::Ok(outcome.said(&["headers", name]).unwrap_or_default().to_owned())
    };
    let pods = scene.cluster.pods(&scene.namespace, "app=client").await?;
    let own = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(&client.pod));
    let own = own.and_then(weft_e2e::workload::address).unwrap_or_default();
    ensure!(said("x-forwarded-for").await? == own, "{}", said("x-forwarded-for").await?);
    ensure!(said("x-forwarded-proto").await? == "http", "{}", said("x-forwarded-proto").await?);
    let host = said("host").await?;
    ensure!(host == format!("web.{}.mesh", scene.namespace), "{host}");
    scene.annotate("forwarded-headers", "trust").await?;
    eventually("it is trusted", seconds(30), || async {
        let came = said("x-forwarded-for").await?;
        ensure!(came == format!("192.0.2.1, {own}"), "{came}");
        Ok(())
    })
    .await?;
    scene.annotate("forwarded-headers", Value::Null).await?;
    scene.strike().await
}
