//! The cluster's DNS: the block comes back when it is taken out, is never there twice, and goes when it does harm.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use weft_e2e::{
    mesh::ZONES,
    wait::{eventually, seconds},
};

const BEGIN: &str = "# Begin Weft";
const END: &str = "# End Weft";

/// A Corefile without the mesh's block.
fn without_block(corefile: &str) -> Option<String> {
    let (before, rest) = corefile.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{}", after.split_once('\n')?.1))
}

#[tokio::test]
async fn a_corefile_that_is_reverted_is_patched_again_and_never_twice() -> Result<()> {
    let scene = Scene::set("e2e-reverted").await?;
    let cluster = &scene.cluster;
    let patched = cluster.corefile().await?;
    let plain = without_block(&patched).ok_or_else(|| anyhow::anyhow!("no block in {patched}"))?;
    let load = scene.first()?.1.load(&scene.url("web"), 20, 20);
    cluster.merge::<ConfigMap>("kube-system", "coredns", json!({"data": {"Corefile": plain}})).await?;
    cluster.event("kube-system", "coredns", "DnsReverted", "").await?;
    cluster.dns_is_patched().await?;
    let again = cluster.corefile().await?;
    ensure!(again == patched, "{again}");
    for zone in ZONES {
        ensure!(
            again.matches(&format!(" {zone}:53")).count() + again.matches(&format!("\n{zone}:53")).count()
                == 1,
            "{again}"
        );
    }
    load.await??; // whether a lookup failed in between depends on the moment; that the names work does not
    let (node, client) = scene.first()?;
    client.goes_through(&scene.url("web"), node).await?;
    scene.strike().await
}

#[tokio::test]
async fn a_change_by_somebody_else_stays_beside_the_block() -> Result<()> {
    let scene = Scene::set("e2e-beside").await?;
    let cluster = &scene.cluster;
    let patched = cluster.corefile().await?;
    let commented = format!("# a note of the cluster's owner\n{patched}");
    cluster.merge::<ConfigMap>("kube-system", "coredns", json!({"data": {"Corefile": commented}})).await?;
    // The operator has looked at it once it patches what is reverted after it.
    cluster.uninstall().await?;
    let left = cluster.corefile().await?;
    ensure!(Some(left.clone()) == without_block(&commented), "{left}");
    let restored = left.replacen("# a note of the cluster's owner\n", "", 1);
    cluster.merge::<ConfigMap>("kube-system", "coredns", json!({"data": {"Corefile": restored}})).await?;
    cluster.installed().await?;
    eventually("the same block as before", seconds(30), || async {
        ensure!(cluster.corefile().await? == patched, "{}", cluster.corefile().await?);
        Ok(())
    })
    .await?;
    scene.strike().await
}
