//! Programs of this machine, which reaches the pods of hack/cluster.
//!
//! In: a command line. Out: what it printed. Used for clients that are not ours, such as curl.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Runs a program to its end.
///
/// # Errors
/// When it is missing, or fails, with what it printed.
pub async fn run(name: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(name);
    // A proxy of the machine's own is not for the pods of this cluster.
    command.args(arguments).env_remove("http_proxy").env_remove("HTTP_PROXY").env_remove("ALL_PROXY");
    let output = command.kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("{name} is needed for this test, and cannot be run"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name} {arguments:?} failed: {stdout}{stderr}");
    Ok(format!("{stdout}{stderr}"))
}
