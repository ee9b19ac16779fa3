//! Names: every zone, every node, HTTP and TCP, through the proxy of the caller's own node.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::json;
use weft_e2e::{
    mesh::ZONES,
    traffic::until_spread,
    wait::{eventually, seconds},
    workload::address,
};

#[tokio::test]
async fn every_zone_from_every_node_goes_through_the_proxy_of_that_node() -> Result<()> {
    let scene = Scene::set("e2e-names").await?;
    let namespace = &scene.namespace;
    let annotated = json!({
        "metadata": {"name": "ledger", "annotations": {"maesh.containo.us/traffic-type": "tcp"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "tcp", "port": 9000, "targetPort": 9000}]},
    });
    scene.cluster.apply::<Service>(namespace, annotated).await?;
    let said = scene.cluster.mesh_ready(namespace, "ledger").await?;
    ensure!(said.note.as_deref().unwrap_or_default().contains("9000 (tcp)"), "{said:?}");
    ensure!(said.note.as_deref().unwrap_or_default().contains("3 of 3"), "{said:?}");
    for (node, client) in &scene.clients {
        for zone in ZONES {
            client.goes_through(&format!("http://web.{namespace}.{zone}/"), node).await?;
            let place = format!("ledger.{namespace}.{zone}:9000");
            let proxies = scene.cluster.proxies().await?;
            eventually("TCP byte for byte", seconds(30), || async {
                let printed = client.run(&["tcp", &place, "--bytes", "3000000"]).await?;
                let through = proxies
                    .iter()
                    .any(|(address, of)| of == node && printed.contains(&format!("{address}:")));
                ensure!(through, "not through the proxy of {node}: {printed}");
                Ok(())
            })
            .await?;
        }
    }
    scene.strike().await
}

#[tokio::test]
async fn the_ordinary_name_is_left_alone() -> Result<()> {
    let scene = Scene::set("e2e-ordinary").await?;
    for client in scene.clients.values() {
        let summary = client.get(&format!("http://web.{}.svc.cluster.local/", scene.namespace), 10).await?;
        summary.all_ok()?;
        let pods = scene.cluster.pods(&scene.namespace, "app=client").await?;
        let own =
            pods.iter().filter(|pod| pod.metadata.name.as_deref() == Some(&client.pod)).find_map(address);
        ensure!(
            summary.peers.keys().collect::<Vec<_>>() == own.iter().collect::<Vec<_>>(),
            "{summary:?} {own:?}"
        );
    }
    scene.strike().await
}

#[tokio::test]
async fn requests_are_spread_over_the_endpoints() -> Result<()> {
    let scene = Scene::set("e2e-spread").await?;
    let (_, client) = scene.first()?;
    let url = scene.url("web");
    let summary = until_spread(3, || client.get(&url, 60)).await?;
    ensure!(summary.nodes.len() == 3, "three pods on three nodes: {summary:?}");
    scene.strike().await
}

#[tokio::test]
async fn dns_answers_as_it_should() -> Result<()> {
    let scene = Scene::set("e2e-answers").await?;
    let (_, client) = scene.first()?;
    let namespace = &scene.namespace;
    let shadows = scene.cluster.shadows().await?;
    let shadow = shadows.iter().find_map(|shadow| {
        let of = shadow.metadata.annotations.as_ref()?;
        let ours =
            of.get("weft.mesh/service-namespace") == Some(namespace) && of["weft.mesh/service-name"] == "web";
        shadow.spec.as_ref()?.cluster_ip.clone().filter(|_| ours)
    });
    let shadow = shadow.unwrap_or_default();
    for (name, kind, expected) in [
        (format!("web.{namespace}.mesh"), "A", shadow.as_str()),
        (format!("web.{namespace}.mesh"), "AAAA", "NOERROR"),
        (format!("_http._tcp.web.{namespace}.mesh"), "SRV", "80 web."),
        (format!("absent.{namespace}.mesh"), "A", "NXDOMAIN"),
        ("kube-dns.kube-system.mesh".to_owned(), "A", "NXDOMAIN"),
        ("kubernetes.default.mesh".to_owned(), "A", "NXDOMAIN"),
    ] {
        eventually(&format!("{kind} of {name}"), seconds(20), || async {
            // An absent name is an answer, for which the client ends with an error of its own.
            let output = client
                .cluster
                .exec(&client.namespace, &client.pod, &["/weft-echo", "resolve", &name, "--type", kind])
                .await?;
            let printed = format!("{}{}", output.stdout, output.stderr);
            ensure!(
                !expected.is_empty() && printed.to_uppercase().contains(&expected.to_uppercase()),
                "{printed}"
            );
            Ok(())
        })
        .await?;
    }
    scene.strike().await
}

#[tokio::test]
async fn services_without_a_selector_and_headless_ones_are_served() -> Result<()> {
    let scene = Scene::set("e2e-endpoints").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let pods = cluster.pods(namespace, "app=web").await?;
    let addresses: Vec<String> = pods.iter().filter_map(address).take(1).collect();
    let manual = json!({"metadata": {"name": "manual"}, "spec": {"ports": [{"name": "http", "port": 8000}]}});
    cluster.apply::<Service>(namespace, manual).await?;
    let slice = json!({
        "metadata": {"name": "manual-1", "labels": {"kubernetes.io/service-name": "manual"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": addresses}],
    });
    cluster.apply::<EndpointSlice>(namespace, slice).await?;
    let headless = json!({
        "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"},
                 "ports": [{"name": "http", "port": 8000, "targetPort": 8080}]},
    });
    cluster.apply::<Service>(namespace, headless).await?;
    let (node, client) = scene.first()?;
    for service in ["manual", "headless"] {
        client.goes_through(&format!("http://{service}.{namespace}.mesh:8000/"), node).await?;
    }
    scene.strike().await
}
