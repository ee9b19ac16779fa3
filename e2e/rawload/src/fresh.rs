//! Opens connections as fast as it goes.
//!
//! In: how many at a time. Out: how many did what they were to. The server closes first, so that the client's ports are
//! free again at once.

use crate::{PATIENCE, Target, sum::Sum};
use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

/// Opens connections until the time is over.
pub async fn fresh(to: Target, connections: usize) -> Sum {
    let (begun, end) = (Instant::now(), to.end());
    let mut running = JoinSet::new();
    for _ in 0..connections {
        running.spawn_local(async move {
            let mut sum = Sum::default();
            while Instant::now() < end {
                let done = timeout(PATIENCE, exchange(to)).await.context("timeout").and_then(|done| done);
                sum.add(done.map(|()| 1.0));
            }
            sum
        });
    }
    let mut sum = Sum::default();
    while let Some(done) = running.join_next().await {
        match done {
            Ok(part) => {
                sum.ok += part.ok;
                sum.failed += part.failed;
                for (error, count) in part.errors {
                    *sum.errors.entry(error).or_default() += count;
                }
            }
            Err(error) => sum.fail(&error.into()),
        }
    }
    sum.seconds = begun.elapsed().as_secs_f64();
    sum
}

/// One connection from beginning to end.
async fn exchange(to: Target) -> Result<()> {
    let mut stream = TcpStream::connect(to.address).await.context("connect")?;
    stream.write_u8(7).await.context("write")?;
    let mut answer = [0; 2];
    ensure!(stream.read(&mut answer).await.context("read")? == 1 && answer[0] == 7, "another answer");
    ensure!(stream.read(&mut answer).await.context("read the end")? == 0, "more than the answer");
    Ok(())
}
