//! The way back: what endpoints say, and that they refuse.
//!
//! In: a session whose socket has something. Out: its datagrams at the client; or, after a refusal, another endpoint.

use super::{BUFFERS, Server, TRIES};
use crate::{
    cause::Cause,
    udp::{
        poll::Poll,
        session::{Trouble, cannot_join, trouble},
        table::{Key, Place},
        train::{Train, couple},
    },
};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use std::{array, io, net::UdpSocket};
use tokio::time::Instant;

/// How many messages of one session are read at once: most have one answer under way.
const ANSWERS: usize = 16;

/// What a look at a session's socket showed.
enum Came {
    /// Some answers, and perhaps more are there.
    Answers { more: bool },
    /// Nothing.
    Nothing,
    /// The endpoint refuses.
    Refusal,
}

// === impl Server ===

impl Server {
    /// Takes what a session's endpoint says. Says whether there may be more.
    pub(super) fn take_answers(&mut self, poll: &Poll, place: Place, now: Instant) -> bool {
        match self.answers(place, now) {
            Came::Answers { more } => more,
            Came::Nothing => false,
            Came::Refusal => {
                self.after_refusal(poll, place, now);
                false
            }
        }
    }

    fn answers(&mut self, place: Place, now: Instant) -> Came {
        // Who may no longer ask gets no more answers either.
        if let Some(plan) = self.follow() {
            self.cut_if_denied(&plan, place);
        }
        let key = self.sessions.key(place);
        let session = self.sessions.get_mut(place);
        let Some(upstream) = session.and_then(|session| session.upstream.as_mut()) else {
            return Came::Nothing;
        };
        let count = BUFFERS.with_borrow_mut(|buffers| {
            let (batch, joint) = buffers.receive(&self.endpoints, &upstream.socket, ANSWERS)?;
            let trains: [Train<'_>; ANSWERS] = array::from_fn(|index| batch.train(index));
            let count = batch.len();
            couple(&trains[..count], self.clients.max_gso_segments(), joint, |train| {
                match answer(&self.clients, &self.socket, key, train) {
                    Ok(()) => self.tally.sent(train),
                    Err(cause) => self.tally.dropped(cause, train),
                }
            });
            Ok(count)
        });
        match count.map_err(|error: io::Error| trouble(&error)) {
            Ok(count) => {
                upstream.answered(now);
                if count == ANSWERS {
                    upstream.join();
                }
                self.answered(place, now);
                Came::Answers { more: count == ANSWERS }
            }
            Err(Trouble::Refused) => Came::Refusal,
            // Nothing was there after all, or what was cannot be had.
            Err(Trouble::Dropped(_)) => Came::Nothing,
        }
    }

    fn answered(&mut self, place: Place, now: Instant) {
        if let Some(session) = self.sessions.get_mut(place) {
            session.tried.clear();
            session.only_first = false;
        }
        self.sessions.touch(place, now);
    }

    /// What was refused is sent to another endpoint if it is still known: if the session's first datagram is all that it has
    /// sent. Else it is not known which of them was refused, and the next goes to another endpoint.
    fn after_refusal(&mut self, poll: &Poll, place: Place, now: Instant) {
        let ticket = self.sessions.ticket(place);
        let only_first = self.sessions.get_mut(place).is_some_and(|session| session.only_first);
        self.refused(place, now);
        let first = if only_first { self.recall.first_of(ticket) } else { None };
        let exhausted = self.sessions.get_mut(place).is_none_or(|session| session.tried.len() >= TRIES);
        match (first, self.follow()) {
            (Some(first), Some(plan)) if !exhausted => {
                self.send(poll, &plan, place, Train::single(first.bytes()), now);
            }
            (first, _) => {
                self.tally.lost(Cause::ConnectFailed);
                // Who asks again deserves to be sent anywhere.
                if let (Some(_), Some(session)) = (first, self.sessions.get_mut(place)) {
                    session.tried.clear();
                }
            }
        }
    }
}
/// Sends to a client, from the address that it sent to.
fn answer(state: &UdpSocketState, socket: &UdpSocket, key: Key, train: Train<'_>) -> Result<(), Cause> {
    let Key { client: destination, local: src_ip } = key;
    let send = |contents, segment_size| {
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip };
        state.try_send(UdpSockRef::from(socket), &transmit)
    };
    if let Some(segment) = train.segment(state.max_gso_segments()) {
        match send(train.bytes(), Some(segment)) {
            Ok(()) => return Ok(()),
            Err(error) if cannot_join(&error) => {}
            Err(error) => return Err(why(&error)),
        }
    }
    train.datagrams().try_for_each(|datagram| send(datagram, None).map_err(|error| why(&error)))
}

/// Why a client is not answered.
fn why(error: &io::Error) -> Cause {
    match trouble(error) {
        Trouble::Dropped(cause) => cause,
        // There is no way to the client.
        Trouble::Refused => Cause::Internal,
    }
}
