//! Weft's operator, as a program.

use anyhow::{Context, bail};
use clap::Parser;
use kube::Client;
use std::io::{IsTerminal, Write, stderr};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use weft_operator::{
    annotation, app, cleanup, report,
    settings::{Command, CommandLine, LogFormat, LogSettings, Page},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match CommandLine::parse().command {
        Command::Run(settings) => {
            start_log(&settings.log)?;
            Ok(app::run(client().await?, *settings).await?)
        }
        Command::Cleanup(settings) => {
            start_log(&settings.log)?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                done = cleanup::run(client().await?, &settings.namespace, &settings.dns_configmaps) => Ok(done?),
                _ = terminate.recv() => bail!("told to end before all was cleaned up; run it again"),
            }
        }
        Command::CleanupPolicies(log) => {
            start_log(&log)?;
            Ok(cleanup::policies(client().await?).await?)
        }
        Command::Docs { page } => {
            let text = match page {
                Page::Annotations => annotation::docs::page(),
                Page::Events => report::docs::page(),
            };
            std::io::stdout().write_all(text.as_bytes()).context("the page cannot be written")
        }
    }
}

async fn client() -> anyhow::Result<Client> {
    Client::try_default()
        .await
        .context("no way to the API server: neither in a cluster nor a usable kubeconfig")
}

fn start_log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).context("--log cannot be read")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match settings.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
