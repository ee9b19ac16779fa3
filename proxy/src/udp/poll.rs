//! Waits for many sockets with one registration each and no task.
//!
//! In: sockets with their tickets. Out: the tickets of those that have something. It is an epoll of its own within the
//! runtime's, for a session must cost neither a task nor a waker, and a closed socket leaves it by itself.

use rustix::event::{Timespec, epoll};
use std::{io, mem::MaybeUninit, net::UdpSocket, os::fd::OwnedFd};
use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

/// How many sockets are told of at once; there is always another turn.
pub(super) const MOST_EVENTS: usize = 64;
/// The ticket of the listener's own socket: that of no session.
pub(super) const LISTENER: u64 = u64::MAX;

/// What a listener waits for.
#[derive(Debug)]
pub(super) struct Poll(AsyncFd<OwnedFd>);

// === impl Poll ===

impl Poll {
    // Deprecated for types that do not own their file descriptor. `OwnedFd` does, and what replaces it is `unsafe`.
    #[allow(deprecated)]
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        AsyncFd::with_interest(epoll, Interest::READABLE).map(Self)
    }

    /// Tells of a socket until that is closed. What is not read is told again.
    pub(super) fn watch(&self, socket: &UdpSocket, ticket: u64) -> io::Result<()> {
        Ok(epoll::add(self.0.get_ref(), socket, epoll::EventData::new_u64(ticket), epoll::EventFlags::IN)?)
    }

    /// Ends when some socket has something.
    pub(super) async fn ready(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.0.readable().await
    }

    /// Puts the tickets of those that have something now in the place of what `tickets` held.
    pub(super) fn look(&self, tickets: &mut Vec<u64>) -> io::Result<()> {
        let mut events = [const { MaybeUninit::uninit() }; MOST_EVENTS];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        tickets.clear();
        let (events, _) = epoll::wait(self.0.get_ref(), &mut events, Some(&at_once))?;
        tickets.extend(events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}
