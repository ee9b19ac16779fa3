//! The guard of a request or a connection at its endpoint.

use super::{dice::Roll, field::Choice, outcome::Outcome, room::Place, state::EndpointState};
use crate::clock::Ticks;
use std::{net::SocketAddr, sync::Arc};
use tokio::time::Instant;

/// An endpoint that was picked; it counts as busy until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    place: Place,
    picked: Ticks,
    roll: Roll,
    probe: bool,
    observed: bool,
}

impl InFlight {
    /// None where others have brought the endpoint to its bound meanwhile.
    pub(super) fn charge(choice: Choice<'_>, most: usize, picked: Ticks, roll: Roll) -> Option<Self> {
        let Choice { state, probe } = choice;
        let Some(place) = Place::take(state, most) else {
            if probe {
                state.group.abandoned(state, picked);
            }
            return None;
        };
        Some(Self { place, picked, roll, probe, observed: false })
    }

    /// One that waited for its place.
    pub(super) fn of(place: Place, now: Instant, roll: Roll) -> Self {
        let picked = place.state().ticks(now);
        Self { place, picked, roll, probe: false, observed: false }
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.state().address
    }

    /// What is known of the endpoint.
    #[must_use]
    pub fn state(&self) -> &Arc<EndpointState> {
        self.place.state()
    }

    /// Says what became of it, when the head of the answer is there or the try failed. Only the first word counts;
    /// without any there is no verdict.
    pub fn observe(&mut self, outcome: Outcome, now: Instant) {
        if !self.observed {
            self.observed = true;
            let state = self.place.state();
            state.learn(outcome, self.probe, state.ticks(now), self.roll);
        }
    }

    /// Says that it failed, also where it has been good before: what lasts, as a session does, may fail at any time.
    pub fn fail(&mut self, outcome: Outcome, now: Instant) {
        if self.observed {
            let state = self.place.state();
            state.learn(outcome, false, state.ticks(now), self.roll);
        } else {
            self.observe(outcome, now);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.probe && !self.observed {
            let state = self.place.state();
            state.group.abandoned(state, self.picked);
        }
    }
}
