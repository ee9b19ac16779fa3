//! One session: its endpoint, and the connected socket that leads there.
//!
//! In: a route and what was tried. Out: a socket that hears its endpoint and nobody else, and whatever the kernel learns of
//! an endpoint that refuses.

use super::{room::Held, train::Train};
use crate::{
    balance::{Dice, InFlight, NoEndpoint, Outcome, Want, hash_address},
    cause::Cause,
    metrics::OpenSession,
    route::{Target, Way},
};
use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState, is_msg_size_err};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use weft_contract::policy::HashKey;

/// An endpoint that has been sent something and did not refuse it for so long does its work, also where it never answers.
const NO_COMPLAINT: Duration = Duration::from_secs(3);

/// What is kept for a client's address and port.
#[derive(Debug)]
pub(super) struct Session {
    /// Whose endpoints serve it.
    pub(super) target: Arc<Target>,
    /// None where the endpoint failed and no other is picked yet.
    pub(super) upstream: Option<Upstream>,
    /// The endpoints that failed since one last answered.
    pub(super) tried: Vec<SocketAddr>,
    /// No more than its first datagram was sent, and nothing came back.
    pub(super) only_first: bool,
    /// The generation of the plan in which a retired endpoint was last found to be serving still.
    pub(super) checked: u32,
    /// The generation of the plan by which it was last found to be granted.
    pub(super) granted: u32,
    _open: OpenSession,
    _held: Held,
}

/// The way to an endpoint.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) socket: UdpSocket,
    pub(super) endpoint: InFlight,
    since: Instant,
    joins: bool,
}

/// Why a train did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The endpoint refuses, or cannot be reached.
    Refused,
    /// It had to be dropped, which says nothing of the endpoint.
    Dropped(Cause),
}

// === impl Session ===

impl Session {
    /// One that leads nowhere yet.
    pub(super) fn new(target: Arc<Target>, open: OpenSession, held: Held) -> Self {
        let (upstream, tried) = (None, Vec::new());
        Self { target, upstream, tried, only_first: false, checked: 0, granted: 0, _open: open, _held: held }
    }

    /// It expires: what was not complained of was fine.
    pub(super) fn rest(&mut self, now: Instant) {
        if let Some(upstream) = &mut self.upstream {
            upstream.endpoint.observe(Outcome::Accepted, now);
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// A socket that is connected to an endpoint other than those tried.
    pub(super) fn pick(
        way: &Way,
        client: IpAddr,
        tried: &mut Vec<SocketAddr>,
        dice: &Dice,
        now: Instant,
    ) -> Result<Self, Cause> {
        let Way { side, only, backend: _, cookie: _ } = way;
        let key = match side.balancer.hash_key() {
            Some(HashKey::SourceAddress) => Some(hash_address(client)),
            // A datagram has neither.
            Some(HashKey::Header(_) | HashKey::Cookie(_)) | None => None,
        };
        loop {
            let want = Want { key, sticky: None, tried, only: only.as_ref() };
            let mut endpoint = side.balancer.pick_connection(&want, dice, now).map_err(|why| match why {
                NoEndpoint::NoneReady => Cause::NoEndpoint,
                NoEndpoint::AllTried => Cause::ConnectFailed,
                NoEndpoint::Full => Cause::Overloaded,
            })?;
            let error = match connect(endpoint.address()) {
                Ok(socket) => return Ok(Self { socket, endpoint, since: now, joins: false }),
                Err(error) => error,
            };
            match trouble(&error) {
                Trouble::Refused => {
                    endpoint.observe(Outcome::ConnectFailed, now);
                    tried.push(endpoint.address());
                }
                Trouble::Dropped(cause) => return Err(cause),
            }
        }
    }

    /// Sends a train: at once where the kernel can, else one by one.
    pub(super) fn send(
        &mut self,
        state: &UdpSocketState,
        train: Train<'_>,
        now: Instant,
    ) -> Result<(), Trouble> {
        if now.saturating_duration_since(self.since) >= NO_COMPLAINT {
            self.endpoint.observe(Outcome::Accepted, now);
        }
        if let Some(segment) = train.segment(state.max_gso_segments()) {
            let transmit = Transmit {
                destination: self.endpoint.address(),
                ecn: None,
                contents: train.bytes(),
                segment_size: Some(segment),
                src_ip: None,
            };
            match state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Ok(()) => return Ok(()),
                Err(error) if cannot_join(&error) => {}
                Err(error) => return Err(trouble(&error)),
            }
        }
        // Without an address the kernel goes the way that it found when the socket was connected.
        train.datagrams().try_for_each(|datagram| match self.socket.send(datagram) {
            Ok(_) => Ok(()),
            Err(error) => Err(trouble(&error)),
        })
    }

    /// It answered.
    pub(super) fn answered(&mut self, now: Instant) {
        self.endpoint.observe(Outcome::Accepted, now);
    }

    /// It brings more at once than one reading takes: from now on the kernel joins what it can.
    pub(super) fn join(&mut self) {
        if !self.joins {
            self.joins = true;
            let _ = setsockopt(&self.socket, UdpGroSegment, &true); // not where the kernel is old
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// Several datagrams at once do not fit the path or the device; one by one they may.
pub(super) fn cannot_join(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::INVAL | Errno::IO | Errno::MSGSIZE))
}

/// What an error of a socket says.
pub(super) fn trouble(error: &io::Error) -> Trouble {
    if is_msg_size_err(error) {
        return Trouble::Dropped(Cause::BodyTooLarge);
    }
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match (error.kind(), errno) {
        (ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable, _) => {
            Trouble::Refused
        }
        // Neither room in a buffer, nor memory, nor a file, nor (EAGAIN on connecting) a port.
        (ErrorKind::WouldBlock, _)
        | (_, Some(Errno::NOBUFS | Errno::NOMEM | Errno::MFILE | Errno::NFILE)) => {
            Trouble::Dropped(Cause::Overloaded)
        }
        _ => {
            tracing::debug!(%error, "a datagram could not be sent");
            Trouble::Dropped(Cause::Internal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_errors_say() {
        for (errno, expected) in [
            (Errno::CONNREFUSED, Trouble::Refused),
            (Errno::HOSTUNREACH, Trouble::Refused),
            (Errno::NETUNREACH, Trouble::Refused),
            (Errno::AGAIN, Trouble::Dropped(Cause::Overloaded)),
            (Errno::NOBUFS, Trouble::Dropped(Cause::Overloaded)),
            (Errno::MFILE, Trouble::Dropped(Cause::Overloaded)),
            (Errno::MSGSIZE, Trouble::Dropped(Cause::BodyTooLarge)),
            (Errno::PERM, Trouble::Dropped(Cause::Internal)),
        ] {
            assert_eq!(trouble(&io::Error::from_raw_os_error(errno.raw_os_error())), expected, "{errno:?}");
        }
    }
}
