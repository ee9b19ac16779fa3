//! The sessions of one listener, and what happens to them.
//!
//! In: turns, whenever a socket has something, and looks, now and then. Out: datagrams in their places. Nothing here waits,
//! and nothing is shared with another thread but counters and what is known of endpoints.
//!
//! ```text
//!  clients ---- the listener's socket ---> Table ---> Session ---- a connected socket ----> endpoint
//!          <--- from where they sent to ---------------------- <--- whatever it answers ---
//! ```

mod answers;

use super::{
    Context,
    admit::{admit, again, may_stay},
    poll::{LISTENER, MOST_EVENTS, Poll},
    recall::Recall,
    rules::Rules,
    session::{Session, Trouble, Upstream},
    table::{Key, Place, Table},
    tally::Tally,
    train::{Batch, Buffers, Train, couple},
};
use crate::{
    balance::Outcome,
    cause::Cause,
    metrics::{Moved, OpenSession},
    plan::Plan,
    route::{Route, Target, route},
};
use quinn_udp::{BATCH_SIZE, UdpSockRef, UdpSocketState};
use std::{
    array,
    cell::RefCell,
    io::{self, ErrorKind},
    net::UdpSocket,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use weft_contract::Endpoint;

/// How many endpoints one datagram is sent to before it is given up.
const TRIES: usize = 3;
/// Sessions that expire are looked for no more often than this, so that many go at once, and no less, so that a shorter idle
/// time takes effect.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A session that has rested for so long waits for no answer: who asked has asked again, or never will.
const RESTED: Duration = Duration::from_secs(2);

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// One listener's socket and its sessions.
pub(super) struct Server {
    socket: UdpSocket,
    target: Arc<Target>,
    context: Context,
    sessions: Table<Session>,
    rules: Rules,
    recall: Recall,
    /// What the kernel can do, for each side: if one refuses to join datagrams, the other still may.
    clients: UdpSocketState,
    endpoints: UdpSocketState,
    tally: Tally,
    tickets: Vec<u64>,
}

// === impl Server ===

impl Server {
    /// None where the listener's route has gone already.
    pub(super) fn new(
        socket: UdpSocket,
        target: Arc<Target>,
        context: Context,
        poll: &Poll,
    ) -> io::Result<Option<Self>> {
        let Some(plan) = context.status.plan.load_full() else { return Ok(None) };
        let Some(listened) = route(&plan, &target) else { return Ok(None) };
        poll.watch(&socket, LISTENER)?;
        // Only to find out what the kernel can do: it would set options that datagrams passed on must not have.
        let probe = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let state = || UdpSocketState::new(UdpSockRef::from(&probe));
        Ok(Some(Self {
            socket,
            target,
            context,
            sessions: Table::default(),
            rules: Rules::new(&plan, &listened),
            recall: Recall::default(),
            clients: state()?,
            endpoints: state()?,
            tally: Tally::new(Arc::clone(&listened.traffic)),
            tickets: Vec::with_capacity(MOST_EVENTS),
        }))
    }

    /// Takes what is there, up to a bound. Says whether there may be more.
    pub(super) fn turn(&mut self, poll: &Poll, now: Instant) -> io::Result<bool> {
        let mut tickets = std::mem::take(&mut self.tickets);
        let looked = poll.look(&mut tickets);
        let mut more = tickets.len() == MOST_EVENTS;
        // First of all, who refuses and who has gone: then what clients send goes the right way at once.
        for ticket in tickets.iter().filter(|ticket| **ticket != LISTENER) {
            if let Some(place) = self.sessions.redeem(*ticket) {
                more |= self.take_answers(poll, place, now);
            }
        }
        let clients = tickets.contains(&LISTENER);
        self.tickets = tickets;
        looked?;
        if clients {
            more |= self.take_from_clients(poll, now)?;
        }
        self.tally.settle();
        Ok(more)
    }

    /// Lets sessions expire.
    pub(super) fn look(&mut self, now: Instant) {
        self.follow();
        while let Some(place) = self.sessions.expired(now, self.rules.idle) {
            if let Some(mut session) = self.sessions.remove(place) {
                session.rest(now);
                self.tally.counters().expired();
            }
        }
    }

    /// When to look next, while there are sessions.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let due = self.sessions.next_expiry(self.rules.idle)?;
        Some(due.clamp(now + LOOK.0, now + LOOK.1))
    }

    /// Whether somebody may wait for an answer.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.sessions.last_use().is_some_and(|used| now.saturating_duration_since(used) < RESTED)
    }

    fn follow(&mut self) -> Option<Arc<Plan>> {
        let plan = self.context.status.plan.load_full()?;
        self.rules.follow(&plan, &self.target);
        Some(plan)
    }

    fn take_from_clients(&mut self, poll: &Poll, now: Instant) -> io::Result<bool> {
        let Some(plan) = self.follow() else { return Ok(false) };
        BUFFERS.with_borrow_mut(|buffers| {
            let (batch, joint) = match buffers.receive(&self.clients, &self.socket, BATCH_SIZE) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let mut known = [(Place::default(), 0); BATCH_SIZE];
            let mut length = 0;
            for index in 0..batch.len() {
                let (meta, train) = (batch.meta(index), batch.train(index));
                self.tally.received(train);
                let key = Key { client: meta.addr, local: meta.dst_ip };
                if let Some(place) = self.sessions.find(&key) {
                    self.sessions.touch(place, now);
                    known[length] = (place, index);
                    length += 1;
                    continue;
                }
                // A session that has to go for the new one must not take along what came for it before.
                self.forward(poll, &plan, batch, &mut known[..length], joint, now);
                length = 0;
                if let Err(cause) = self.open(poll, &plan, key, train, now) {
                    self.tally.dropped(cause, train);
                }
            }
            self.forward(poll, &plan, batch, &mut known[..length], joint, now);
            Ok(batch.len() == BATCH_SIZE)
        })
    }

    /// Sends what came for sessions that are known: what is for one of them together, in its order.
    fn forward(
        &mut self,
        poll: &Poll,
        plan: &Plan,
        batch: Batch<'_>,
        known: &mut [(Place, usize)],
        joint: &mut Vec<u8>,
        now: Instant,
    ) {
        known.sort_unstable();
        let most = self.endpoints.max_gso_segments();
        for run in known.chunk_by(|one, other| one.0 == other.0) {
            let trains: [Train<'_>; BATCH_SIZE] = array::from_fn(|number| {
                run.get(number).map_or_else(Train::default, |(_, index)| batch.train(*index))
            });
            let place = run[0].0;
            couple(&trains[..run.len()], most, joint, |train| {
                if let Some(session) = self.sessions.get_mut(place) {
                    session.only_first = false;
                }
                self.send(poll, plan, place, train, now);
            });
        }
    }

    /// Opens a session and sends its first datagrams.
    fn open(
        &mut self,
        poll: &Poll,
        plan: &Plan,
        key: Key,
        train: Train<'_>,
        now: Instant,
    ) -> Result<(), Cause> {
        let client = key.source();
        let way = admit(plan, &self.target, client)?;
        let mut tried = Vec::new();
        let upstream = match Upstream::pick(&way, client, &mut tried, &self.context.dice, now) {
            // No port, no file: one that rests has to give its own.
            Err(Cause::Overloaded) => {
                self.evict(self.sessions.oldest().ok_or(Cause::Overloaded)?);
                Upstream::pick(&way, client, &mut tried, &self.context.dice, now)?
            }
            outcome => outcome?,
        };
        while let Some(place) = self.sessions.crowded(client, self.rules.bounds) {
            self.evict(place);
        }
        let held = match self.context.room.take() {
            Some(held) => held,
            None => {
                self.evict(self.sessions.oldest().ok_or(Cause::Overloaded)?);
                self.context.room.take().ok_or(Cause::Overloaded)?
            }
        };
        let open = OpenSession::new(Arc::clone(self.tally.traffic()));
        let session = Session::new(Arc::clone(&way.side.target), open, held);
        let place = self.sessions.insert(key, now, session);
        if let Err(cause) = self.connect(poll, place, upstream) {
            self.sessions.remove(place);
            return Err(cause);
        }
        if let Some(session) = self.sessions.get_mut(place) {
            session.tried = tried;
            session.only_first = train.count() == 1;
        }
        if train.count() == 1 {
            self.recall.remember(self.sessions.ticket(place), train.bytes());
        }
        self.send(poll, plan, place, train, now);
        Ok(())
    }

    /// Sends to the session's endpoint; to another where that refuses or has gone.
    fn send(&mut self, poll: &Poll, plan: &Plan, place: Place, train: Train<'_>, now: Instant) {
        for _ in 0..TRIES {
            if let Err(cause) = self.lead_somewhere(poll, plan, place, now) {
                return self.give_up(place, cause, train);
            }
            let upstream = self.sessions.get_mut(place).and_then(|session| session.upstream.as_mut());
            let Some(upstream) = upstream else { return };
            match upstream.send(&self.endpoints, train, now) {
                Ok(()) => return,
                Err(Trouble::Refused) => self.refused(place, now),
                Err(Trouble::Dropped(cause)) => return self.tally.dropped(cause, train),
            }
        }
        self.give_up(place, Cause::ConnectFailed, train);
    }

    /// Sees to it that a session has an endpoint.
    fn lead_somewhere(&mut self, poll: &Poll, plan: &Plan, place: Place, now: Instant) -> Result<(), Cause> {
        let client = self.sessions.key(place).source();
        let generation = self.rules.generation;
        self.cut_if_denied(plan, place);
        let session = self.sessions.get_mut(place).ok_or(Cause::Internal)?;
        if let Some(upstream) = &session.upstream
            && (!upstream.endpoint.state().is_retired() || session.checked == generation)
        {
            return Ok(());
        }
        let Target { service, port, transport, listener: _ } = &*session.target;
        let listed = plan.route_to(service, *port, *transport);
        if let Some(upstream) = session.upstream.take() {
            if listed.is_some_and(|route| is_serving(route, &upstream)) {
                (session.upstream, session.checked) = (Some(upstream), generation);
                return Ok(());
            }
            self.tally.counters().moved(Moved::Retired);
        }
        let way = match listed {
            Some(side) => again(plan, &self.target, side, client)?,
            None => admit(plan, &self.target, client)?,
        };
        session.target = Arc::clone(&way.side.target);
        let upstream = Upstream::pick(&way, client, &mut session.tried, &self.context.dice, now)?;
        self.connect(poll, place, upstream)
    }

    /// Takes its endpoint from a session that is no longer granted there; once for each plan.
    fn cut_if_denied(&mut self, plan: &Plan, place: Place) {
        let (client, generation) = (self.sessions.key(place).source(), self.rules.generation);
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.granted == generation {
            return;
        }
        session.granted = generation;
        let endpoint = session.upstream.as_ref().map(|upstream| upstream.endpoint.address());
        if endpoint.is_some_and(|endpoint| !may_stay(plan, &session.target, endpoint, client)) {
            session.upstream = None;
        }
    }

    fn connect(&mut self, poll: &Poll, place: Place, upstream: Upstream) -> Result<(), Cause> {
        let ticket = self.sessions.ticket(place);
        let watched = poll.watch(&upstream.socket, ticket);
        watched.map_err(|error| {
            tracing::warn!(%error, "cannot watch the socket of a session");
            Cause::Overloaded
        })?;
        let session = self.sessions.get_mut(place).ok_or(Cause::Internal)?;
        session.upstream = Some(upstream);
        Ok(())
    }

    /// The session's endpoint refuses: that counts against it, and the session goes to another.
    fn refused(&mut self, place: Place, now: Instant) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if let Some(mut upstream) = session.upstream.take() {
            upstream.endpoint.fail(Outcome::ConnectFailed, now);
            session.tried.push(upstream.endpoint.address());
            self.tally.counters().moved(Moved::Refused);
        }
    }

    /// A datagram found no endpoint. The next may: its client, or an endpoint, has had time meanwhile.
    fn give_up(&mut self, place: Place, cause: Cause, train: Train<'_>) {
        self.tally.dropped(cause, train);
        if let Some(session) = self.sessions.get_mut(place) {
            session.tried.clear();
        }
    }

    fn evict(&mut self, place: Place) {
        self.sessions.remove(place);
        self.tally.counters().evicted();
    }
}

/// Whether an endpoint that takes no new sessions still serves those that it has: it is about to end.
fn is_serving(route: &Route, upstream: &Upstream) -> bool {
    let address = upstream.endpoint.address();
    let same = |endpoint: &&Endpoint| (endpoint.address, endpoint.port) == (address.ip(), address.port());
    route.port.endpoints.iter().find(same).is_some_and(|endpoint| endpoint.serving)
}

#[cfg(test)]
mod tests;
