//! Connections that rest.
//!
//! In: how many, and where they come from. Out: a line once each has exchanged a byte; they stay until standard input ends.

use crate::{PATIENCE, sum::Sum};
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};

/// How many are opened at a time.
const AT_ONCE: usize = 64;

/// Opens them, says so, and waits.
pub async fn idle(address: SocketAddr, connections: usize, sources: &[Ipv4Addr]) -> Result<()> {
    ensure!(!sources.is_empty(), "no address to come from");
    let begun = Instant::now();
    let (mut sum, mut kept, mut opening) = (Sum::default(), Vec::with_capacity(connections), JoinSet::new());
    for source in sources.iter().cycle().take(connections) {
        if opening.len() >= AT_ONCE {
            keep(&mut opening, &mut kept, &mut sum).await;
        }
        let source = *source;
        opening.spawn_local(async move {
            timeout(PATIENCE, open(address, source)).await.context("timeout").and_then(|opened| opened)
        });
    }
    while !opening.is_empty() {
        keep(&mut opening, &mut kept, &mut sum).await;
    }
    sum.ok = kept.len() as f64;
    sum.seconds = begun.elapsed().as_secs_f64();
    sum.print()?;
    // This thread has nothing else to do; the kernel keeps the connections.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

async fn keep(opening: &mut JoinSet<Result<TcpStream>>, kept: &mut Vec<TcpStream>, sum: &mut Sum) {
    match opening.join_next().await {
        Some(Ok(Ok(stream))) => kept.push(stream),
        Some(Ok(Err(error))) => sum.fail(&error),
        Some(Err(error)) => sum.fail(&error.into()),
        None => {}
    }
}

async fn open(address: SocketAddr, source: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into()).context("bind")?;
    let mut stream = socket.connect(address).await.context("connect")?;
    stream.write_u8(7).await.context("write")?;
    ensure!(stream.read_u8().await.context("read")? == 7, "another answer");
    Ok(stream)
}
