//! The threads that carry the traffic.
//!
//! In: listening sockets, the connections accepted there, and sockets for datagrams. Out: each served on one thread from
//! beginning to end, so that nothing on its way takes a lock or moves between cores.
//!
//! Each thread has a share of the listening sockets, and mostly serves what it accepts: to hand a connection to another
//! thread costs two system calls and a switch between them. It does so where another has clearly fewer. A socket for
//! datagrams goes to the thread with the fewest of them.

use super::Arrival;
use crate::route::Target;
use std::{
    fmt, io,
    net::{TcpStream, UdpSocket},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::{
    runtime::{self, EnterGuard, Handle},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How many connections more than another thread one may have before it hands over: a quarter, and this number, for a
/// difference of so few is gone before it matters.
const SLACK: usize = 2;

/// How one connection is served. Made once for each thread, within its runtime.
pub trait Serve: Send + Sync + 'static {
    /// Serves the connection to its end.
    fn serve(
        &self,
        stream: tokio::net::TcpStream,
        arrival: Arrival,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// Serves the datagrams of a socket until its listener goes.
    fn serve_datagrams(
        &self,
        socket: UdpSocket,
        listening: Listening,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// All worker threads. They end when this is dropped, and their connections with them.
#[derive(Debug)]
pub struct Workers {
    first: Worker,
    others: Vec<Worker>,
}

struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    runtime: Handle,
    own: Own,
    /// Sockets for datagrams.
    listeners: Arc<AtomicUsize>,
}

/// What a thread has for itself.
#[derive(Clone)]
struct Own {
    here: Arc<dyn Here>,
    open: Arc<AtomicUsize>,
}

/// What is served on one thread.
#[derive(Debug)]
enum Job {
    Connection(TcpStream, Arrival),
    Datagrams(UdpSocket, Listening),
}

/// Where datagrams arrive.
#[derive(Debug)]
pub struct Listening {
    /// Which port of which Service the clients mean.
    pub target: Arc<Target>,
    /// Cancelled when the listener goes.
    pub stop: CancellationToken,
    /// Whether somebody may wait for an answer.
    pub active: Active,
    /// Dropped when the socket is closed.
    pub ended: Ended,
}

/// What is dropped when a socket for datagrams is closed.
#[derive(Debug)]
pub struct Ended {
    _told: oneshot::Sender<()>,
    _counted: Counted,
}

/// Counts as a connection while it is on: a proxy that goes waits for these.
#[derive(Debug)]
pub struct Active {
    open: Arc<AtomicUsize>,
    counted: Option<Counted>,
}

/// Takes the connections that were accepted on one thread.
pub(super) struct Taker {
    own: Own,
    /// The threads that it may be handed to; none where this is the only one.
    all: Option<Weak<Workers>>,
}

/// A connection that counts until it is dropped, also where serving it panics.
#[derive(Debug, Default)]
pub(crate) struct Counted(Option<Arc<AtomicUsize>>);

/// Serves what it gets on the thread that calls it.
trait Here: Send + Sync {
    fn take(&self, stream: TcpStream, arrival: Arrival);
    fn take_datagrams(&self, socket: UdpSocket, listening: Listening);
}

impl<S: Serve> Here for S {
    fn take(&self, stream: TcpStream, arrival: Arrival) {
        // Where it cannot be watched it is closed.
        if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
            // The future itself, not one around it, which would be twice as large: ten thousand may rest here.
            tokio::spawn(self.serve(stream, arrival));
        }
    }

    fn take_datagrams(&self, socket: UdpSocket, listening: Listening) {
        tokio::spawn(self.serve_datagrams(socket, listening));
    }
}

// === impl Workers ===

impl Workers {
    /// Starts `count` threads, each with what `make` makes for it, given the thread's number.
    ///
    /// # Errors
    /// Where the operating system refuses a thread or its event queue.
    pub fn start<S: Serve>(count: usize, make: impl Fn(usize) -> S) -> io::Result<Self> {
        let start = |number| {
            let (jobs, receiver) = mpsc::unbounded_channel();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let here: Arc<dyn Here> = {
                let _within = runtime.enter();
                Arc::new(make(number))
            };
            let own = Own { here: Arc::clone(&here), open: Arc::default() };
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(work(receiver, here)))?;
            Ok(Worker { jobs, runtime: handle, own, listeners: Arc::default() })
        };
        let first = start(0)?;
        let others = (1..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { first, others })
    }

    /// Makes what the caller registers now a matter of the thread that listens on this port.
    pub(super) fn enter(&self, port: u16) -> EnterGuard<'_> {
        self.of(port).runtime.enter()
    }

    /// Runs a task on the thread that listens on this port.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        port: u16,
        task: impl FnOnce(Taker) -> F,
    ) -> JoinHandle<()> {
        let worker = self.of(port);
        let all = (!self.others.is_empty()).then(|| Arc::downgrade(self));
        worker.runtime.spawn(task(Taker { own: worker.own.clone(), all }))
    }

    /// Hands a socket for datagrams to the thread with the fewest. Ends when it is closed again.
    pub(super) fn take_datagrams(
        &self,
        socket: UdpSocket,
        target: Arc<Target>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (told, ended) = oneshot::channel();
        if let Some(worker) = self.all().min_by_key(|worker| worker.listeners.load(Ordering::Relaxed)) {
            let active = Active { open: Arc::clone(&worker.own.open), counted: None };
            let ended = Ended { _told: told, _counted: Counted::new(&worker.listeners) };
            let _ = worker.jobs.send(Job::Datagrams(socket, Listening { target, stop, active, ended }));
        }
        async {
            // Never sent, only dropped.
            let _ = ended.await;
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.all().map(|worker| worker.own.count()).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Worker> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn of(&self, port: u16) -> &Worker {
        let number = usize::from(port) % (1 + self.others.len());
        self.all().nth(number).unwrap_or(&self.first)
    }
}

async fn work(mut jobs: mpsc::UnboundedReceiver<Job>, here: Arc<dyn Here>) {
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Connection(stream, arrival) => here.take(stream, arrival),
            Job::Datagrams(socket, listening) => here.take_datagrams(socket, listening),
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").field("open", &self.own.open).finish_non_exhaustive()
    }
}

// === impl Taker ===

impl Taker {
    /// Serves a connection here, or where there are clearly fewer.
    pub(super) fn take(&self, stream: TcpStream, arrival: Arrival) {
        let all = self.all.as_ref().and_then(Weak::upgrade);
        let other = all.as_ref().and_then(|all| {
            let least = all.all().min_by_key(|worker| worker.own.count())?;
            is_clearly_less(least.own.count(), self.own.count()).then_some(least)
        });
        match other {
            Some(other) => {
                let counted = Counted::new(&other.own.open);
                // Where the thread is gone, the connection is dropped and the count with it.
                let _ = other.jobs.send(Job::Connection(stream, Arrival { counted, ..arrival }));
            }
            None => {
                let counted = Counted::new(&self.own.open);
                self.own.here.take(stream, Arrival { counted, ..arrival });
            }
        }
    }
}

fn is_clearly_less(least: usize, own: usize) -> bool {
    own > least + least / 4 + SLACK
}

// === impl Own ===

impl Own {
    fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

// === impl Active ===

impl Active {
    /// Turns it on or off.
    pub fn set(&mut self, on: bool) {
        match (&self.counted, on) {
            (None, true) => self.counted = Some(Counted::new(&self.open)),
            (Some(_), false) => self.counted = None,
            (None, false) | (Some(_), true) => {}
        }
    }
}

// === impl Counted ===

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Some(Arc::clone(count)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stays_unless_another_thread_has_clearly_fewer() {
        for (least, own, hands_over) in [
            (0, 0, false),
            (0, SLACK, false),
            (0, SLACK + 1, true),
            (100, 125 + SLACK, false),
            (100, 126 + SLACK, true),
        ] {
            assert_eq!(is_clearly_less(least, own), hands_over, "{least} {own}");
        }
    }
}
