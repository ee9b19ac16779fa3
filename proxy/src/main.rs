//! The program: reads its settings, starts the proxy and ends it when told to.

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use std::{
    io::{self, IsTerminal},
    net::Ipv6Addr,
    thread,
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, filter::Targets, fmt, layer::SubscriberExt, prelude::*, util::SubscriberInitExt,
};
use weft_proxy::{
    app::{Proxy, Settings},
    args::{Args, LogFormat},
    configuration,
    drain::Patience,
    http::{ACCESS_LOG, Limits},
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    start_log(&args)?;
    raise_file_limit();
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let patience = Patience { quiet: args.drain_quiet, deadline: args.drain_deadline };
    let mut proxy = Proxy::start(settings(&args), seed())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = args.node,
        admin = %proxy.admin_address,
        workers = workers(&args),
        "proxy started"
    );
    let (sender, contents) = mpsc::channel(1);
    follow(args, sender).await?;
    let drain = proxy.drain(patience);
    let gone = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drain.await
    };
    tokio::select! {
        finished = gone => if !finished {
            tracing::warn!("the deadline cut what was still open");
        },
        () = async { proxy.follow(contents).await; std::future::pending().await } => {}
    }
    Ok(())
}

async fn follow(args: Args, contents: mpsc::Sender<configuration::Content>) -> anyhow::Result<()> {
    if let Some(path) = args.configuration_file {
        tokio::spawn(async move { configuration::follow_file(&path, contents).await });
        return Ok(());
    }
    let config =
        kube::Config::infer().await.context("no access to a cluster, and no --configuration-file")?;
    let namespace = args.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = kube::Client::try_from(config)?;
    tokio::spawn(
        async move { configuration::follow_cluster(client, &namespace, &args.node, contents).await },
    );
    Ok(())
}

fn settings(args: &Args) -> Settings {
    Settings {
        node: args.node.clone(),
        state_directory: args.state_directory.clone(),
        address: Ipv6Addr::UNSPECIFIED.into(),
        admin_address: args.admin_address,
        dns_address: args.dns_address,
        workers: workers(args),
        limits: Limits {
            connect: args.connect_timeout,
            idle: args.idle_timeout,
            http2_streams: args.http2_streams,
            http2_resets: args.http2_resets,
        },
        splice: true,
    }
}

fn workers(args: &Args) -> usize {
    match args.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        number => number,
    }
}

/// Different in each process, so that the proxies of many nodes do not favour the same endpoint.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// The log goes to standard error; the access log, where it is wanted, to standard output and nowhere else.
fn start_log(args: &Args) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(format!("{},{ACCESS_LOG}=off", args.log)).context("--log is not a filter")?;
    let log = fmt::layer().with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let log = match args.log_format {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().boxed(),
    };
    let access = args.access_log.then(|| {
        let lines = fmt::layer().json().flatten_event(true).with_target(false).with_level(false);
        let lines = lines.with_current_span(false).with_span_list(false).with_writer(io::stdout);
        lines.with_filter(Targets::new().with_target(ACCESS_LOG, Level::INFO))
    });
    tracing_subscriber::registry().with(log.with_filter(filter)).with(access).init();
    Ok(())
}

/// Each listener and each connection is an open file. The soft limit is often 1,024, the hard one far above.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, ?maximum, "cannot raise the limit of open files");
    }
}
