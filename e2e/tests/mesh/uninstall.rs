//! Uninstall: the Corefile as it was, byte for byte, and nothing left.

use anyhow::{Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use weft_e2e::{
    cluster::Cluster,
    mesh::{NAMESPACE, OPERATOR},
    wait::{eventually, seconds},
};

/// The cluster without the mesh, and its Corefile.
async fn bare() -> Result<(Cluster, String)> {
    let cluster = Cluster::connect().await?;
    cluster.uninstall().await?;
    cluster.nothing_left().await?;
    let corefile = cluster.corefile().await?;
    ensure!(!corefile.contains("Weft"), "{corefile}");
    Ok((cluster, corefile))
}

#[tokio::test]
async fn the_corefile_is_as_it_was_and_the_mesh_can_be_installed_again() -> Result<()> {
    const SHOP: &str = "e2e-left";
    let (cluster, before) = bare().await?;
    cluster.fresh_namespace(SHOP).await?;
    cluster.service(SHOP, "web", &[("http", 80, 8080)]).await?;
    for walls in ["true", "false"] {
        let acl = format!("acl.enabled={walls},acl.networkPolicies={walls}");
        cluster.install(&["--reset-values", "--set", &acl]).await?;
        if walls == "true" {
            eventually("the pods of the Service are walled in", seconds(30), || async {
                ensure!(!cluster.walls().await?.is_empty(), "no NetworkPolicy");
                Ok(())
            })
            .await?;
        }
        ensure!(cluster.corefile().await? != before, "it was not patched");
        cluster.uninstall().await?;
        ensure!(cluster.corefile().await? == before, "{}", cluster.corefile().await?);
        cluster.nothing_left().await?;
    }
    cluster.uninstall().await?; // twice
    ensure!(cluster.corefile().await? == before, "{}", cluster.corefile().await?);
    cluster.delete_namespace(SHOP).await?;
    cluster.installed().await
}

#[tokio::test]
async fn with_the_operator_dead() -> Result<()> {
    let (cluster, before) = bare().await?;
    cluster.installed().await?;
    let none = json!({"spec": {"replicas": 0}});
    cluster.merge::<Deployment>(NAMESPACE, "weft-operator", none).await?;
    for pod in cluster.pods(NAMESPACE, OPERATOR).await? {
        cluster
            .api::<Pod>(NAMESPACE)
            .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
            .await?;
    }
    cluster.uninstall().await?;
    ensure!(cluster.corefile().await? == before, "{}", cluster.corefile().await?);
    cluster.nothing_left().await?;
    cluster.installed().await
}

#[tokio::test]
async fn halfway_through_an_install() -> Result<()> {
    let (cluster, before) = bare().await?;
    // The proxies' image does not exist, so that the install never gets ready.
    let failed = cluster.helm(&[
        "upgrade",
        "--install",
        "weft",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/weft"),
        "--create-namespace",
        "--set",
        "proxy.image.tag=absent",
        "--wait",
        "--timeout",
        "8s",
    ]);
    ensure!(failed.await.is_err(), "the install should have failed");
    cluster.uninstall().await?;
    eventually("nothing is left", seconds(30), || async { cluster.nothing_left().await }).await?;
    ensure!(cluster.corefile().await? == before, "{}", cluster.corefile().await?);
    cluster.installed().await
}
