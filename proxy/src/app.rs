//! Wires the stations; nothing else knows them all.
//!
//! In: the settings. Out: a running proxy. Threads: one for each worker, one that accepts, one for DNS, one for the
//! admin port, and the caller's, which follows the configuration.

use crate::{
    balance::Dice,
    configuration::{self, Content, Keep},
    dns,
    drain::Patience,
    http::{Engine, Limits},
    listen::{self, Arrival, Listeners, Listening, Serve, Workers},
    metrics::OpenConnection,
    plan::{Accepted, Plan, compile},
    route::route,
    status::Status,
    tcp, udp,
};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use weft_contract::{Protocol, Rejection};

/// How long until DNS is tried again after its port could not be had.
const DNS_RETRY: Duration = Duration::from_secs(5);

/// What a proxy needs to know to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node that it is for.
    pub node: String,
    /// Where the last good configuration is kept.
    pub state_directory: PathBuf,
    /// Where it listens for the traffic.
    pub address: IpAddr,
    /// Where the admin port is.
    pub admin_address: SocketAddr,
    /// Where DNS is answered.
    pub dns_address: SocketAddr,
    /// How many worker threads; at least one.
    pub workers: usize,
    /// How long things may take, and how much a connection may ask for.
    pub limits: Limits,
    /// Whether bytes of TCP connections may move within the kernel (`splice(2)`).
    pub splice: bool,
}

/// Why a proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The admin port is taken.
    #[error("cannot listen on the admin address {address}: {source}")]
    Admin {
        /// The address wanted.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No thread or runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// A running proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// What it says about itself.
    pub status: Status,
    /// Where the admin port came to be.
    pub admin_address: SocketAddr,
    node: String,
    keep: Keep,
    last: Option<Arc<Plan>>,
    plans: watch::Sender<Option<Arc<Plan>>>,
    workers: Arc<Workers>,
    _end: DropGuard,
}

/// How a worker serves a connection: by what is spoken on its route. And how it serves datagrams.
struct Carry {
    http: Engine,
    tcp: tcp::Engine,
    status: Status,
    udp: udp::Context,
}

// === impl Carry ===

impl Serve for Carry {
    fn serve(&self, stream: TcpStream, arrival: Arrival) -> impl Future<Output = ()> + Send + 'static {
        let plan = self.status.plan.load();
        let route = plan.as_ref().and_then(|plan| route(plan, &arrival.target));
        let http = match route {
            // Its listener went in this moment.
            None => None,
            Some(route) => match route.protocol {
                // A connection that rests must not keep an old route alive.
                Protocol::Http => {
                    let open = OpenConnection::new(Arc::clone(&route.traffic));
                    Some((self.http.clone(), stream, arrival, open))
                }
                // A task of its own: one that rests is smaller than that of an HTTP connection.
                Protocol::Tcp => {
                    tokio::spawn(self.tcp.clone().serve(stream, arrival, route));
                    None
                }
                // Its listener has no connections.
                Protocol::Udp => None,
            },
        };
        async move {
            if let Some((engine, stream, arrival, _open)) = http {
                engine.serve(stream, arrival).await;
            }
        }
    }

    fn serve_datagrams(
        &self,
        socket: UdpSocket,
        listening: Listening,
    ) -> impl Future<Output = ()> + Send + 'static {
        udp::serve(socket, listening, self.udp.clone())
    }
}

// === impl Proxy ===

impl Proxy {
    /// Starts every thread, and the last good configuration if one was kept.
    ///
    /// # Errors
    /// Where the admin port or a thread cannot be had.
    pub fn start(settings: Settings, seed: u64) -> Result<Self, Error> {
        let status = Status::default();
        let end = CancellationToken::new();
        let admin_address = start_admin(&settings, &status, &end)?;
        let (plans, followed) = watch::channel(None);
        let workers = Arc::new(start_workers(&settings, &status, seed)?);
        let listeners = Listeners::new(settings.address, Arc::clone(&workers), status.clone());
        start_thread("accept", end.clone(), listeners.run(followed))?;
        start_thread("dns", end.clone(), answer_dns(settings.dns_address, status.clone()))?;
        let Settings { node, state_directory, .. } = settings;
        let keep = Keep::new(&state_directory);
        let end = end.drop_guard();
        let mut proxy = Self { status, admin_address, node, keep, last: None, plans, workers, _end: end };
        proxy.load_kept();
        Ok(proxy)
    }

    /// Follows the configurations that come in, for ever.
    pub async fn follow(&mut self, mut contents: mpsc::Receiver<Content>) {
        while let Some(content) = contents.recv().await {
            self.take(&content);
        }
    }

    /// Takes a configuration, or says why not and stays on the last one.
    pub fn take(&mut self, content: &Content) {
        match configuration::accept(content, &self.node) {
            Ok(accepted) => {
                self.status.accepted();
                if self.apply(accepted)
                    && let Err(error) = self.keep.store(content)
                {
                    tracing::warn!(%error, "cannot keep the configuration for the next start");
                }
            }
            Err(error) => {
                let Rejection { revision, reason } = content.rejection(&error);
                tracing::error!(revision, reason, "configuration refused: staying on the last good one");
                self.status.rejected(Rejection { revision, reason });
            }
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.workers.connections()
    }

    /// Goes as `SIGTERM` asks: ends when nothing is left, which is true, or the patience is. Borrows nothing, so that
    /// the proxy can follow configurations meanwhile.
    pub fn drain(&self, patience: Patience) -> impl Future<Output = bool> + use<> {
        let (workers, drain) = (Arc::clone(&self.workers), self.status.drain.clone());
        async move { drain.go(patience, move || workers.connections()).await }
    }

    fn apply(&mut self, accepted: Accepted) -> bool {
        if self.last.as_ref().is_some_and(|plan| plan.revision == accepted.revision) {
            return false;
        }
        let plan = Arc::new(compile(accepted, self.last.as_deref(), Instant::now()));
        self.last = Some(Arc::clone(&plan));
        self.plans.send_replace(Some(plan));
        true
    }

    fn load_kept(&mut self) {
        let kept = match self.keep.load() {
            Ok(Some(content)) => configuration::accept(&content, &self.node),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match kept {
            Ok(accepted) => {
                tracing::info!(revision = accepted.revision, "starting with the configuration kept on disk");
                self.apply(accepted);
            }
            Err(error) => tracing::warn!(%error, "the configuration kept on disk cannot be used"),
        }
    }
}

fn start_workers(settings: &Settings, status: &Status, seed: u64) -> io::Result<Workers> {
    let (status, limits, node) = (status.clone(), settings.limits, settings.node.clone());
    let splice = settings.splice;
    let room = udp::Room::half_of_the_files();
    Workers::start(settings.workers, move |number| {
        let dice = Arc::new(Dice::new(seed.wrapping_add(number as u64)));
        Carry {
            http: Engine::new(node.clone(), &status, Arc::clone(&dice), limits),
            tcp: tcp::Engine::new(&status, Arc::clone(&dice), limits.connect, splice),
            udp: udp::Context { status: status.clone(), dice, room: room.clone() },
            status: status.clone(),
        }
    })
}

fn start_admin(settings: &Settings, status: &Status, end: &CancellationToken) -> Result<SocketAddr, Error> {
    let address = settings.admin_address;
    let failed = |source| Error::Admin { address, source };
    let listener = listen::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let serve = crate::admin::serve(listener, status.clone(), end.clone().cancelled_owned());
    start_thread("admin", end.clone(), async {
        if let Err(error) = serve.await {
            tracing::error!(%error, "the admin port failed");
        }
    })?;
    Ok(bound)
}

/// Runs `task` on a thread and a runtime of its own, until it or the proxy ends.
fn start_thread(
    name: &str,
    end: CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = task => {}
                () = end.cancelled() => {}
            }
        });
    })?;
    Ok(())
}

async fn answer_dns(address: SocketAddr, status: Status) {
    loop {
        let queries = status.metrics.dns_queries.clone();
        let answered = dns::serve(address, Arc::clone(&status.plan), queries, || status.dns(true)).await;
        status.dns(false);
        if let Err(error) = answered {
            tracing::error!(%error, "DNS is not answered for now");
        }
        sleep(DNS_RETRY).await;
    }
}
