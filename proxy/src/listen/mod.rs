//! Keeps the open sockets in line with the plan.
//!
//! In: each new plan. Out: a listener for every route, each accepted connection handed to a worker, and word of what
//! could not be opened. What did not change is not touched: its socket stays open and its connections go on.
//!
//! One thread holds all listeners. Each is one file descriptor and one small task, for there may be thousands.

mod accept;
mod socket;
mod worker;

pub use socket::{bind, keep_alive};
pub use worker::{Serve, Workers};

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
use weft_contract::ListenerFailure;

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
    socket: Arc<Socket>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Failed {
    target: Arc<Target>,
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
        self.close(|_| true).await;
    }

    /// Puts a plan into force. Requests are routed by it before the first new listener is open.
    async fn follow(&mut self, plan: &Arc<Plan>) {
        self.close(|open| open.target.listener.is_none_or(|port| !plan.routes().contains_key(&port))).await;
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
                open.task.abort();
                open.stop.cancel();
                let socket = Arc::clone(&open.socket);
                *open = Self::start(socket, Arc::clone(&route.target), &self.workers, &self.status);
                return;
            }
            None => {}
        }
        if let Some(failed) = self.failed.get_mut(&port) {
            // It has its time to be tried again, however often the plan changes meanwhile.
            failed.target = Arc::clone(&route.target);
            return;
        }
        match self.listen(port) {
            Ok(socket) => {
                let open =
                    Self::start(Arc::new(socket), Arc::clone(&route.target), &self.workers, &self.status);
                self.open.insert(port, open);
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(port, reason, "cannot open a listener");
                let (target, delay) = (Arc::clone(&route.target), RETRY.0);
                self.failed.insert(port, Failed { target, reason, delay, again: Instant::now() + delay });
            }
        }
    }

    fn listen(&self, port: u16) -> io::Result<Socket> {
        Socket::new(socket::bind(SocketAddr::new(self.address, port))?)
    }

    fn start(socket: Arc<Socket>, target: Arc<Target>, workers: &Arc<Workers>, status: &Status) -> Open {
        let stop = CancellationToken::new();
        let arrivals = accept::Arrivals { target: Arc::clone(&target), stop: stop.clone() };
        let accepting =
            accept::run(Arc::clone(&socket), arrivals, Arc::clone(workers), Arc::clone(&status.metrics));
        Open { target, socket, stop, task: tokio::spawn(accepting) }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        let due: Vec<u16> =
            self.failed.iter().filter(|(_, failed)| failed.again <= now).map(|(port, _)| *port).collect();
        for port in due {
            let Some(failed) = self.failed.remove(&port) else { continue };
            match self.listen(port) {
                Ok(socket) => {
                    tracing::info!(port, "a listener could be opened after all");
                    let open = Self::start(Arc::new(socket), failed.target, &self.workers, &self.status);
                    self.open.insert(port, open);
                }
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
