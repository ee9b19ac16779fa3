//! An echo server and a client of several protocols, for tests and the demo.
//!
//! In: a command line. Out: a server that says who called it and where it runs, or a client that calls one and sums up
//! what came back. It is one static program, so that its image holds nothing else.

mod answer;
mod arguments;
mod body;
mod client;
mod fault;
mod gather;
mod grpc;
mod load;
mod lookup;
mod messages;
mod query;
mod raw;
mod respond;
mod series;
mod server;
mod site;
mod summary;
#[cfg(test)]
mod tests;
mod websocket;

use anyhow::Result;
use arguments::{CommandLine, Run};
use clap::Parser;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run(CommandLine::parse().run).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weft-echo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked for; whether all of it went well.
async fn run(what: Run) -> Result<bool> {
    match what {
        Run::Serve(arguments) => {
            let told = told()?;
            server::Server::bind(arguments)?.run(told).await;
            Ok(true)
        }
        Run::Get(arguments) => client::get(arguments).await,
        Run::Load(arguments) => load::load(arguments, told()?).await?.print(),
        Run::Grpc(arguments) => finish(grpc::run(arguments.clone()).await?, arguments.summary),
        Run::Websocket(arguments) => finish(websocket::run(arguments.clone()).await?, arguments.summary),
        Run::Tcp(arguments) => {
            let (line, count) = raw::call(&arguments).await?;
            println!("{line}\n{count} bytes sent and received");
            Ok(true)
        }
        Run::Messages(arguments) => finish(messages::run(arguments.clone()).await?, arguments.summary),
        Run::Resolve(arguments) => lookup::print(&arguments).await,
        Run::Sleep => {
            told()?.await;
            Ok(true)
        }
    }
}

/// Prints the sum if that was asked for; whether all went well.
fn finish(summary: summary::Summary, print: bool) -> Result<bool> {
    if print { summary.print() } else { Ok(summary.all_ok()) }
}

/// Resolves when the process is told to end. It listens from when this is called: in a container the program is
/// process 1, which a signal that nobody listens for does not end.
fn told() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
