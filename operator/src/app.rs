//! Wires the stations; nothing else knows them all.
//!
//! In: the settings. Out: a running operator, until it is told to stop or loses the Lease.

use crate::{
    admin,
    confirm::{self, Confirm},
    dns::{self, DnsSettings},
    lease,
    metrics::Shown,
    middle::Middle,
    observe::{self, Carriers, Changes, Observed, Stores, callers::Callers, smi::SmiStore},
    publish::{self, history::History, node::Current},
    report::{self, Message, Reporter},
    settings::Settings,
};
use futures::stream;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Client, runtime::reflector::Store};
use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How long stations may take to end what they are writing.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait before shadow Services and NetworkPolicies that were refused are tried again.
const SHADOW_RETRY: Duration = Duration::from_secs(5);

/// Why the operator cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The admin port cannot be served.
    #[error("the admin address {0} cannot be served: {1}")]
    Admin(std::net::SocketAddr, #[source] io::Error),
    /// The process cannot hear of signals.
    #[error("signals cannot be heard: {0}")]
    Signal(#[from] io::Error),
    /// The first lists did not come.
    #[error(transparent)]
    Observe(#[from] observe::Closed),
    /// The Lease is lost: another replica may be writing, so this process must end.
    #[error("the Lease is lost; this replica starts anew")]
    LeaseLost,
    /// A station ended, which none ever should.
    #[error("a station has ended unexpectedly: {0}")]
    Station(String),
}

/// Runs the operator.
///
/// # Errors
/// What keeps it from going on; the process is then started anew.
pub async fn run(client: Client, settings: Settings) -> Result<(), AppError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (current, current_receiver) = watch::channel(None);
    let shown = Shown {
        leads: Arc::new(AtomicBool::new(false)),
        teller: report::SharedTeller::default(),
        current: current_receiver,
        confirmed: Arc::new(AtomicI64::new(0)),
    };
    admin::start(settings.admin_address, shown.clone())
        .map_err(|error| AppError::Admin(settings.admin_address, error))?;

    let mut leadership = tokio::select! {
        leadership = lease::acquire(client.clone(), &settings.namespace, &settings.pod_name) => leadership,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    shown.leads.store(true, Ordering::Relaxed);
    let stop = CancellationToken::new();
    let mut stations = JoinSet::new();
    let result = tokio::select! {
        result = lead(client, settings, &shown, current, &stop, &mut stations) => result,
        () = leadership.lost() => return Err(AppError::LeaseLost), // nothing may be written any more, not even an end
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!("ending");
    stop.cancel();
    let _ = timeout(GRACE, async { while stations.join_next().await.is_some() {} }).await;
    stations.shutdown().await;
    leadership.release().await;
    result
}

/// Starts every station and waits; it returns only when something went wrong.
async fn lead(
    client: Client,
    settings: Settings,
    shown: &Shown,
    current: watch::Sender<Option<Current>>,
    stop: &CancellationToken,
    stations: &mut JoinSet<()>,
) -> Result<(), AppError> {
    let (reporter, messages) = Reporter::channel();
    let changes = Changes::default();
    let mut watches = JoinSet::new();
    start_report(&client, &settings, messages, shown, stations);
    let (stores, smi, callers) = watched(&client, &settings, &changes, &mut watches).await?;

    let (nodes, nodes_settled) = mpsc::channel(1);
    let history = Arc::new(History::default());
    let published = Arc::default();
    let context = publish::node::Context {
        client: client.clone(),
        namespace: settings.namespace.clone(),
        zones: settings.zones(),
        current: current.subscribe(),
        configmaps: stores.configmaps.clone(),
        history: Arc::clone(&history),
        published: Arc::clone(&published),
        reporter: reporter.clone(),
        large: std::sync::Mutex::default(),
    };
    let ticks =
        stream::unfold(nodes_settled, |mut ticks| async move { ticks.recv().await.map(|()| ((), ticks)) });
    stations.spawn(publish::node::run(context, ticks, stop.clone()));
    let (carriers, carriers_receiver) = watch::channel(confirm::nothing_counted(&stores.proxies.state()));
    let observed = observe(&client, &stores, callers, smi, &changes, carriers_receiver, &mut watches);
    let confirm = Confirm {
        carriers,
        topology_changes: Arc::clone(&changes.topology),
        proxies: stores.proxies.clone(),
        proxies_changed: Arc::clone(&changes.proxies),
        history,
        published,
        current: current.subscribe(),
        zone: settings.zone.clone(),
        reporter: reporter.clone(),
        confirmed: Arc::clone(&shown.confirmed),
    };
    let until_stop = stop.clone();
    stations.spawn(async move { until_stop.run_until_cancelled(confirm.run()).await.unwrap_or_default() });
    stations.spawn(dns::run(client.clone(), DnsSettings::of(&settings), reporter.clone(), stop.clone()));
    start_policies(&client, &settings, &current, stop, &mut watches, stations);
    let shadows = publish::shadow::Publisher::new(
        client,
        &settings.namespace,
        settings.access.meanwhile(),
        reporter.clone(),
    );
    stations.spawn(publish_shadows(shadows, current.subscribe(), stores, stop.clone()));

    changes.topology.notify_one(); // the first lists are a change
    let middle = Middle { settings, observed, changes, current, nodes, reporter };
    tokio::select! {
        () = middle.run() => Ok(()),
        ended = stations.join_next() => Err(AppError::Station(format!("{ended:?}"))),
        ended = watches.join_next() => Err(AppError::Station(format!("a watch: {ended:?}"))),
    }
}

fn start_report(
    client: &Client,
    settings: &Settings,
    messages: mpsc::UnboundedReceiver<Message>,
    shown: &Shown,
    stations: &mut JoinSet<()>,
) {
    let teller = Arc::clone(&shown.teller);
    let (client, pod_name) = (client.clone(), settings.pod_name.clone());
    stations.spawn(async move {
        report::run(client, pod_name, messages, teller).await;
        // All who report have ended; the others are waited for.
        std::future::pending().await
    });
}

/// Starts the watches, and waits until what there is is known: what is not known yet is neither served nor split nor
/// granted, and nobody is to be told so.
async fn watched(
    client: &Client,
    settings: &Settings,
    changes: &Changes,
    watches: &mut JoinSet<()>,
) -> Result<(Stores, SmiStore, Callers), observe::Closed> {
    let controlled = settings.access.controlled;
    let stores = Stores::watch(client, &settings.namespace, changes, watches);
    let smi = SmiStore::watch(client, controlled, &changes.topology, watches);
    let callers = Callers::prepare(client, controlled, &changes.topology, watches);
    stores.wait().await?;
    smi.wait().await;
    if controlled {
        callers.want_all().await;
    }
    Ok((stores, smi, callers))
}

/// Starts what publishes NetworkPolicies, where they are asked for.
fn start_policies(
    client: &Client,
    settings: &Settings,
    current: &watch::Sender<Option<Current>>,
    stop: &CancellationToken,
    watches: &mut JoinSet<()>,
    stations: &mut JoinSet<()>,
) {
    if settings.access.controlled && settings.access.network_policies {
        let changed = Arc::new(Notify::new());
        let policies = observe::policies(client, &changed, watches);
        let publisher = publish::policies::Publisher::new(client.clone(), &settings.namespace);
        stations.spawn(publish_policies(publisher, current.subscribe(), policies, changed, stop.clone()));
    }
}

/// Puts together all that is looked at, and starts what reads certificates.
fn observe(
    client: &Client,
    stores: &Stores,
    callers: Callers,
    smi: SmiStore,
    changes: &Changes,
    carriers: watch::Receiver<Carriers>,
    watches: &mut JoinSet<()>,
) -> Observed {
    let (wanted, asked) = watch::channel(BTreeSet::new());
    let (read, authorities) = watch::channel(Arc::default());
    watches.spawn(observe::authorities::run(client.clone(), asked, read, Arc::clone(&changes.topology)));
    Observed { stores: stores.clone(), callers, smi, wanted, authorities, carriers }
}

async fn publish_shadows(
    publisher: publish::shadow::Publisher,
    mut current: watch::Receiver<Option<Current>>,
    stores: Stores,
    stop: CancellationToken,
) {
    loop {
        let topology = current.borrow_and_update().as_ref().map(|current| Arc::clone(&current.topology));
        let done = match topology {
            Some(topology) => publisher.publish(&topology, &stores.services.state()).await,
            None => true,
        };
        let again = async {
            if done {
                // Somebody may have deleted or edited a shadow Service, which changes the topology only at times.
                sleep(SHADOW_RETRY * 6).await;
            } else {
                sleep(SHADOW_RETRY).await;
            }
        };
        tokio::select! {
            changed = current.changed() => if changed.is_err() { return },
            () = again => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn publish_policies(
    publisher: publish::policies::Publisher,
    mut current: watch::Receiver<Option<Current>>,
    policies: Store<NetworkPolicy>,
    changed: Arc<Notify>,
    stop: CancellationToken,
) {
    if stop.run_until_cancelled(policies.wait_until_ready()).await.is_none() {
        return;
    }
    loop {
        let topology = current.borrow_and_update().as_ref().map(|current| Arc::clone(&current.topology));
        let done = match topology {
            Some(topology) => publisher.publish(&topology.walls, &policies.state()).await,
            None => true,
        };
        tokio::select! {
            changed = current.changed() => if changed.is_err() { return },
            () = changed.notified() => {}
            () = sleep(SHADOW_RETRY), if !done => {}
            () = stop.cancelled() => return,
        }
    }
}
