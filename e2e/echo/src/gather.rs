//! Runs several senders at once and sums up what comes of them.
//!
//! In: senders, which tell outcomes. Out: the sum, or each outcome printed.

use crate::{client::Outcome, series::Lines, summary::Summary};
use anyhow::Result;
use std::time::Duration;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How often the sum so far is told on standard error, so that whoever started this can follow it.
const PROGRESS: Duration = Duration::from_secs(1);

/// Where a sender tells its outcomes.
pub type Teller = UnboundedSender<Outcome>;

/// Divides `count` over senders as evenly as can be, lets each run to its end, and returns the sum. `print` prints each
/// outcome as a line of JSON.
pub async fn gather<Sender, Sending>(
    count: u64,
    senders: usize,
    print: bool,
    start: Sender,
) -> Result<Summary>
where
    Sender: Fn(usize, u64, Teller) -> Sending,
    Sending: Future<Output = Lines> + Send + 'static,
{
    let (teller, told) = unbounded_channel();
    let mut running = JoinSet::new();
    let all = senders.max(1) as u64;
    for (index, number) in (0..all).enumerate() {
        let share = count / all + u64::from(number < count % all);
        running.spawn(start(index, share, teller.clone()));
    }
    drop(teller); // so that it ends with the last sender
    let mut summary = sum(told, print).await;
    while let Some(lines) = running.join_next().await {
        let Lines { opened, resent } = lines?;
        summary.opened += opened;
        summary.resent += resent;
    }
    Ok(summary)
}

async fn sum(mut told: UnboundedReceiver<Outcome>, print: bool) -> Summary {
    let mut summary = Summary::default();
    let mut progress = interval(PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
    progress.tick().await; // the first is at once
    loop {
        tokio::select! {
            outcome = told.recv() => {
                let Some(outcome) = outcome else { return summary };
                summary.add(&outcome);
                if print {
                    println!("{}", outcome.json());
                }
            }
            _ = progress.tick() => summary.tell(),
        }
    }
}
