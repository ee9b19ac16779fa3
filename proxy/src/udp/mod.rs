//! Serves UDP: a session for each client's address and port, with a connected socket of its own to an endpoint.
//!
//! In: a listener's socket. Out: each datagram at an endpoint, and each answer at the client, from the address that it sent
//! to. A session goes to another endpoint when its own refuses or has gone from the Service, and is forgotten when it has
//! rested for long enough, or when there are too many and it has rested longest.
//!
//! One worker has all of a listener. Sockets that share a port among workers (`SO_REUSEPORT`) would carry one Service on
//! more cores, but each would see a part of its sessions: no bound would hold exactly, nor could the one that rested longest
//! be found, without a lock for each datagram. Different listeners are on different workers.

mod admit;
mod poll;
mod recall;
mod room;
mod rules;
mod server;
mod session;
mod table;
mod tally;
mod train;

pub use room::Room;

use crate::{
    balance::Dice,
    listen::{Active, Listening},
    status::Status,
};
use poll::Poll;
use server::Server;
use std::{convert::Infallible, io, net::UdpSocket, pin::pin, sync::Arc, time::Duration};
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

/// How long to rest after the listener's own socket failed, which it does when the system is out of memory.
const REST: Duration = Duration::from_millis(50);

/// What a listener needs of the proxy.
#[derive(Clone, Debug)]
pub struct Context {
    /// The plan in force.
    pub status: Status,
    /// What chance is drawn from.
    pub dice: Arc<Dice>,
    /// How many sessions all listeners may have together.
    pub room: Room,
}

/// Serves one listener until it goes, and its sessions with it.
pub async fn serve(socket: UdpSocket, listening: Listening, context: Context) {
    let Listening { target, stop, mut active, ended } = listening;
    let port = target.listener;
    tokio::select! {
        () = stop.cancelled() => {}
        served = listen(socket, target, context, &mut active) => {
            if let Err(error) = served {
                tracing::error!(?port, %error, "a listener for datagrams failed");
            }
        }
    }
    // Only now the port can be opened anew.
    drop(ended);
}

async fn listen(
    socket: UdpSocket,
    target: Arc<crate::route::Target>,
    context: Context,
    active: &mut Active,
) -> io::Result<()> {
    let poll = Poll::new()?;
    let Some(mut server) = Server::new(socket, target, context, &poll)? else { return Ok(()) };
    loop {
        let Err(error) = serve_on(&mut server, &poll, active).await;
        tracing::warn!(%error, "datagrams cannot be received for now");
        sleep(REST).await;
    }
}

async fn serve_on(server: &mut Server, poll: &Poll, active: &mut Active) -> io::Result<Infallible> {
    let mut look = pin!(sleep(Duration::ZERO));
    let mut armed = false;
    loop {
        if !armed && let Some(next) = server.next_look(Instant::now()) {
            look.as_mut().reset(next);
            armed = true;
        }
        tokio::select! {
            ready = poll.ready() => {
                let mut ready = ready?;
                let now = Instant::now();
                let more = server.turn(poll, now)?;
                // What comes from now on wakes this again; what is left does not.
                if more { ready.retain_ready() } else { ready.clear_ready() }
                active.set(server.is_busy(now));
                if more {
                    // A fast sender must not keep the worker from its other work.
                    yield_now().await;
                }
            }
            () = &mut look, if armed => {
                armed = false;
                let now = Instant::now();
                server.look(now);
                active.set(server.is_busy(now));
            }
        }
    }
}
