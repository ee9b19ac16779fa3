//! Sends HTTP/1.1 requests at a fixed rate, whether or not earlier ones were answered, for `hack/bench/http`.
//!
//! In: an address, a rate and a duration. Out: one line of JSON with the latency of every request. It counts from when the
//! request was meant to be sent, so that a stall is seen by every request that it held up (coordinated omission). One
//! thread, and a timer of the kernel's: what is measured is tens of microseconds.

mod connection;
mod pace;
mod sum;

use anyhow::{Context, Result};
use clap::Parser;
use connection::Target;
use pace::Pace;
use std::{net::SocketAddr, num::NonZeroU32, process::ExitCode, rc::Rc, time::Duration};
use sum::Sum;
use tokio::{
    runtime,
    task::{JoinSet, LocalSet},
    time::timeout,
};

/// Sends HTTP/1.1 requests at a fixed rate.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// ADDRESS:PORT.
    address: SocketAddr,
    /// The path to ask for.
    #[arg(long, default_value = "/")]
    path: String,
    /// Requests per second.
    #[arg(long, default_value = "2000")]
    rate: NonZeroU32,
    /// For how many seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// How many of the first requests are sent but not counted: they open connections.
    #[arg(long, default_value_t = 20)]
    warm_up: u32,
}

/// How long one request may take; one that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weft-openloop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let sum = LocalSet::new().block_on(&runtime, load(arguments))?;
    serde_json::to_string(&sum.rank()).context("the sum cannot be written")
}

/// Sends the load, and waits for what is under way.
async fn load(arguments: &Arguments) -> Result<Sum> {
    let target = Rc::new(Target::new(arguments.address, &arguments.path));
    let count = u64::from(arguments.rate.get()) * u64::from(arguments.seconds) + u64::from(arguments.warm_up);
    let mut pace = Pace::start(arguments.rate)?;
    let mut running = JoinSet::new();
    let mut sum = Sum::default();
    for number in 0..count {
        let meant = pace.next().await?;
        let counts = number >= u64::from(arguments.warm_up);
        if counts {
            sum.sent(meant.elapsed());
        }
        let target = Rc::clone(&target);
        running.spawn_local(async move {
            let answer = timeout(PATIENCE, target.exchange()).await;
            (counts, answer.unwrap_or_else(|_| Err(anyhow::anyhow!("timeout"))).map(|()| meant.elapsed()))
        });
        while let Some(done) = running.try_join_next() {
            let (counts, outcome) = done?;
            sum.add(counts, outcome);
        }
    }
    while let Some(done) = running.join_next().await {
        let (counts, outcome) = done?;
        sum.add(counts, outcome);
    }
    Ok(sum)
}
