//! Processes of the cluster, as the machine sees them.
//!
//! In: the name of a pod. Out: the end of its main process, as a crash would do it or by its own doing. Works only where the nodes
//! are on this machine, as those of hack/cluster are, and ends nothing but the process of that very pod.

use anyhow::{Context, Result, bail};
use std::{fs, path::Path};
use tokio::process::Command;

/// Kills the process that runs with `variable` in its environment, such as `POD_NAME=...`, and of that executable.
///
/// # Errors
/// When there is not exactly one.
pub async fn kill(executable: &str, variable: &str) -> Result<()> {
    signal("-9", executable, variable).await
}

/// The same by SIGTERM, so that it ends well.
///
/// # Errors
/// When there is not exactly one.
pub async fn end(executable: &str, variable: &str) -> Result<()> {
    signal("-15", executable, variable).await
}

async fn signal(signal: &str, executable: &str, variable: &str) -> Result<()> {
    let found: Vec<String> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|name| is_it(&Path::new("/proc").join(name), executable, variable))
        .collect();
    let [process] = found.as_slice() else {
        bail!("{} processes of {executable} with {variable} instead of one", found.len())
    };
    let status = Command::new("kill").args([signal, process]).status().await.context("kill cannot be run")?;
    if status.success() { Ok(()) } else { bail!("process {process} cannot be told") }
}

/// Processes come and go while this looks, so what cannot be read is not it.
fn is_it(process: &Path, executable: &str, variable: &str) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    first.ends_with(executable.as_bytes())
        && environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}
