//! NetworkPolicies around the pods of the mesh, enforced: no way round by the ordinary name. And access that is only audited.

use crate::guarded::{GUARDED, Guarded, NOTHING, Through};
use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use weft_e2e::{
    enforcer::enforced,
    traffic::{ClientPod, Summary},
    wait::{eventually, seconds},
    workload::address,
};

const EVERYTHING: Through = Through { http: true, grpc: true, tcp: true, udp: true };
const GRANTED: Through = Through { http: true, grpc: true, ..NOTHING };

#[tokio::test]
async fn walls_close_the_way_past_the_mesh_and_go_when_access_is_only_audited() -> Result<()> {
    let scene = Guarded::with("e2e-walls", &["--set", "acl.networkPolicies=true"]).await?;
    scene.open("HTTPRouteGroup", "all", json!([{"name": "all", "methods": ["*"]}])).await?;
    let walled = async || {
        ensure!(!scene.cluster.walls().await?.is_empty(), "no NetworkPolicy");
        past_the_mesh(&scene, NOTHING).await?;
        scene.lets(GRANTED).await?;
        pods_come_and_serve(&scene).await?;
        let audited = ["--set", "acl.mode=audit"];
        scene.cluster.install(&[&GUARDED[..], &audited].concat()).await?;
        let left = scene.cluster.walls().await?;
        ensure!(left.is_empty(), "{left:?}");
        past_the_mesh(&scene, EVERYTHING).await
    };
    enforced(&scene.cluster, walled).await?;
    what_would_be_denied_passes_and_is_told(&scene).await?;
    scene.strike().await
}

/// Waits until just this comes through of every client on every node by the ordinary name.
async fn past_the_mesh(scene: &Guarded, what: Through) -> Result<()> {
    let host = format!("web.{}.svc.cluster.local", scene.namespace);
    for (node, client) in scene.friends.iter().chain(&scene.strangers) {
        eventually(&format!("{what:?} comes past the mesh on {node}"), seconds(60), || async {
            let through = past(client, &host).await?;
            ensure!(through == what, "{through:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn past(client: &ClientPod, host: &str) -> Result<Through> {
    let call = async |text: String| {
        let text = format!("{text} --timeout 1s --summary");
        let summary: Summary = client.summary(&text.split_whitespace().collect::<Vec<_>>()).await?;
        anyhow::Ok(summary.ok == 1)
    };
    Ok(Through {
        http: call(format!("get http://{host}/")).await?,
        grpc: call(format!("grpc http://{host}:9090")).await?,
        tcp: call(format!("messages tcp://{host}:9000")).await?,
        udp: call(format!("messages udp://{host}:9001")).await?,
    })
}

/// Behind walls the kubelet still finds pods ready, the operator takes them up, and proxies reach them; others do not.
async fn pods_come_and_serve(scene: &Guarded) -> Result<()> {
    let Guarded { cluster, namespace, friends, strangers } = scene;
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": "1"}}}}});
    cluster.merge::<Deployment>(namespace, "web", restart).await?;
    cluster.rolled_out(namespace, "web").await?;
    let ports = json!([{"name": "http", "port": 80, "targetPort": 8080}]);
    cluster.meshed_pods(namespace, "later", "web", ports, &[], "80 (http)").await?;
    let pods = cluster.pods(namespace, "app=web").await?;
    for (client, service) in friends.values().zip(["web", "later", "web"]) {
        eventually("all new pods serve", seconds(30), || async {
            let summary = client.get(&format!("http://{service}.{namespace}.mesh/"), 60).await?;
            summary.all_ok()?;
            ensure!(summary.pods.len() == pods.len(), "{summary:?}");
            Ok(())
        })
        .await?;
    }
    for client in friends.values().chain(strangers.values()) {
        for address in pods.iter().filter_map(address) {
            eventually("a new pod is closed", seconds(30), || async {
                let summary = client.get(&format!("http://{address}:8080/"), 1).await?;
                ensure!(summary.ok == 0, "{address} answers {}", client.pod);
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

/// What nothing grants passes, is counted by the proxy that it went through, and told on the Service.
async fn what_would_be_denied_passes_and_is_told(scene: &Guarded) -> Result<()> {
    let Guarded { cluster, namespace, friends: _, strangers } = scene;
    for (node, stranger) in strangers {
        eventually(&format!("everything passes on {node}"), seconds(30), || async {
            let through = scene.through(stranger).await?;
            ensure!(through == EVERYTHING, "{through:?}");
            Ok(())
        })
        .await?;
        for metric in ["weft_denied_total", "weft_udp_denied_total"] {
            let texts = [metric, namespace.as_str(), "service=\"web\"", "mode=\"audit\""];
            eventually(&format!("{metric} counts on {node}"), seconds(10), || async {
                ensure!(!stranger.metrics(node, &texts).await?.is_empty(), "it does not");
                Ok(())
            })
            .await?;
        }
    }
    let who = format!("ServiceAccount {namespace}/stranger at ");
    let told = cluster.event(namespace, "web", "AccessWouldBeDenied", &who).await?;
    ensure!(told.type_.as_deref() == Some("Warning"), "{told:?}");
    Ok(())
}
