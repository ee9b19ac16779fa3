//! Access control: two ServiceAccounts on three nodes, of which one may call, over every protocol.

use crate::guarded::{Guarded, NOTHING, Through};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::DeleteParams;
use serde_json::json;
use std::{fs, net::Ipv4Addr, time::Duration};
use tokio::time::interval;
use weft_e2e::{
    cluster::Cluster,
    smi::{ACCESS, Target},
    traffic::ClientPod,
    wait::{eventually, seconds},
    workload::{address, image, is_ready},
};

#[tokio::test]
async fn one_account_is_let_through_on_every_node_and_the_other_never() -> Result<()> {
    let scene = Guarded::set("e2e-access").await?;
    scene.lets(NOTHING).await?;
    scene.open("HTTPRouteGroup", "all", json!([{"name": "all", "methods": ["*"]}])).await?;
    scene.lets(Through { http: true, grpc: true, ..NOTHING }).await?;
    scene.open("TCPRoute", "ledger", json!({"ports": [9000]})).await?;
    scene.lets(Through { udp: false, http: true, grpc: true, tcp: true }).await?;
    scene.open("UDPRoute", "lookup", json!({"ports": [9001]})).await?;
    scene.lets(Through { http: true, grpc: true, tcp: true, udp: true }).await?;
    for name in ["all", "ledger"] {
        scene.cluster.remove(&scene.namespace, ACCESS, "TrafficTarget", name).await?;
    }
    scene.lets(Through { udp: true, ..NOTHING }).await?;
    scene.strike().await
}

#[tokio::test]
async fn a_forged_header_opens_nothing() -> Result<()> {
    let scene = Guarded::set("e2e-forged").await?;
    scene.open("HTTPRouteGroup", "all", json!([{"name": "all", "methods": ["*"]}])).await?;
    scene.lets(Through { http: true, grpc: true, ..NOTHING }).await?;
    let (node, stranger) = scene.strangers.iter().next().context("nobody")?;
    let pods = scene.cluster.pods(&scene.namespace, "app=friend").await?;
    let friend = pods.iter().find(|pod| weft_e2e::workload::node(pod).as_ref() == Some(node));
    let friend = friend.and_then(address).context("no friend")?;
    for header in [
        format!("x-forwarded-for:{friend}"),
        format!("forwarded:for={friend}"),
        format!("x-real-ip:{friend}"),
        format!("true-client-ip:{friend}"),
        "x-forwarded-client-cert:By=spiffe://cluster.local/ns/e2e-forged/sa/friend".to_owned(),
    ] {
        let outcome = stranger.ask(&scene.url(), &["--header", &header]).await?;
        ensure!(outcome.status == 403, "{header}: {outcome:?}");
    }
    scene.strike().await
}

#[tokio::test]
async fn changes_under_load_let_nobody_through_and_refuse_nobody_wrongly() -> Result<()> {
    const SECONDS: u32 = 40;
    let scene = Guarded::set("e2e-churn").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    scene.open("HTTPRouteGroup", "all", json!([{"name": "all", "methods": ["*"]}])).await?;
    scene.lets(Through { http: true, grpc: true, ..NOTHING }).await?;
    let url = scene.url();
    let running: Vec<_> = scene
        .friends
        .values()
        .zip(scene.strangers.values())
        .map(|(friend, stranger)| (friend.load(&url, 25, SECONDS), stranger.load(&url, 25, SECONDS)))
        .collect();
    let mut beat = interval(Duration::from_secs(1));
    for number in 0_u32.. {
        beat.tick().await;
        if running.iter().any(|(friend, _)| friend.is_finished()) {
            break;
        }
        churn(&scene, number).await?;
    }
    for (friend, stranger) in running {
        friend.await??.all_ok()?;
        let stranger = stranger.await??;
        ensure!(stranger.sent > 0 && stranger.ok == 0, "let through: {stranger:?}");
        ensure!(stranger.errors.keys().eq(["status 403"]), "{stranger:?}");
    }
    cluster.delete_namespace(namespace).await
}

/// A change that is nobody's business here: other targets come and go, routes are written anew, pods are replaced.
async fn churn(scene: &Guarded, number: u32) -> Result<()> {
    let Guarded { cluster, namespace, .. } = scene;
    let other = Target {
        name: "other",
        destination: "friend",
        sources: &["stranger", "web"],
        rules: &[("HTTPRouteGroup", "all")],
    };
    if number.is_multiple_of(2) {
        cluster.target(namespace, &other).await?;
    } else {
        cluster.remove(namespace, ACCESS, "TrafficTarget", "other").await?;
    }
    let path = format!("/|/unused-{number}");
    scene
        .open("HTTPRouteGroup", "all", json!([{"name": "all", "pathRegex": path, "methods": ["*"]}]))
        .await?;
    if number % 10 == 5 {
        let replicas = if number % 20 == 5 { 4 } else { 3 };
        cluster.merge::<Deployment>(namespace, "web", json!({"spec": {"replicas": replicas}})).await?;
    }
    Ok(())
}

/// A pod that has ended, or is gone, and another one that gets its address.
#[tokio::test]
async fn an_address_that_comes_back_as_anothers_is_anothers() -> Result<()> {
    let scene = Guarded::set("e2e-reused").await?;
    scene.open("HTTPRouteGroup", "all", json!([{"name": "all", "methods": ["*"]}])).await?;
    scene.lets(Through { http: true, grpc: true, ..NOTHING }).await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let node = scene.friends.keys().next().context("no node")?;
    let guest = async |name: &str, account: &str| {
        let container =
            json!({"name": "guest", "image": image(), "imagePullPolicy": "IfNotPresent", "args": ["sleep"]});
        let spec = json!({"nodeName": node, "serviceAccountName": account, "containers": [container],
                          "restartPolicy": "Never", "terminationGracePeriodSeconds": 1});
        cluster.apply::<Pod>(namespace, json!({"metadata": {"name": name}, "spec": spec})).await?;
        let address = eventually("the guest runs", seconds(30), || async {
            let pod = cluster.api::<Pod>(namespace).get(name).await?;
            ensure!(is_ready(&pod), "not ready");
            address(&pod).context("no address")
        })
        .await?;
        let client =
            ClientPod { cluster: cluster.clone(), namespace: namespace.clone(), pod: name.to_owned() };
        anyhow::Ok((client, address))
    };
    for (index, ends) in [false, true].into_iter().enumerate() {
        let (old, new) = (format!("old-{index}"), format!("new-{index}"));
        let (friend, before) = guest(&old, "friend").await?;
        friend.is_answered(&scene.url(), &[], 200).await?;
        if ends {
            // It ends by itself and stays in the API, with its address.
            weft_e2e::process::end("/weft-echo", &format!("HOSTNAME={old}")).await?;
            eventually("it has ended", seconds(30), || async {
                let phase =
                    cluster.api::<Pod>(namespace).get(&old).await?.status.and_then(|status| status.phase);
                ensure!(phase.as_deref() == Some("Succeeded"), "{phase:?}");
                Ok(())
            })
            .await?;
        } else {
            cluster.api::<Pod>(namespace).delete(&old, &DeleteParams::default()).await?;
            eventually("it is gone", seconds(30), || async {
                ensure!(cluster.api::<Pod>(namespace).get_opt(&old).await?.is_none(), "it is there");
                Ok(())
            })
            .await?;
        }
        let (stranger, after) = eventually("the address comes back", seconds(60), || async {
            comes_next(cluster, node, &before)?;
            let (stranger, after) = guest(&new, "stranger").await?;
            if after != before {
                cluster.api::<Pod>(namespace).delete(&new, &DeleteParams::default().grace_period(0)).await?;
            }
            ensure!(after == before, "{after} instead of {before}");
            Ok((stranger, after))
        })
        .await?;
        for _ in 0..20 {
            let outcome = stranger.ask(&scene.url(), &[]).await?;
            ensure!(outcome.status == 403, "a stranger at {after}: {outcome:?}");
        }
    }
    scene.strike().await
}

/// Makes an address the next one that a pod of the node gets; the plugin host-local keeps the last one in a file, and the
/// nodes of hack/cluster are on this machine.
fn comes_next(cluster: &Cluster, node: &str, address: &str) -> Result<()> {
    let state = cluster.kubeconfig.parent().context("the cluster's folder")?.join(node).join("ipam");
    let network = fs::read_dir(&state)?.next().context("no network")??.path();
    let before = Ipv4Addr::from(u32::from(address.parse::<Ipv4Addr>()?) - 1);
    Ok(fs::write(network.join("last_reserved_ip.0"), before.to_string())?)
}
