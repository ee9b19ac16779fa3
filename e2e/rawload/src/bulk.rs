//! Sends as much as goes through.
//!
//! In: how many connections. Out: the megabytes that the server says it got, over the time until it has said so.

use crate::{PATIENCE, Target, sum::Sum};
use anyhow::{Context, Result, ensure};
use std::rc::Rc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

/// What is written at once: as much as fits the caches of a core.
const AT_ONCE: usize = 256 * 1024;

/// Sends until the time is over.
pub async fn bulk(to: Target, connections: usize) -> Sum {
    let (begun, end) = (Instant::now(), to.end());
    let bytes: Rc<[u8]> = (0..AT_ONCE).map(|index| (index % 251) as u8).collect();
    let mut running = JoinSet::new();
    for _ in 0..connections {
        let bytes = Rc::clone(&bytes);
        running.spawn_local(async move {
            let all = timeout(end - begun + PATIENCE, send(to, &bytes, end)).await;
            all.context("timeout").and_then(|sent| sent)
        });
    }
    let mut sum = Sum::default();
    while let Some(done) = running.join_next().await {
        sum.add(done.context("a task broke").and_then(|sent| sent));
    }
    sum.seconds = begun.elapsed().as_secs_f64();
    sum
}

/// Sends on one connection; the megabytes that arrived.
async fn send(to: Target, bytes: &[u8], end: Instant) -> Result<f64> {
    let mut stream = TcpStream::connect(to.address).await.context("connect")?;
    let mut sent = 0;
    while Instant::now() < end {
        sent += stream.write(bytes).await.context("write")? as u64;
    }
    stream.shutdown().await.context("shutdown")?;
    let arrived = stream.read_u64().await.context("read")?;
    ensure!(arrived == sent, "{arrived} of {sent} bytes arrived");
    Ok(arrived as f64 / 1e6)
}
