//! Sends requests at a constant rate, whether or not earlier ones were answered.
//!
//! In: a URL, a rate and a duration. Out: the sum. Latency counts from when a request was meant to be sent, so that a
//! slow answer is not hidden by the requests that waited behind it.

use crate::{arguments::Load, client::Client, summary::Summary};
use anyhow::Result;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How often the sum so far is told on standard error, so that whoever started this can follow it.
const PROGRESS: Duration = Duration::from_secs(1);

/// Sends the load until its time is over, or told to end earlier; what it came to.
pub async fn load(arguments: Load, told: impl Future<Output = ()>) -> Result<Summary> {
    let Load { url, rate, duration, timeout, connect, connections, question } = arguments;
    let client = Arc::new(Client::new(&url, connect, timeout)?.asking(question).within(connections));
    let mut told = pin!(told);
    let mut summary = Summary::default();
    let mut running = JoinSet::new();
    let start = Instant::now();
    let mut progress = start + PROGRESS;
    for number in 0_u32.. {
        // From the start each time: a rounded gap, added up, would be another rate.
        let meant = start + Duration::from_secs(1) * number / rate.max(1);
        if meant >= start + duration {
            break;
        }
        tokio::select! {
            biased; // told to end, it does even where it cannot keep up
            () = &mut told => break,
            () = sleep_until(meant) => {}
        }
        let client = Arc::clone(&client);
        running.spawn(async move { client.send(meant).await });
        while let Some(done) = running.try_join_next() {
            summary.add(&done?);
        }
        if Instant::now() >= progress {
            summary.tell();
            progress += PROGRESS;
        }
    }
    while let Some(done) = running.join_next().await {
        summary.add(&done?);
    }
    Ok(summary)
}
