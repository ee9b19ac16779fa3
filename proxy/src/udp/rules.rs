//! What the Service asks of its sessions, as far as the plan in force says.
//!
//! In: the plan, once for each batch of datagrams. Out: the idle time and the bounds, read anew only where the plan is
//! another. No plan is held for that: a listener at rest must not keep an old one alive.

use super::table::Bounds;
use crate::{
    plan::Plan,
    route::{Route, Target, route},
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use weft_contract::policy::Sessions;

#[derive(Debug)]
pub(super) struct Rules {
    plan: Weak<Plan>,
    /// Counts the plans, from 1.
    pub(super) generation: u32,
    /// How long a session rests before it is forgotten.
    pub(super) idle: Duration,
    /// How many there may be.
    pub(super) bounds: Bounds,
}

// === impl Rules ===

impl Rules {
    pub(super) fn new(plan: &Arc<Plan>, listened: &Route) -> Self {
        let (idle, bounds) = read(listened);
        Self { plan: Arc::downgrade(plan), generation: 1, idle, bounds }
    }

    /// Reads the rules of the plan in force. Where the route has just gone, the last ones hold.
    pub(super) fn follow(&mut self, plan: &Arc<Plan>, target: &Target) {
        // A weak reference keeps the place of what it means, so that no later plan can be there.
        if self.plan.as_ptr() == Arc::as_ptr(plan) {
            return;
        }
        self.plan = Arc::downgrade(plan);
        self.generation = self.generation.wrapping_add(1).max(1);
        if let Some(listened) = route(plan, target) {
            (self.idle, self.bounds) = read(&listened);
        }
    }
}

fn read(route: &Route) -> (Duration, Bounds) {
    let Sessions { idle, service, source } = &route.policy.sessions;
    // As everywhere in a policy, 0 is no bound.
    let bound = |number: u32| if number == 0 { usize::MAX } else { number as usize };
    (*idle, Bounds { service: bound(*service), source: bound(*source) })
}
