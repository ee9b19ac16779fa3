//! Weft's operator, as a program.

use anyhow::Context;
use clap::Parser;
use kube::Client;
use std::io::Write;
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
            Ok(cleanup::run(client().await?, &settings.namespace, &settings.dns_configmaps).await?)
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
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
