//! How many requests may be under way: to the Service, and from each source to it.
//!
//! In: a request of a source. Out: a [`Permit`], which it holds while it is under way; a place in the queue; or that there is
//! neither. The bound of a single endpoint is the balancer's, which knows how many requests each has.
//!
//! While nobody waits, a request takes its permit with a compare-and-swap on each of two counts, and gives it back
//! likewise. Where somebody waits, everybody goes by the queue's lock, so that nobody overtakes.
//!
//! Why no wake-up is lost: who is about to wait first says so (`waiting`), then looks at the counts once more. Who gives a
//! permit back first takes it off the counts, then looks at `waiting`. All of these are in one order (`SeqCst`), so at least
//! one of the two sees the other.

use crate::queue::Queue;
use std::{
    collections::{HashMap, hash_map::Entry as TableEntry},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::oneshot;
use weft_contract::policy;

/// The bounds of a Service, and what is under way.
#[derive(Debug)]
pub struct Bulkhead(Arc<Shared>);

/// A source's part in a bulkhead: a client's connection looks it up once. It is gone when the last of its clones is.
#[derive(Clone, Debug)]
pub struct SourceSlot(Arc<Source>);

/// What becomes of a request.
#[derive(Debug)]
pub enum Entry {
    /// It goes ahead.
    In(Permit),
    /// It may wait for its turn.
    Wait(Waiting),
    /// A bound is reached, and there is no room to wait.
    Full,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Source>);

/// A place in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub struct Waiting {
    source: Arc<Source>,
    ticket: u64,
    turn: oneshot::Receiver<()>,
}

/// Why waiting was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Its turn did not come in time.
    TimedOut,
    /// The queue was full, and its source had more waiting in it than another that came.
    Displaced,
}

/// Shared by the bulkheads of successive plans: what is under way does not end with a plan.
#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    in_flight: AtomicU32,
    /// As many as `queue` holds; changes under its lock only.
    waiting: AtomicUsize,
    queue: Mutex<Queue<IpAddr, Waiter>>,
    sources: Mutex<HashMap<IpAddr, Weak<Source>>>,
}

/// The bounds in force; the largest number is none.
#[derive(Debug, Default)]
struct Bounds {
    service: AtomicU32,
    source: AtomicU32,
    queue: AtomicU32,
    /// In milliseconds, as in the contract.
    queue_timeout: AtomicU64,
}

#[derive(Debug)]
struct Source {
    shared: Arc<Shared>,
    address: IpAddr,
    in_flight: AtomicU32,
}

#[derive(Debug)]
struct Waiter {
    source: Arc<Source>,
    turn: oneshot::Sender<()>,
}

const NO_BOUND: u32 = u32::MAX;

/// Where tests let another thread come in between.
#[cfg(not(test))]
fn crossing() {}
#[cfg(test)]
use races::crossing;

/// Counts one more, unless that would be above the bound. Never above it for a moment, as adding first and looking then
/// would be: another who looks in that moment would take it for full.
fn take(count: &AtomicU32, bound: &AtomicU32) -> bool {
    let bound = bound.load(SeqCst);
    let one_more = |count: u32| (count < bound).then(|| count.saturating_add(1));
    count.fetch_update(SeqCst, SeqCst, one_more).is_ok()
}

fn give_back(count: &AtomicU32) {
    count.fetch_sub(1, SeqCst);
}

// === impl Bulkhead ===

impl Bulkhead {
    /// A bulkhead; what is under way or waits in `previous` counts, and the bounds of that become these. With `service` or
    /// `source` 0 there is no such bound, with `queue` 0 nobody waits.
    #[must_use]
    pub fn new(policy: &policy::Bulkhead, previous: Option<&Self>) -> Self {
        let shared = match previous {
            Some(previous) => Arc::clone(&previous.0),
            None => Arc::new(Shared::new()),
        };
        shared.bounds.set(policy);
        let mut queue = shared.lock();
        queue.resume_all();
        shared.hand_over(&mut queue);
        drop(queue);
        Self(shared)
    }

    /// The part of the source with this address.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> SourceSlot {
        let mut sources = self.0.lock_sources();
        if let Some(source) = sources.get(&address).and_then(Weak::upgrade) {
            return SourceSlot(source);
        }
        let source = Arc::new(Source { shared: Arc::clone(&self.0), address, in_flight: AtomicU32::new(0) });
        sources.insert(address, Arc::downgrade(&source));
        SourceSlot(source)
    }

    /// Whether a source was looked up here, or in a bulkhead that this one carries on.
    #[must_use]
    pub fn knows(&self, source: &SourceSlot) -> bool {
        Arc::ptr_eq(&self.0, &source.0.shared)
    }

    /// Lets a request of a source in, if there is room. It counts where the source was looked up, also if that was in
    /// another plan's bulkhead.
    #[must_use]
    pub fn enter(&self, source: &SourceSlot) -> Entry {
        let SourceSlot(source) = source;
        let shared = &*source.shared;
        if shared.waiting.load(SeqCst) == 0 {
            if source.take() {
                return Entry::In(Permit(Arc::clone(source)));
            }
            crossing();
            if shared.bounds.queue.load(SeqCst) == 0 && shared.waiting.load(SeqCst) == 0 {
                return Entry::Full;
            }
        }
        source.enter_by_queue()
    }

    /// How many requests are under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.0.in_flight.load(SeqCst)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(SeqCst)
    }
}

// === impl Waiting ===

impl Waiting {
    /// Waits for its turn, for as long as the bulkhead allows.
    ///
    /// # Errors
    /// When it does not come, and why.
    pub async fn turn(mut self) -> Result<Permit, Overflow> {
        let timeout = Duration::from_millis(self.source.shared.bounds.queue_timeout.load(SeqCst));
        match tokio::time::timeout(timeout, &mut self.turn).await {
            Ok(Ok(())) => Ok(Permit(Arc::clone(&self.source))),
            Ok(Err(_)) => Err(Overflow::Displaced),
            // Its turn may have come just now.
            Err(_) if self.leave() => Ok(Permit(Arc::clone(&self.source))),
            Err(_) => Err(Overflow::TimedOut),
        }
    }

    /// Leaves the queue. Whether its turn had come, so that it has a permit to use or to give back.
    fn leave(&mut self) -> bool {
        let shared = &self.source.shared;
        let mut queue = shared.lock();
        if queue.leave(self.source.address, self.ticket).is_some() {
            shared.waiting.fetch_sub(1, SeqCst);
            return false;
        }
        drop(queue);
        self.turn.try_recv().is_ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.leave() {
            self.source.give_back();
        }
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

// === impl Source ===

impl Source {
    /// Takes a permit, if both bounds allow.
    fn take(&self) -> bool {
        let shared = &*self.shared;
        if !take(&self.in_flight, &shared.bounds.source) {
            return false;
        }
        crossing();
        if take(&shared.in_flight, &shared.bounds.service) {
            return true;
        }
        crossing();
        // Somebody of this source may have seen it full meanwhile: whoever calls this looks for that.
        give_back(&self.in_flight);
        false
    }

    /// Gives a permit back, to whom it is next if anybody waits.
    fn give_back(&self) {
        let shared = &*self.shared;
        let nobody_waited = shared.waiting.load(SeqCst) == 0;
        if nobody_waited {
            crossing();
            give_back(&self.in_flight);
            crossing();
            give_back(&shared.in_flight);
            crossing();
            if shared.waiting.load(SeqCst) == 0 {
                return;
            }
        }
        let mut queue = shared.lock();
        if !nobody_waited {
            // Under the lock, so that who comes by it cannot be faster than who waits.
            give_back(&self.in_flight);
            give_back(&shared.in_flight);
        }
        queue.resume(self.address);
        shared.hand_over(&mut queue);
    }

    fn enter_by_queue(self: &Arc<Self>) -> Entry {
        let shared = &*self.shared;
        let mut queue = shared.lock();
        // The vain try before may have held back somebody.
        queue.resume(self.address);
        shared.hand_over(&mut queue);
        if queue.nobody_is_next() && self.take() {
            return Entry::In(Permit(Arc::clone(self)));
        }
        crossing();
        let full = queue.len() >= shared.bounds.queue.load(SeqCst) as usize;
        if full {
            if queue.displace_for(self.address).is_none() {
                return Entry::Full;
            }
            shared.waiting.fetch_sub(1, SeqCst);
        }
        let (sender, receiver) = oneshot::channel();
        let ticket = queue.push(self.address, Waiter { source: Arc::clone(self), turn: sender });
        shared.waiting.fetch_add(1, SeqCst);
        shared.hand_over(&mut queue);
        drop(queue);
        Entry::Wait(Waiting { source: Arc::clone(self), ticket, turn: receiver })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Unless the same address came back meanwhile and has another.
        if let TableEntry::Occupied(entry) = self.shared.lock_sources().entry(self.address)
            && entry.get().strong_count() == 0
        {
            entry.remove();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn new() -> Self {
        Self {
            bounds: Bounds::default(),
            in_flight: AtomicU32::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            sources: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<IpAddr, Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_sources(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what is free to those who are next. Afterwards the Service is full, or every source that waits is.
    fn hand_over(&self, queue: &mut Queue<IpAddr, Waiter>) {
        while let Some(next) = queue.next() {
            if !take(&self.in_flight, &self.bounds.service) {
                return;
            }
            if !take(&next.source.in_flight, &self.bounds.source) {
                give_back(&self.in_flight);
                queue.set_next_aside();
                continue;
            }
            let source = Arc::clone(&next.source);
            let taken = queue.take_next();
            self.waiting.fetch_sub(1, SeqCst);
            // Somebody who is gone has left the queue under its lock; but if one had not, the permit must not be lost.
            if taken.is_none_or(|waiter| waiter.turn.send(()).is_err()) {
                give_back(&source.in_flight);
                give_back(&self.in_flight);
            }
        }
    }
}

// === impl Bounds ===

impl Bounds {
    fn set(&self, policy: &policy::Bulkhead) {
        let policy::Bulkhead { service, source, endpoint: _, queue, queue_timeout } = policy;
        let bound = |number: u32| if number == 0 { NO_BOUND } else { number };
        self.service.store(bound(*service), SeqCst);
        self.source.store(bound(*source), SeqCst);
        self.queue.store(*queue, SeqCst);
        self.queue_timeout.store(u64::try_from(queue_timeout.as_millis()).unwrap_or(u64::MAX), SeqCst);
    }
}

#[cfg(test)]
#[path = "bulkhead_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "bulkhead_race_tests.rs"]
mod races;
