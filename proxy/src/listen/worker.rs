//! The threads that carry the traffic.
//!
//! In: accepted connections, and sockets for datagrams. Out: each served on one thread from beginning to end, so that nothing
//! on its way takes a lock or moves between cores. A connection goes to the thread with the fewest, and so does a socket for
//! datagrams.

use super::Arrival;
use crate::route::Target;
use std::{
    io,
    net::{TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

/// How one connection is served. Made once per thread, on that thread.
pub trait Serve: 'static {
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
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    open: Arc<AtomicUsize>,
    /// Sockets for datagrams.
    listeners: Arc<AtomicUsize>,
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

/// A connection that counts until it is dropped, also where serving it panics.
#[derive(Debug, Default)]
pub(crate) struct Counted(Option<Arc<AtomicUsize>>);

// === impl Workers ===

impl Workers {
    /// Starts `count` threads, each with what `make` makes there, given the thread's number.
    ///
    /// # Errors
    /// Where the operating system refuses a thread or its event queue.
    pub fn start<S: Serve>(
        count: usize,
        make: impl Fn(usize) -> S + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let start = |number| {
            let (jobs, receiver) = mpsc::unbounded_channel();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let make = make.clone();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(work(receiver, || make(number))))?;
            Ok(Worker { jobs, open: Arc::default(), listeners: Arc::default() })
        };
        (0..count.max(1)).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Hands a connection to the thread with the fewest.
    pub(super) fn take(&self, stream: TcpStream, arrival: Arrival) {
        let Some(worker) = self.0.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed)) else {
            return;
        };
        // Where the thread is gone, the connection is dropped and the count with it.
        let arrival = Arrival { counted: Counted::new(&worker.open), ..arrival };
        let _ = worker.jobs.send(Job::Connection(stream, arrival));
    }

    /// Hands a socket for datagrams to the thread with the fewest. Ends when it is closed again.
    pub(super) fn take_datagrams(
        &self,
        socket: UdpSocket,
        target: Arc<Target>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (told, ended) = oneshot::channel();
        if let Some(worker) = self.0.iter().min_by_key(|worker| worker.listeners.load(Ordering::Relaxed)) {
            let active = Active { open: Arc::clone(&worker.open), counted: None };
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
        self.0.iter().map(|worker| worker.open.load(Ordering::Relaxed)).sum()
    }
}

async fn work<S: Serve>(mut jobs: mpsc::UnboundedReceiver<Job>, make: impl FnOnce() -> S) {
    let serve = make();
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Connection(stream, arrival) => {
                let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
                // The future itself, not one around it, which would be twice as large: ten thousand may rest here.
                tokio::spawn(serve.serve(stream, arrival));
            }
            Job::Datagrams(socket, listening) => {
                tokio::spawn(serve.serve_datagrams(socket, listening));
            }
        }
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
