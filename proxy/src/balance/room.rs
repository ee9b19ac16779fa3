//! The places at endpoints that may have so many requests and no more, and who waits for one.
//!
//! In: requests that found every endpoint full that they may go to; and each place that becomes free. Out: the place, for
//! whose turn it is among those who may have it; turns are fair between sources. Where endpoints have no bound, nobody waits,
//! and a place costs what counting costs.
//!
//! While somebody waits who may have it, a place that becomes free goes from hand to hand and is not counted down in between,
//! so that nobody who comes later takes it. So a place that is free is one that nobody who waits may have: whoever comes may
//! take it, unless somebody waits who may go anywhere. That one may be about to look for what was free when it came.
//!
//! Why no place is left over while somebody waits: who comes to wait first says so (`waiting`), then looks at all endpoints
//! once more. Who gives a place back first takes it off the count, then looks at `waiting`. Between the two each has a fence,
//! so at least one of them sees the other.

use super::{
    dice::Dice, field::is_open, group::Group, in_flight::InFlight, only::Only, state::EndpointState,
};
use crate::queue::Queue;
use std::{
    net::IpAddr,
    slice,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering, fence},
    },
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// One request's place at an endpoint, until this is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<EndpointState>);

/// The places of one port of a Service.
#[derive(Debug)]
pub(super) struct Room {
    /// How many each endpoint has; the largest number is no bound.
    most: AtomicUsize,
    /// As many as `line` holds; changes under its lock only.
    waiting: AtomicUsize,
    /// Those of them who may go anywhere.
    waiting_for_any: AtomicUsize,
    line: Mutex<Line>,
}

type Line = Queue<IpAddr, Waiter>;

/// One in the line.
#[derive(Debug)]
struct Waiter {
    /// The only endpoints that it may go to; none where it may go to all.
    only: Option<Only>,
    turn: oneshot::Sender<Place>,
}

/// Who waits for a place; dropping it leaves the line.
#[derive(Debug)]
pub struct Waiting {
    group: Arc<Group>,
    source: IpAddr,
    ticket: u64,
    turn: oneshot::Receiver<Place>,
}

/// Where tests let another thread come in between.
#[cfg(not(test))]
fn crossing() {}
#[cfg(test)]
fn crossing() {
    std::thread::yield_now();
}

// === impl Place ===

impl Place {
    /// A place at this endpoint, unless all of `most` are taken.
    pub(super) fn take(state: &Arc<EndpointState>, most: usize) -> Option<Self> {
        state.charge(most).then(|| Self(Arc::clone(state)))
    }

    pub(super) fn state(&self) -> &Arc<EndpointState> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.group.room.give_back(&self.0);
    }
}

// === impl Room ===

impl Room {
    /// Whether anybody waits who may go anywhere: then nobody else may take a place.
    pub(super) fn is_any_awaited(&self) -> bool {
        self.waiting_for_any.load(Ordering::Relaxed) != 0
    }

    fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// From now on these endpoints have so many places each; those that are free go to who waits.
    pub(super) fn open(&self, states: &[Arc<EndpointState>], most: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.hand_over(states);
    }

    /// Gives back a place at this endpoint: to whose turn it is, if anybody waits.
    fn give_back(&self, state: &Arc<EndpointState>) {
        if self.is_awaited() {
            self.pass_on(state);
            return;
        }
        crossing();
        state.discharge();
        if self.most.load(Ordering::Relaxed) == usize::MAX {
            return;
        }
        crossing();
        fence(Ordering::SeqCst);
        if self.is_awaited() {
            self.hand_over(slice::from_ref(state));
        }
    }

    /// Gives a place that is still counted to whose turn it is.
    fn pass_on(&self, state: &Arc<EndpointState>) {
        let mut line = self.lock();
        // It may have more than it should since the bound was lowered.
        let stays = !state.is_retired() && state.in_flight() <= self.most.load(Ordering::Relaxed);
        let found = if stays { line.find(|waiter| waiter.may_have(state)) } else { None };
        let Some(next) = found.and_then(|found| line.take(found)) else {
            // Still under the lock: who comes to wait afterwards finds it free.
            state.discharge();
            return;
        };
        self.has_left(&next);
        drop(line);
        // Where nobody is there any more to take it, the place comes back by its end.
        let _ = next.turn.send(Place(Arc::clone(state)));
    }

    /// Gives what is free at these endpoints to whose turn it is.
    fn hand_over(&self, states: &[Arc<EndpointState>]) {
        let mut turns = Vec::new();
        let mut line = self.lock();
        let most = self.most.load(Ordering::Relaxed);
        for state in states.iter().filter(|state| !state.is_retired()) {
            // Looked at first, for it is cheaper than the line.
            while state.in_flight() < most
                && let Some(found) = line.find(|waiter| waiter.may_have(state))
                && let Some(place) = Place::take(state, most)
            {
                let next = line.take(found);
                next.iter().for_each(|next| self.has_left(next));
                turns.push((next, place));
            }
        }
        drop(line);
        for (next, place) in turns {
            let _ = next.map(|next| next.turn.send(place)); // as above
        }
    }

    /// One more waits; with the lock held.
    fn has_come(&self, waiter: &Waiter) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if waiter.only.is_none() {
            self.waiting_for_any.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One less does; with the lock held.
    fn has_left(&self, waiter: &Waiter) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if waiter.only.is_none() {
            self.waiting_for_any.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Room {
    fn default() -> Self {
        Self {
            most: AtomicUsize::new(usize::MAX),
            waiting: AtomicUsize::new(0),
            waiting_for_any: AtomicUsize::new(0),
            line: Mutex::default(),
        }
    }
}

// === impl Waiter ===

impl Waiter {
    fn may_have(&self, state: &EndpointState) -> bool {
        is_open(self.only.as_ref(), state)
    }
}

// === impl Waiting ===

impl Waiting {
    /// Comes to wait, in a line of at most `longest`, for a place at one of these endpoints, or at one of the only ones of
    /// them; none where the line is full.
    pub(super) fn join(
        group: &Arc<Group>,
        states: &[Arc<EndpointState>],
        only: Option<&Only>,
        source: IpAddr,
        longest: usize,
    ) -> Option<Self> {
        let room = &group.room;
        let (sender, turn) = oneshot::channel();
        let waiter = Waiter { only: only.cloned(), turn: sender };
        let mut line = room.lock();
        if line.len() >= longest {
            // Whoever fills the line makes room for others.
            room.has_left(&line.displace_for(source)?);
        }
        room.has_come(&waiter);
        let ticket = line.push(source, waiter);
        drop(line);
        crossing();
        fence(Ordering::SeqCst);
        room.hand_over(states);
        Some(Self { group: Arc::clone(group), source, ticket, turn })
    }

    /// Waits for its turn; none where that does not come in time, or where others had to have its place in the line.
    pub async fn turn(mut self, limit: Duration, dice: &Dice) -> Option<InFlight> {
        let place = match timeout(limit, &mut self.turn).await {
            Ok(come) => come.ok()?,
            Err(_) => self.turn.try_recv().ok()?, // it may have come just now
        };
        Some(InFlight::of(place, Instant::now(), dice.roll()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let room = &self.group.room;
        let mut line = room.lock();
        if let Some(waiter) = line.leave(self.source, self.ticket) {
            room.has_left(&waiter);
        }
    }
}
