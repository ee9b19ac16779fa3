//! The algorithm of a Service, with what it needs to choose.
//!
//! In: the endpoints, and for each request the field and its key. Out: one of those that the field admits.

use super::{
    Balancer, Home,
    dice::Roll,
    field::{Choice, Field, Measure},
    hash::hash,
    maglev::Maglev,
    p2c,
    round_robin::Turn,
    state::EndpointState,
};
use std::sync::Arc;
use weft_contract::policy::{Algorithm, HashKey};

/// An algorithm with what it needs.
#[derive(Debug)]
pub(super) enum Rule {
    P2cEwma,
    RoundRobin(Turn),
    LeastRequest,
    Hash(HashKey, Maglev),
}

// === impl Rule ===

impl Rule {
    /// The rule of a balancer that takes the place of `previous`, whose turn it carries on.
    pub(super) fn new(
        algorithm: &Algorithm,
        endpoints: &[Arc<EndpointState>],
        home: &Home,
        previous: Option<&Balancer>,
    ) -> Self {
        match algorithm {
            Algorithm::P2cEwma => Self::P2cEwma,
            Algorithm::LeastRequest => Self::LeastRequest,
            Algorithm::Hash(key) => Self::Hash(key.clone(), Maglev::new(endpoints)),
            Algorithm::RoundRobin => match previous.map(|previous| &previous.rule) {
                Some(Self::RoundRobin(turn)) => Self::RoundRobin(turn.carry_on()),
                _ => Self::RoundRobin(Turn::starting((hash(home.node.as_bytes()) >> 32) as usize)),
            },
        }
    }

    /// One of those that the field admits.
    pub(super) fn choose<'a>(&self, field: &Field<'a>, key: Option<u64>, roll: Roll) -> Option<Choice<'a>> {
        let state = match self {
            Self::P2cEwma if field.measure == Measure::Latency => p2c::by_latency(field, roll),
            Self::RoundRobin(turn) => turn.choose(field),
            Self::P2cEwma | Self::LeastRequest => p2c::by_in_flight(field, roll),
            Self::Hash(_, table) => match key {
                Some(key) => return table.choose(field, key),
                None => p2c::any(field, roll),
            },
        }?;
        Some(field.choice(state))
    }
}
