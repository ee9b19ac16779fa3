//! The cluster's DNS: the block comes back when it is taken out, is never there twice, and goes when it does harm.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::{Value, json};
use weft_e2e::{cluster::Cluster, mesh::ZONES};

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
    cluster.forget_events("kube-system", "coredns").await?;
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
    // The mesh's DNS may have another address now; everything beside the block is the same.
    let again = cluster.corefile().await?;
    ensure!(without_block(&again) == without_block(&patched), "{again}");
    scene.strike().await
}

/// Sets the Corefile and an environment variable of CoreDNS, and waits until its pods run with both.
async fn configure(cluster: &Cluster, corefile: &str, extra: Value) -> Result<()> {
    cluster.merge::<ConfigMap>("kube-system", "coredns", json!({"data": {"Corefile": corefile}})).await?;
    let container = json!({"name": "coredns", "env": extra});
    let change = json!({"spec": {"template": {"spec": {"containers": [container]},
                                                 "metadata": {"annotations": {"e2e/corefile": corefile}}}}});
    let deployments = cluster.api::<Deployment>("kube-system");
    let parameters = kube::api::PatchParams::default();
    deployments.patch("coredns", &parameters, &kube::api::Patch::Strategic(change)).await?;
    cluster.rolled_out("kube-system", "coredns").await
}

/// CoreDNS does not read its Corefile again by itself here, and has a server block whose zone only its environment
/// tells: no check can see that a block for `mesh` makes it fail. A restarted CoreDNS crashes, and must be rescued.
#[tokio::test]
async fn a_block_that_makes_coredns_fail_is_put_back() -> Result<()> {
    let cluster = Cluster::connect().await?;
    cluster.uninstall().await?;
    let original = cluster.corefile().await?;
    let without_reload: String = original
        .lines()
        .filter(|line| !line.trim().starts_with("reload"))
        .map(|line| format!("{line}\n"))
        .collect();
    let trap = format!("{without_reload}{{$EXTRA_ZONE}}:53 {{\n    errors\n}}\n");
    configure(&cluster, &trap, json!([{"name": "EXTRA_ZONE", "value": "mesh"}])).await?;

    cluster.forget_events("kube-system", "coredns").await?;
    cluster.install_chart(&["--reset-values"]).await?;
    cluster.event("kube-system", "coredns", "DnsPutBack", "").await?;
    ensure!(cluster.corefile().await? == trap, "{}", cluster.corefile().await?);
    cluster.rolled_out("kube-system", "coredns").await?;
    ensure!(cluster.corefile().await? == trap, "it was written again: {}", cluster.corefile().await?);

    // What stood in the way goes, and the zones come.
    configure(&cluster, &original, json!([{"name": "EXTRA_ZONE", "$patch": "delete"}])).await?;
    cluster.dns_is_patched().await
}
