//! The threads that carry the traffic.
//!
//! In: accepted connections. Out: each served on one thread from beginning to end, so that nothing on its way takes a
//! lock or moves between cores. A connection goes to the thread with the fewest.

use super::Arrival;
use std::{
    io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::{runtime, sync::mpsc};

/// How one connection is served. Made once per thread, on that thread.
pub trait Serve: 'static {
    /// Serves the connection to its end.
    fn serve(
        &self,
        stream: tokio::net::TcpStream,
        arrival: Arrival,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// All worker threads. They end when this is dropped, and their connections with them.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    connections: mpsc::UnboundedSender<(TcpStream, Arrival)>,
    open: Arc<AtomicUsize>,
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
            let (connections, receiver) = mpsc::unbounded_channel();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let make = make.clone();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(work(receiver, || make(number))))?;
            Ok(Worker { connections, open: Arc::default() })
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
        let _ = worker.connections.send((stream, arrival));
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.iter().map(|worker| worker.open.load(Ordering::Relaxed)).sum()
    }
}

async fn work<S: Serve>(
    mut connections: mpsc::UnboundedReceiver<(TcpStream, Arrival)>,
    make: impl FnOnce() -> S,
) {
    let serve = make();
    while let Some((stream, arrival)) = connections.recv().await {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
        // The future itself, not one around it, which would be twice as large: ten thousand may rest here.
        tokio::spawn(serve.serve(stream, arrival));
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
