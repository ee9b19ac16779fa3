//! Keeps the open sockets in line with the plan.
//!
//! In: each new plan. Out: a listener for every route, each accepted connection served by a worker, and word of what
//! could not be opened. What did not change is not touched: its socket stays open and its connections go on.
//!
//! Each listener is one file descriptor and one small task on one worker's thread, for there may be thousands. A socket for
//! datagrams belongs to a worker, for what is accepted there is what is served.

mod accept;
mod socket;
mod worker;

pub use socket::{bind, bind_datagrams, keep_alive};
pub use worker::{Active, Ended, Listening, Serve, Workers};

use crate::{
    plan::Plan,
    route::{Route, Target},
    status::Status,
};
use accept::Socket;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use weft_contract::{ListenerFailure, Protocol};

/// How long until a listener that could not be opened is tried again: at first, and at most. Its port may be held for
/// a moment by a connection of another process, or for good by somebody else's program.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// After so many sockets opened or closed, the connections of the others get their turn.
const BATCH: usize = 64;

/// Where a connection arrived. It lives as long as the connection.
#[derive(Debug)]
pub struct Arrival {
    /// Which port of which Service the client means.
    pub target: Arc<Target>,
    /// Where the client is.
    pub client: SocketAddr,
    /// Cancelled when the listener goes: an idle connection then ends at once, a busy one after its request.
    pub stop: CancellationToken,
    /// Counts it among its worker's.
    #[allow(dead_code)] // held for its end
    pub(crate) counted: worker::Counted,
}

/// All listeners.
pub struct Listeners {
    address: IpAddr,
    workers: Arc<Workers>,
    status: Status,
    open: HashMap<u16, Open>,
    failed: BTreeMap<u16, Failed>,
    revision: Option<String>,
}

struct Open {
    target: Arc<Target>,
    /// None where a worker has it, for datagrams.
    socket: Option<Arc<Socket>>,
    stop: CancellationToken,
    /// Ends when the socket is closed.
    task: JoinHandle<()>,
}

struct Failed {
    target: Arc<Target>,
    datagrams: bool,
    reason: String,
    delay: Duration,
    again: Instant,
}

// === impl Listeners ===

impl Listeners {
    /// No listener yet; they will be opened at `address`.
    #[must_use]
    pub fn new(address: IpAddr, workers: Arc<Workers>, status: Status) -> Self {
        Self { address, workers, status, open: HashMap::new(), failed: BTreeMap::new(), revision: None }
    }

    /// Follows the plans until the proxy closes; then closes every listener.
    pub async fn run(mut self, mut plans: watch::Receiver<Option<Arc<Plan>>>) {
        let drain = self.status.drain.clone();
        let closing = drain.closing();
        tokio::pin!(closing);
        loop {
            let retry = self.failed.values().map(|failed| failed.again).min();
            tokio::select! {
                () = &mut closing => break,
                changed = plans.changed() => {
                    let plan = plans.borrow_and_update().clone();
                    match (changed, plan) {
                        (Ok(()), Some(plan)) => self.follow(&plan).await,
                        (Ok(()), None) => {}
                        (Err(_), _) => break,
                    }
                }
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => self.retry(),
            }
        }
        // Sessions of datagrams go on as long as the proxy is there: nobody can be told to go elsewhere.
        self.close(|open| open.socket.is_some()).await;
    }

    /// Puts a plan into force. Requests are routed by it before the first new listener is open.
    async fn follow(&mut self, plan: &Arc<Plan>) {
        self.close(|open| !open.stays(plan)).await;
        self.failed.retain(|port, _| plan.routes().contains_key(port));
        self.status.plan.store(Some(Arc::clone(plan)));
        self.status.held.look(plan);
        for (number, (port, route)) in plan.routes().iter().enumerate() {
            if number % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
            self.open(*port, route);
        }
        self.revision = Some(plan.revision.clone());
        tracing::info!(
            revision = plan.revision,
            listeners = self.open.len(),
            failed = self.failed.len(),
            "configuration in force"
        );
        self.report();
    }

    fn open(&mut self, port: u16, route: &Route) {
        match self.open.get_mut(&port) {
            Some(open) if open.target == route.target => return,
            // The port now belongs to another Service. Its socket stays; connections to the Service before end.
            Some(open) => {
                if let Some(socket) = open.socket.take() {
                    open.task.abort();
                    open.stop.cancel();
                    *open =
                        Self::accept(port, socket, Arc::clone(&route.target), &self.workers, &self.status);
                }
                return;
            }
            None => {}
        }
        let datagrams = route.protocol == Protocol::Udp;
        if let Some(failed) = self.failed.get_mut(&port) {
            // It has its time to be tried again, however often the plan changes meanwhile.
            (failed.target, failed.datagrams) = (Arc::clone(&route.target), datagrams);
            return;
        }
        if let Err(error) = self.listen(port, Arc::clone(&route.target), datagrams) {
            let reason = error.to_string();
            tracing::warn!(port, reason, "cannot open a listener");
            let (target, delay) = (Arc::clone(&route.target), RETRY.0);
            let again = Instant::now() + delay;
            self.failed.insert(port, Failed { target, datagrams, reason, delay, again });
        }
    }

    fn listen(&mut self, port: u16, target: Arc<Target>, datagrams: bool) -> io::Result<()> {
        let address = SocketAddr::new(self.address, port);
        let open = if datagrams {
            let stop = CancellationToken::new();
            let socket = socket::bind_datagrams(address)?;
            let ended = self.workers.take_datagrams(socket, Arc::clone(&target), stop.clone());
            Open { target, socket: None, stop, task: tokio::spawn(ended) }
        } else {
            let socket = {
                let _on_its_thread = self.workers.enter(port);
                Socket::new(socket::bind(address)?)?
            };
            Self::accept(port, Arc::new(socket), target, &self.workers, &self.status)
        };
        self.open.insert(port, open);
        Ok(())
    }

    fn accept(
        port: u16,
        socket: Arc<Socket>,
        target: Arc<Target>,
        workers: &Arc<Workers>,
        status: &Status,
    ) -> Open {
        let stop = CancellationToken::new();
        let arrivals = accept::Arrivals { target: Arc::clone(&target), stop: stop.clone() };
        let (listening, metrics) = (Arc::clone(&socket), Arc::clone(&status.metrics));
        let task = workers.spawn(port, |taker| accept::run(listening, arrivals, taker, metrics));
        Open { target, socket: Some(socket), stop, task }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        let due: Vec<u16> =
            self.failed.iter().filter(|(_, failed)| failed.again <= now).map(|(port, _)| *port).collect();
        for port in due {
            let Some(failed) = self.failed.remove(&port) else { continue };
            match self.listen(port, Arc::clone(&failed.target), failed.datagrams) {
                Ok(()) => tracing::info!(port, "a listener could be opened after all"),
                Err(error) => {
                    let delay = (failed.delay * 2).min(RETRY.1);
                    let (reason, again) = (error.to_string(), now + delay);
                    self.failed.insert(port, Failed { reason, delay, again, ..failed });
                }
            }
        }
        self.report();
    }

    async fn close(&mut self, gone: impl Fn(&Open) -> bool) {
        let ports: Vec<u16> =
            self.open.iter().filter(|(_, open)| gone(open)).map(|(port, _)| *port).collect();
        let closed: Vec<Open> = ports.iter().filter_map(|port| self.open.remove(port)).collect();
        for Open { target: _, socket, stop, task } in closed {
            stop.cancel();
            drop(socket);
            // The task holds the socket; only when it has ended can the port be opened anew.
            let _ = task.await;
        }
        self.count();
    }

    fn count(&self) {
        self.status.metrics.listeners.set(i64::try_from(self.open.len()).unwrap_or(i64::MAX));
    }

    fn report(&self) {
        self.count();
        let failures = self
            .failed
            .iter()
            .map(|(port, failed)| ListenerFailure { port: *port, reason: failed.reason.clone() });
        if let Some(revision) = &self.revision {
            self.status.in_force(revision, failures.collect());
        }
    }
}

// === impl Open ===

impl Open {
    /// Whether its socket is still of use. One for datagrams serves a single Service: what waits there for one must not be
    /// taken for another.
    fn stays(&self, plan: &Plan) -> bool {
        let Some(route) = self.target.listener.and_then(|port| plan.routes().get(&port)) else {
            return false;
        };
        match (&self.socket, route.protocol) {
            (Some(_), Protocol::Http | Protocol::Tcp) => true,
            (None, Protocol::Udp) => route.target == self.target,
            (Some(_), Protocol::Udp) | (None, Protocol::Http | Protocol::Tcp) => false,
        }
    }
}
