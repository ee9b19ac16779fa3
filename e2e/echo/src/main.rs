//! An echo server and a client of several protocols, for tests and the demo.
//!
//! In: a command line. Out: a server that says who called it and where it runs, or a client that calls one and sums up
//! what came back. It is one static program, so that its image holds nothing else.

mod answer;
mod arguments;
mod client;
mod load;
mod lookup;
mod raw;
mod server;
mod summary;

use arguments::{CommandLine, Run};
use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match CommandLine::parse().run {
        Run::Serve(arguments) => server::serve(arguments).await.map(|()| true),
        Run::Get(arguments) => client::get(arguments).await,
        Run::Load(arguments) => load::load(arguments).await,
        Run::Tcp(arguments) => raw::call(arguments).await.map(|()| true),
        Run::Resolve(arguments) => lookup::print(&arguments).await,
        Run::Sleep => server::until_told().await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weft-echo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
