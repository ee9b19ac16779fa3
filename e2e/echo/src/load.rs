//! Sends requests at a constant rate, whether or not earlier ones were answered.
//!
//! In: a URL, a rate and a duration. Out: the sum. Latency counts from when a request was meant to be sent, so that a
//! slow answer is not hidden by the requests that waited behind it.

use crate::{arguments::Load, client::Client, summary::Summary};
use anyhow::Result;
use std::{sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Sends the load; whether all requests were answered.
pub async fn load(arguments: Load) -> Result<bool> {
    let Load { url, rate, duration, timeout, no_keep_alive } = arguments;
    let client = Arc::new(Client::new(&url, !no_keep_alive, timeout)?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut summary = Summary::default();
    let mut running = JoinSet::new();
    let (start, gap) = (Instant::now(), Duration::from_secs(1) / rate.max(1));
    let mut next = start;
    while next < start + duration {
        tokio::select! {
            () = sleep_until(next) => {}
            _ = terminate.recv() => break,
        }
        let (client, meant) = (Arc::clone(&client), next);
        running.spawn(async move { client.send(meant).await });
        next += gap;
        while let Some(Ok(outcome)) = running.try_join_next() {
            summary.add(&outcome);
        }
    }
    while let Some(done) = running.join_next().await {
        summary.add(&done?);
    }
    Ok(summary.print()?)
}
