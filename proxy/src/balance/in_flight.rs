//! The guard of a request or a connection at its endpoint.

use super::{clock::Ticks, dice::Roll, field::Choice, outcome::Outcome, state::EndpointState};
use std::{net::SocketAddr, sync::Arc};
use tokio::time::Instant;

/// An endpoint that was picked; it counts as busy until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    state: Arc<EndpointState>,
    picked: Ticks,
    roll: Roll,
    probe: bool,
    observed: bool,
}

impl InFlight {
    /// None where others have brought the endpoint to its bound meanwhile.
    pub(super) fn charge(choice: Choice<'_>, most: usize, picked: Ticks, roll: Roll) -> Option<Self> {
        let Choice { state, probe } = choice;
        if state.charge(most) {
            return Some(Self { state: Arc::clone(state), picked, roll, probe, observed: false });
        }
        if probe {
            state.group.abandoned(state, picked);
        }
        None
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// What is known of the endpoint.
    #[must_use]
    pub fn state(&self) -> &Arc<EndpointState> {
        &self.state
    }

    /// Says what became of it, when the head of the answer is there or the try failed. Only the first word counts;
    /// without any there is no verdict.
    pub fn observe(&mut self, outcome: Outcome, now: Instant) {
        if !self.observed {
            self.observed = true;
            self.state.learn(outcome, self.probe, self.state.ticks(now), self.roll);
        }
    }

    /// Says that it failed, also where it has been good before: what lasts, as a session does, may fail at any time.
    pub fn fail(&mut self, outcome: Outcome, now: Instant) {
        if self.observed {
            self.state.learn(outcome, false, self.state.ticks(now), self.roll);
        } else {
            self.observe(outcome, now);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.discharge();
        if self.probe && !self.observed {
            self.state.group.abandoned(&self.state, self.picked);
        }
    }
}
