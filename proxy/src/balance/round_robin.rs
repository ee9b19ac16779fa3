//! One after the other.
//!
//! In: a field. Out: whose turn it is. Who cannot be had loses the turn; it is not given to the neighbour, who would
//! get twice the share.

use super::{field::Field, state::EndpointState};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How often the turn goes around before whoever can be had gets it: some leave theirs to others while they warm up.
const ROUNDS: usize = 2;

/// Whose turn it is; shared by all threads.
#[derive(Debug)]
pub(super) struct Turn(AtomicUsize);

impl Turn {
    /// Each proxy starts somewhere else, or the first endpoint would get the first request of every node.
    pub(super) fn starting(at: usize) -> Self {
        Self(AtomicUsize::new(at))
    }

    /// The turn goes on where it is.
    pub(super) fn carry_on(&self) -> Self {
        Self::starting(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn choose<'a>(&self, field: &Field<'a>) -> Option<&'a Arc<EndpointState>> {
        let count = field.endpoints.len();
        for _ in 0..count * ROUNDS {
            let state = &field.endpoints[self.0.fetch_add(1, Ordering::Relaxed) % count];
            if field.admits(state) && !field.yields(state) {
                return Some(state);
            }
        }
        field.admitted().next()
    }
}
