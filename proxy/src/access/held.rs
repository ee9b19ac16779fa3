//! What goes on for long, and is cut when it is no longer granted.
//!
//! In: each connection, session or tunnel that was let through, with how to tell whether it still may go on; and each new plan.
//! Out: word to those that may not. A request is let through once and finished; what has no end must not outlive its grant.

use crate::plan::{Plan, SharedPlan};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio_util::sync::CancellationToken;

/// Whether something may go on by this plan.
pub type Check = Box<dyn Fn(&Plan) -> bool + Send>;

/// All that is held. Cheap to clone.
#[derive(Clone, Default)]
pub struct Held(Arc<Register>);

#[derive(Default)]
struct Register {
    next: AtomicU64,
    entries: Mutex<HashMap<u64, Entry>>,
}

struct Entry {
    check: Check,
    cut: CancellationToken,
}

/// One that is held, until this is dropped.
#[derive(Debug)]
pub struct Hold {
    /// Cancelled when it must not go on.
    pub cut: CancellationToken,
    held: Held,
    id: u64,
}

// === impl Held ===

impl Held {
    /// Holds something that was let through; none where access is not controlled. It may be cut at once, for the plan may
    /// have changed since it was let through.
    #[must_use]
    pub fn hold(&self, plan: &SharedPlan, check: Check) -> Option<Hold> {
        plan.load().as_ref()?.access.as_ref()?;
        let (id, cut) = (self.0.next.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        self.lock().insert(id, Entry { check, cut: cut.clone() });
        let hold = Hold { cut, held: self.clone(), id };
        // The plan in force now, or one that comes, is looked at with this: none is missed between the two.
        if let Some(plan) = &*plan.load() {
            self.look_at(plan, id);
        }
        Some(hold)
    }

    /// Cuts what may not go on by this plan, which is in force.
    pub fn look(&self, plan: &Plan) {
        self.lock().values().for_each(|entry| entry.look(plan));
    }

    fn look_at(&self, plan: &Plan, id: u64) {
        if let Some(entry) = self.lock().get(&id) {
            entry.look(plan);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entry ===

impl Entry {
    fn look(&self, plan: &Plan) {
        if !self.cut.is_cancelled() && !(self.check)(plan) {
            self.cut.cancel();
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let entry = self.held.lock().remove(&self.id);
        drop(entry); // outside of the lock
    }
}
