//! NetworkPolicies, enforced.
//!
//! In: a cluster whose network plugin enforces none, as that of hack/cluster. Out: one whose nodes do, for as long as a test
//! wants: kube-router's firewall, a process for each node, in the node's network.

use crate::{cluster::Cluster, program};
use anyhow::{Context, Result};
use std::{env, process::Stdio};
use tokio::process::{Child, Command};

/// The script that knows the nodes' networks.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hack/cluster");
/// Takes out what kube-router left, whose own cleanup finds nothing. All rules that have to do with its chains name them.
/// Twice, for kube-proxy may write at the same time, and what it wrote must not be lost.
const CLEAR: &str = "
  rules() { iptables-save -t filter; }
  ours='KUBE-(ROUTER|NWPLCY|POD-FW)-'
  for round in 1 2; do
    for builtin in INPUT FORWARD OUTPUT; do
      iptables -w -S $builtin | grep -E \"$ours\" | sed 's/^-A /-D /' | while IFS= read -r rule; do
        eval \"iptables -w $rule\"
      done
    done
    chains=$(rules | sed -n 's/^:\\([^ ]*\\).*/\\1/p' | grep -E \"$ours\")
    for chain in $chains; do iptables -w -F $chain; done
    for chain in $chains; do iptables -w -X $chain; done
  done
  for set in $(ipset list -n | grep -E '^KUBE-(SRC|DST)-|^TMP-'); do ipset destroy $set; done
  ! rules | grep -E \"$ours\"
";

/// Enforces NetworkPolicies while something is done, and no longer, whatever becomes of it.
///
/// # Errors
/// When what is done fails, or the nodes cannot be as they were.
pub async fn enforced<T>(cluster: &Cluster, what: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    clear(cluster).await?; // of a run that was broken off
    let outcome = match start(cluster).await {
        Ok(mut running) => {
            let outcome = what().await;
            for child in &mut running {
                child.kill().await?;
            }
            outcome
        }
        Err(error) => Err(error),
    };
    clear(cluster).await?;
    outcome
}

async fn start(cluster: &Cluster) -> Result<Vec<Child>> {
    let program =
        env::var("WEFT_E2E_KUBE_ROUTER").context("WEFT_E2E_KUBE_ROUTER is not set: see hack/e2e")?;
    let start = |node: String| {
        let log = env::temp_dir().join(format!("weft-e2e-kube-router-{node}-{}.log", std::process::id()));
        let log = std::fs::File::create(log)?;
        // The death of this thread is its own: a test that is broken off leaves none behind.
        let child = Command::new(SCRIPT)
            .args(["enter", &node, "setpriv", "--pdeathsig", "KILL", &program])
            .args(["--run-firewall=true", "--run-router=false", "--run-service-proxy=false"])
            .args(["--health-port=0", "--metrics-port=0", "--hostname-override", &node])
            .arg(format!("--kubeconfig={}", cluster.kubeconfig.display()))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn();
        child.context("kube-router cannot be run")
    };
    cluster.nodes().await?.into_iter().map(start).collect()
}

async fn clear(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes().await? {
        program::run(SCRIPT, &["enter", &node, "sh", "-c", CLEAR]).await?;
    }
    Ok(())
}
