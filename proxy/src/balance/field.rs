//! Whom a choice is among.

use super::{dice::Dice, only::Only, state::EndpointState};
use crate::clock::Ticks;
use std::{net::SocketAddr, sync::Arc};

/// How good an endpoint has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leniency {
    /// Neither set aside, nor asking to be left alone.
    Strict,
    /// Not set aside.
    DespitePushback,
    /// Any: where all else is gone, an endpoint that failed is better than none.
    DespiteFailing,
}

/// What makes one endpoint better than another, where the rule goes by how busy they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// How long a request would take.
    Latency,
    /// How much is open.
    Open,
}

/// The endpoints and the conditions of one choice. Copied rather than changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) endpoints: &'a [Arc<EndpointState>],
    pub(super) tried: &'a [SocketAddr],
    pub(super) only: Option<&'a Only>,
    pub(super) leniency: Leniency,
    pub(super) measure: Measure,
    pub(super) most_in_flight: usize,
    pub(super) slow_start: Ticks,
    pub(super) now: Ticks,
    pub(super) dice: &'a Dice,
}

/// What was chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    pub(super) state: &'a Arc<EndpointState>,
    /// Whether the request probes an endpoint that was set aside.
    pub(super) probe: bool,
}

impl<'a> Field<'a> {
    /// Whether this endpoint may be chosen.
    pub(super) fn admits(&self, state: &EndpointState) -> bool {
        let good = match self.leniency {
            Leniency::Strict => state.health.takes_part() && !state.is_avoided(self.now),
            Leniency::DespitePushback => state.health.takes_part(),
            Leniency::DespiteFailing => true,
        };
        good && state.in_flight() < self.most_in_flight
            && !self.tried.contains(&state.address)
            && is_open(self.only, state)
    }

    /// Those that may be chosen.
    pub(super) fn admitted(&self) -> impl Iterator<Item = &'a Arc<EndpointState>> + '_ {
        self.endpoints.iter().filter(|state| self.admits(state))
    }

    /// Whether this endpoint, which has just come, leaves the choice to another.
    pub(super) fn yields(&self, state: &EndpointState) -> bool {
        state.warming.yields(self.now, self.slow_start, self.dice)
    }

    /// The probe of this endpoint, if it is due. What was tried already is too precious to find something out.
    pub(super) fn probe(&self, state: &'a Arc<EndpointState>) -> Option<Choice<'a>> {
        let free = self.tried.is_empty() && state.in_flight() < self.most_in_flight;
        (free && state.health.is_due(self.now) && is_open(self.only, state) && claim(state, self.now, false))
            .then_some(Choice { state, probe: true })
    }

    /// A choice of this endpoint, which was admitted.
    pub(super) fn choice(&self, state: &'a Arc<EndpointState>) -> Choice<'a> {
        // As a last resort it may be one that was set aside; what becomes of it is worth knowing.
        let probe = self.leniency == Leniency::DespiteFailing && claim(state, self.now, true);
        Choice { state, probe }
    }

    /// The same conditions among fewer endpoints.
    pub(super) fn among(self, endpoints: &'a [Arc<EndpointState>]) -> Self {
        Self { endpoints, ..self }
    }

    /// The same endpoints under other conditions.
    pub(super) fn with(self, leniency: Leniency) -> Self {
        Self { leniency, ..self }
    }
}

/// Whether an endpoint is one of the only ones, where there are such.
pub(super) fn is_open(only: Option<&Only>, state: &EndpointState) -> bool {
    only.is_none_or(|only| only.admits(state.address))
}

/// Takes the one probe of this endpoint, if it is to be had.
fn claim(state: &EndpointState, now: Ticks, early: bool) -> bool {
    let claimed = state.health.claim(now, early);
    if claimed {
        state.group.claimed();
    }
    claimed
}
