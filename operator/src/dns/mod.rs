//! Adds the mesh's zones to the cluster's DNS.
//!
//! In: the cluster's DNS server, its ConfigMaps and pods, and the address of the Service `weft-dns`. Out: one marked
//! server block in the Corefile, or the same under a key of its own in a folder that CoreDNS imports, or stub domains
//! of kube-dns; and findings about that ConfigMap.
//!
//! ```text
//! discover -> plan (caddyfile, corefile, stub) -> one write -> health -> well, or taken out again
//! ```
//!
//! Only `cluster` and `watch` talk to the API server; `station` is the one place that decides in what order.

pub mod caddyfile;
pub mod cluster;
pub mod corefile;
pub mod discover;
pub mod health;
mod notes;
pub mod plan;
pub mod revert;
pub mod station;
pub mod stub;
pub mod watch;

use crate::{
    report::{Reporter, Source},
    settings::Settings,
};
use cluster::Cluster;
use kube::Client;
use station::Station;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use watch::Watches;

/// Changes come in groups; one look is enough for those of this time.
const SETTLE: Duration = Duration::from_millis(250);
/// A look that takes longer than this hangs.
const LONGEST_LOOK: Duration = Duration::from_secs(30);
/// How soon to look again when the API server did not answer.
const RETRY: Duration = Duration::from_secs(5);

/// The settings of this station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// The mesh's own namespace.
    pub namespace: String,
    /// The zones to add, the main one first.
    pub zones: Vec<String>,
    /// Whether to touch the cluster's DNS at all.
    pub manage: bool,
}

impl DnsSettings {
    /// This station's part of the operator's settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self { namespace: settings.namespace.clone(), zones: settings.zones(), manage: settings.manage_dns }
    }
}

/// Keeps the mesh's zones in the cluster's DNS until told to stop. They stay there then: proxies answer on.
pub async fn run(client: Client, settings: DnsSettings, reporter: Reporter, stop: CancellationToken) {
    if !settings.manage {
        reporter.state(Source::Dns, Vec::new());
        return stop.cancelled().await;
    }
    // A look may be broken off anywhere: the next one, here or by another leader, starts from the objects.
    let _ = stop.run_until_cancelled(keep(client, settings, reporter)).await;
}

async fn keep(client: Client, settings: DnsSettings, reporter: Reporter) {
    let cluster = Cluster::new(client.clone(), &settings.namespace);
    let mut station = Station::new(cluster, settings, reporter);
    let mut watches = Watches::new(client);
    loop {
        let within = match timeout(LONGEST_LOOK, station.look(Instant::now())).await {
            Ok(Ok(within)) => within,
            Ok(Err(error)) => {
                warn!(%error, "the cluster's DNS could not be looked at; trying again");
                RETRY
            }
            Err(_) => {
                warn!("the API server does not answer; looking at the cluster's DNS again");
                RETRY
            }
        };
        watches.keep(station.watched());
        let _ = timeout(within, watches.woken()).await; // woken, or time to look
        sleep(SETTLE.min(within)).await;
    }
}
