//! Exchanges a little on one connection, over and over.
//!
//! In: how much. Out: how many exchanges there were, and how long they took.

use crate::{PATIENCE, Target, sum::Sum};
use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// How many of the first exchanges do not count: they warm what they touch.
const WARM_UP: usize = 200;

/// Exchanges until the time is over.
pub async fn ping(to: Target, bytes: usize) -> Result<Sum> {
    let mut stream = TcpStream::connect(to.address).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (sent, mut answer) = (vec![7; bytes], vec![0; bytes]);
    for _ in 0..WARM_UP {
        exchange(&mut stream, &sent, &mut answer).await?;
    }
    let (begun, end) = (Instant::now(), to.end());
    let mut times = Vec::new();
    let mut now = begun;
    while now < end {
        exchange(&mut stream, &sent, &mut answer).await?;
        let after = Instant::now();
        times.push(after - now);
        now = after;
    }
    let mut sum = Sum { ok: times.len() as f64, seconds: begun.elapsed().as_secs_f64(), ..Sum::default() };
    sum.rank(times);
    Ok(sum)
}

async fn exchange(stream: &mut TcpStream, sent: &[u8], answer: &mut [u8]) -> Result<()> {
    let exchange = async {
        stream.write_all(sent).await?;
        stream.read_exact(answer).await
    };
    timeout(PATIENCE, exchange).await.context("timeout")?.context("exchange")?;
    Ok(())
}
