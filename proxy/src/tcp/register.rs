//! Knows the connections of a worker, to end those whose time is over.
//!
//! In: connections as they come and go, each plan in force, and how the proxy drains. Out: word to a connection that it has
//! to end: when it is no longer granted, when its endpoint has gone from its Service and the Service lets it go on for only so long, or at the end of
//! the proxy. What a new plan does not concern is not touched.

use super::Worker;
use crate::{
    access::Asked,
    balance::EndpointState,
    cause::Cause,
    plan::Plan,
    route::{Stay, Target},
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};
use tokio::{
    select,
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep_until},
};

/// After so many connections looked at, the traffic gets its turn.
const BATCH: usize = 1024;

/// The connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Register {
    entries: Mutex<Entries>,
    /// One came whose endpoint was gone already.
    late: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Since when the endpoints of these are gone.
    gone: HashMap<usize, Instant>,
}

#[derive(Debug)]
struct Entry {
    /// Whose endpoint it is.
    target: Arc<Target>,
    endpoint: Arc<EndpointState>,
    drain: Option<Duration>,
    /// What it needs to be granted; none where access is not controlled.
    stay: Option<Box<Stay>>,
    cut: Option<Cause>,
    waker: Option<Waker>,
}

/// A connection in the register, until this is dropped.
#[derive(Debug)]
pub(super) struct Registered<'a> {
    register: &'a Register,
    slot: usize,
}

/// Who belongs to which Service by a plan, found out once for many connections.
struct Membership<'a> {
    plan: &'a Plan,
    known: HashMap<Arc<Target>, Known>,
}

struct Known {
    /// Those that have not gone and are not about to go.
    staying: HashSet<SocketAddr>,
    /// None where there is no such port any more, so that what held before holds.
    drain: Option<Option<Duration>>,
}

/// Looks after the register of a worker, for as long as its runtime lives.
pub(super) async fn look_after(worker: Arc<Worker>) {
    let Worker { status, register, dice: _, connect_timeout: _, mover: _ } = &*worker;
    let (mut seen, mut retiring, mut cutting) = (None, false, false);
    loop {
        let due = register.next_due();
        let changed = status.wait_for(|now| {
            let changed = now.revision != seen;
            if changed {
                seen.clone_from(&now.revision);
            }
            changed
        });
        select! {
            () = changed => {
                if let Some(plan) = status.plan.load_full() {
                    register.follow(&plan, Instant::now()).await;
                }
            }
            () = register.late.notified() => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                register.cut_due(Instant::now());
            }
            () = status.drain.retiring(), if !retiring => {
                retiring = true;
                status.metrics.drained("established", register.len());
            }
            () = status.drain.cutting(), if !cutting => {
                cutting = true;
                status.metrics.drained("cut", register.cut_all());
            }
        }
    }
}

// === impl Register ===

impl Register {
    /// Takes a connection in, to an endpoint of `target` by `plan`.
    pub(super) fn enter(
        &self,
        endpoint: &Arc<EndpointState>,
        target: &Arc<Target>,
        drain: Option<Duration>,
        stay: Option<Box<Stay>>,
        plan: Option<&Plan>,
    ) -> Registered<'_> {
        let (endpoint, target) = (Arc::clone(endpoint), Arc::clone(target));
        let entry = Entry { target, endpoint, drain, stay, cut: None, waker: None };
        let mut entries = self.lock();
        let slot = entries.free.pop().unwrap_or(entries.slots.len());
        if slot == entries.slots.len() {
            entries.slots.push(None);
        }
        entries.slots[slot] = Some(entry);
        // Nothing of it may be granted any more since it was let in.
        if let Some(plan) = plan {
            entries.cut_if_denied(slot, plan);
        }
        // It may have gone while it was connected to; the next plan may be far.
        if let Some(plan) = plan
            && entries.judge(slot, &mut Membership::of(plan), Instant::now())
        {
            self.late.notify_one();
        }
        drop(entries);
        Registered { register: self, slot }
    }

    /// How many there are.
    fn len(&self) -> usize {
        let entries = self.lock();
        entries.slots.len() - entries.free.len()
    }

    /// Finds out whose endpoints have gone by a new plan.
    async fn follow(&self, plan: &Plan, now: Instant) {
        let mut membership = Membership::of(plan);
        let mut start = 0;
        loop {
            let end = {
                let mut entries = self.lock();
                let end = entries.slots.len().min(start + BATCH);
                for slot in start..end {
                    entries.cut_if_denied(slot, plan);
                    entries.judge(slot, &mut membership, now);
                }
                end
            };
            if end == start {
                return;
            }
            start = end;
            yield_now().await;
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let entries = self.lock();
        entries.due().map(|(_, due)| due).min()
    }

    fn cut_due(&self, now: Instant) {
        let mut entries = self.lock();
        let due: Vec<usize> = entries.due().filter(|(_, due)| *due <= now).map(|(slot, _)| slot).collect();
        due.into_iter().for_each(|slot| entries.cut(slot, Cause::Drained));
    }

    fn cut_all(&self) -> usize {
        let mut entries = self.lock();
        (0..entries.slots.len()).for_each(|slot| entries.cut(slot, Cause::Drained));
        entries.slots.len() - entries.free.len()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entries ===

impl Entries {
    /// Finds out whether the endpoint of a connection is gone. One that is not ready for a while is not.
    fn judge(&mut self, slot: usize, membership: &mut Membership<'_>, now: Instant) -> bool {
        let Some(Some(entry)) = self.slots.get_mut(slot) else { return false };
        // What is carried on cannot be gone; this is all that is looked at for most of them.
        if !entry.endpoint.is_retired() {
            return false;
        }
        let known = membership.known(&entry.target);
        entry.drain = known.drain.unwrap_or(entry.drain);
        let gone = !known.staying.contains(&entry.endpoint.address);
        if gone {
            self.gone.entry(slot).or_insert(now);
        } else {
            self.gone.remove(&slot);
        }
        gone
    }

    /// Which connections are to be cut when.
    fn due(&self) -> impl Iterator<Item = (usize, Instant)> + '_ {
        self.gone.iter().filter_map(|(slot, since)| {
            let entry = self.slots.get(*slot)?.as_ref()?;
            Some((*slot, *since + entry.drain?))
        })
    }

    fn cut_if_denied(&mut self, slot: usize, plan: &Plan) {
        let stay = self.slots.get(slot).and_then(|entry| entry.as_ref()?.stay.as_ref());
        if stay.is_some_and(|stay| !stay.is_granted(plan, Asked::Raw)) {
            self.cut(slot, Cause::Denied);
        }
    }

    fn cut(&mut self, slot: usize, cause: Cause) {
        self.gone.remove(&slot);
        if let Some(Some(entry)) = self.slots.get_mut(slot) {
            entry.cut = Some(cause);
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }
}

// === impl Registered ===

impl Registered<'_> {
    /// Why the connection has to end, if it has; and whom to wake when it will have to.
    pub(super) fn cut(&self, waker: &Waker) -> Option<Cause> {
        let mut entries = self.register.lock();
        let entry = entries.slots.get_mut(self.slot)?.as_mut()?;
        match &entry.waker {
            Some(known) if known.will_wake(waker) => {}
            Some(_) | None => entry.waker = Some(waker.clone()),
        }
        entry.cut
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut entries = self.register.lock();
        entries.slots[self.slot] = None;
        entries.free.push(self.slot);
        entries.gone.remove(&self.slot);
    }
}

// === impl Membership ===

impl<'a> Membership<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self { plan, known: HashMap::new() }
    }

    fn known(&mut self, target: &Arc<Target>) -> &Known {
        let plan = self.plan;
        self.known.entry(Arc::clone(target)).or_insert_with(|| {
            let route = plan.route_to(&target.service, target.port, target.transport);
            let endpoints = route.map_or(&[][..], |route| &route.port.endpoints);
            let staying = endpoints.iter().filter(|endpoint| !endpoint.terminating);
            Known {
                staying: staying.map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port)).collect(),
                drain: route.map(|route| route.policy.connections.drain),
            }
        })
    }
}
