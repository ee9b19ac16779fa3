//! Sends and receives bytes and datagrams as fast as it goes, for `hack/bench/l4`.
//!
//! In: an address and a duration. Out: one line of JSON that says how much came through. The server (`serve`) and the
//! clients are one program, each with one thread: they share the core that feeds the proxy, so both are written to
//! cost little.

mod bulk;
mod datagrams;
mod fresh;
mod idle;
mod ping;
mod serve;
mod sum;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};
use tokio::{runtime, task::LocalSet, time::Instant};

/// Sends and receives bytes and datagrams as fast as it goes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serves all of the others, until it is ended.
    Serve(serve::Ports),
    /// Sends over some connections; the server throws it away and says how much it was.
    Bulk {
        #[command(flatten)]
        to: Target,
        #[arg(long, default_value_t = 1)]
        connections: usize,
    },
    /// Opens connections, each for one byte there and one back; the server closes.
    Fresh {
        #[command(flatten)]
        to: Target,
        /// How many at a time.
        #[arg(long, default_value_t = 32)]
        connections: usize,
    },
    /// Sends a little to and fro on one connection, and says how long each exchange took.
    Ping {
        #[command(flatten)]
        to: Target,
        /// How much.
        #[arg(long, default_value_t = 64)]
        bytes: usize,
    },
    /// Opens connections, exchanges one byte on each, and keeps them until standard input ends.
    Idle {
        /// ADDRESS:PORT.
        address: SocketAddr,
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// Where the connections come from, in turn: an address has only so many ports.
        #[arg(long, value_delimiter = ',', default_value = "127.0.0.1")]
        sources: Vec<Ipv4Addr>,
    },
    /// Sends datagrams and counts those that arrive.
    Datagrams {
        #[command(flatten)]
        to: Target,
        #[command(flatten)]
        how: datagrams::How,
    },
}

/// Where a load goes, and for how long.
#[derive(Clone, Copy, Debug, Args)]
struct Target {
    /// ADDRESS:PORT.
    address: SocketAddr,
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

impl Target {
    /// When to end, for a load that begins now.
    fn end(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.seconds)
    }
}

/// How long anything may take beyond the load's own time.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(Arguments::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-rawload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let sum = match what {
            What::Serve(ports) => return serve::serve(ports).await,
            What::Idle { address, connections, sources } => {
                return idle::idle(address, connections, &sources).await;
            }
            What::Bulk { to, connections } => bulk::bulk(to, connections).await,
            What::Fresh { to, connections } => fresh::fresh(to, connections).await,
            What::Ping { to, bytes } => ping::ping(to, bytes).await?,
            What::Datagrams { to, how } => datagrams::datagrams(to, how).await?,
        };
        sum.print()
    })
}
