//! Accepts the connections of one listener.
//!
//! In: a socket. Out: connections, each handed to a worker. No error ends the loop but the word to stop.

use super::{
    Arrival,
    worker::{Counted, Workers},
};
use crate::{metrics::Metrics, route::Target};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};
use tokio::{io::unix::AsyncFd, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long to wait when there are no file descriptors or buffers left: until some connections ended.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listening socket. Not tokio's own, which would register every connection with this thread before it goes to a
/// worker: two system calls more for each.
pub(super) struct Socket(AsyncFd<TcpListener>);

/// What all connections of a listener have in common.
pub(super) struct Arrivals {
    pub(super) target: Arc<Target>,
    pub(super) stop: CancellationToken,
}

/// Accepts until stopped.
pub(super) async fn run(
    socket: Arc<Socket>,
    arrivals: Arrivals,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
) {
    let mut exhausted = false;
    loop {
        let accepted = tokio::select! {
            () = arrivals.stop.cancelled() => {
                // Who was let in by the kernel before would be reset now.
                while let Ok((stream, client)) = socket.accept_waiting() {
                    workers.take(stream, arrivals.of(client));
                }
                return;
            }
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                exhausted = false;
                workers.take(stream, arrivals.of(client));
            }
            // The client went away while it waited: nothing that concerns the next.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                metrics.accept_errors.inc();
                if !exhausted {
                    tracing::warn!(port = ?arrivals.target.listener, %error, "cannot accept connections for now");
                }
                exhausted = true;
                sleep(EXHAUSTED).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
    )
}

// === impl Arrivals ===

impl Arrivals {
    fn of(&self, client: SocketAddr) -> Arrival {
        let Self { target, stop } = self;
        Arrival { target: Arc::clone(target), client, stop: stop.clone(), counted: Counted::default() }
    }
}

// === impl Socket ===

impl Socket {
    // Deprecated for types that do not own their file descriptor. A `TcpListener` does, and what replaces it is `unsafe`.
    #[allow(deprecated)]
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(AsyncFd::new(listener)?))
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(accepted) = ready.try_io(|_| self.accept_waiting()) {
                return accepted;
            }
        }
    }

    /// A connection that is there already.
    fn accept_waiting(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, client) = self.0.get_ref().accept()?;
        stream.set_nonblocking(true)?;
        Ok((stream, client))
    }
}
