//! What the proxy says about itself.
//!
//! In: what the stations report. Out: the `Confirmation` that the operator reads, and the named conditions of `/readyz`.

mod carrying;
mod tripped;

use crate::{
    access::Held,
    drain::{Drain, Phase},
    metrics::Metrics,
    plan::SharedPlan,
};
use carrying::Carrying;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{sync::watch, time::Instant};
use weft_contract::{Confirmation, ListenerFailure, Rejection};

/// Everything that is known about the state of the proxy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Status {
    /// The plan in force.
    pub plan: SharedPlan,
    /// The phase of its life.
    pub drain: Drain,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What goes on for as long as it is granted.
    pub held: Held,
    confirmation: Arc<watch::Sender<Confirmation>>,
    carrying: Arc<Mutex<Carrying>>,
    dns: Arc<watch::Sender<bool>>,
}

/// One condition of being ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name, as `/readyz` shows it.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
}

// === impl Status ===

impl Default for Status {
    fn default() -> Self {
        let plan = SharedPlan::default();
        Self {
            metrics: Arc::new(Metrics::new(Arc::clone(&plan))),
            plan,
            drain: Drain::default(),
            held: Held::default(),
            confirmation: Arc::new(watch::Sender::new(Confirmation::default())),
            carrying: Arc::default(),
            dns: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Status {
    /// What the operator is told.
    #[must_use]
    pub fn confirmation(&self) -> Confirmation {
        let now = Instant::now();
        let mut confirmation = self.confirmation.borrow().clone();
        if let Some(plan) = &*self.plan.load() {
            confirmation.tripped = tripped::tripped(plan, now);
            confirmation.denied =
                plan.access.as_ref().map(|access| access.ledger.denials(now)).unwrap_or_default();
            let mut carrying = self.carrying.lock().unwrap_or_else(PoisonError::into_inner);
            confirmation.carrying = carrying.look(plan, now);
        }
        confirmation
    }

    /// Ends when `enough` holds of what the operator is told.
    pub async fn wait_for(&self, enough: impl FnMut(&Confirmation) -> bool) {
        let mut receiver = self.confirmation.subscribe();
        // The sender lives in `self`, so that this cannot fail.
        let _ = receiver.wait_for(enough).await;
    }

    /// The conditions of being ready; all must hold. A listener that cannot be opened is told to the operator but does
    /// not count here: one occupied port must not take every Service of the node down.
    #[must_use]
    pub fn conditions(&self) -> [Condition; 4] {
        [
            Condition { name: "configuration", holds: self.plan.load().is_some() },
            Condition { name: "listeners", holds: self.confirmation.borrow().revision.is_some() },
            Condition { name: "dns", holds: *self.dns.borrow() },
            Condition { name: "not-draining", holds: self.drain.phase() == Phase::Serving },
        ]
    }

    /// A configuration was refused.
    pub fn rejected(&self, rejection: Rejection) {
        self.confirmation.send_modify(|confirmation| confirmation.rejected = Some(rejection));
        self.metrics.configuration_rejected.inc();
    }

    /// The newest configuration was accepted.
    pub fn accepted(&self) {
        self.confirmation.send_modify(|confirmation| confirmation.rejected = None);
    }

    /// The plan of `revision` is in force, and its listeners are open but for `failed`.
    pub fn in_force(&self, revision: &str, failed: Vec<ListenerFailure>) {
        self.metrics.failed_listeners.set(i64::try_from(failed.len()).unwrap_or(i64::MAX));
        self.confirmation.send_modify(|confirmation| {
            confirmation.revision = Some(revision.to_owned());
            confirmation.failed_listeners = failed;
        });
    }

    /// DNS is answered, or no longer.
    pub fn dns(&self, answered: bool) {
        self.dns.send_replace(answered);
    }
}
