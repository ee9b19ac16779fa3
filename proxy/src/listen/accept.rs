//! Accepts the connections of one listener.
//!
//! In: a socket. Out: connections, each handed to a worker. No error ends the loop but the word to stop.

use super::{
    Arrival,
    worker::{Counted, Taker},
};
use crate::{metrics::Metrics, route::Target};
use rustix::net::{SocketFlags, acceptfrom_with};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{io::unix::AsyncFd, task::yield_now, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long to wait when there are no file descriptors or buffers left: until some connections ended.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// After so many at once, the connections that are there already get their turn.
const BATCH: usize = 16;

/// A listening socket. Not tokio's own, which would make the address of each connection known by a system call more.
pub(super) struct Socket(AsyncFd<TcpListener>);

/// What all connections of a listener have in common.
pub(super) struct Arrivals {
    pub(super) target: Arc<Target>,
    pub(super) stop: CancellationToken,
}

/// Accepts until stopped.
pub(super) async fn run(socket: Arc<Socket>, arrivals: Arrivals, taker: Taker, metrics: Arc<Metrics>) {
    let mut exhausted = false;
    let mut stopped = pin!(arrivals.stop.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => {
                // Who was let in by the kernel before would be reset now.
                while let Ok((stream, client)) = socket.accept_waiting() {
                    taker.take(stream, arrivals.of(client));
                }
                return;
            }
            accepted = socket.accept(|stream, client| {
                exhausted = false;
                taker.take(stream, arrivals.of(client));
            }) => accepted,
        };
        match accepted {
            Ok(()) => yield_now().await,
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
    /// Registers the socket with the runtime that the caller has entered.
    // Deprecated for types that do not own their file descriptor. A `TcpListener` does, and what replaces it is `unsafe`.
    #[allow(deprecated)]
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(AsyncFd::new(listener)?))
    }

    /// Accepts all that wait, or many.
    async fn accept(&self, mut take: impl FnMut(TcpStream, SocketAddr)) -> io::Result<()> {
        for _ in 0..BATCH {
            let (stream, client) = loop {
                let mut ready = self.0.readable().await?;
                if let Ok(accepted) = ready.try_io(|_| self.accept_waiting()) {
                    break accepted?;
                }
            };
            take(stream, client);
        }
        Ok(())
    }

    /// A connection that is there already.
    fn accept_waiting(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, client) =
            acceptfrom_with(self.0.get_ref(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let client = client.and_then(|client| SocketAddr::try_from(client).ok());
        // One that nobody can tell the peer of is gone.
        Ok((stream.into(), client.ok_or(ErrorKind::ConnectionAborted)?))
    }
}
