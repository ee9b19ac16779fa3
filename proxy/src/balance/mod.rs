//! Picks one endpoint for a request or a connection.
//!
//! In: the endpoints of a Service's port, and those that were tried already. Out: one of them, charged with the
//! request until the guard is dropped; or none.
//!
//! The rule for who takes part is Kubernetes' own: ready endpoints; where none is ready, those that still serve while
//! they terminate. Among those, two are drawn at random and the one with less in flight wins ("power of two choices"),
//! which needs no shared turn and keeps traffic away from a slow endpoint.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use weft_contract::Endpoint;

/// One endpoint with its state, which lives on while plans come and go.
#[derive(Debug)]
pub struct EndpointState {
    /// Where it listens.
    pub address: SocketAddr,
    in_flight: AtomicUsize,
}

/// The endpoints of one port of a Service that may be picked.
#[derive(Debug, Default)]
pub struct Balancer {
    endpoints: Vec<Arc<EndpointState>>,
}

/// An endpoint that was picked; it counts as busy until this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointState>);

/// A source of random numbers that tests can seed. Shared without a lock.
#[derive(Debug)]
pub struct Dice(AtomicU64);

/// The endpoints that may be picked, by Kubernetes' rule.
fn eligible(endpoints: &[Endpoint]) -> impl Iterator<Item = &Endpoint> {
    let any_ready = endpoints.iter().any(|endpoint| endpoint.ready);
    endpoints.iter().filter(move |endpoint| if any_ready { endpoint.ready } else { endpoint.serving })
}

// === impl Balancer ===

impl Balancer {
    /// A balancer over `endpoints`; the state of those that `previous` knows is carried over.
    #[must_use]
    pub fn new(endpoints: &[Endpoint], previous: Option<&Self>) -> Self {
        let known = previous.map_or(&[][..], |balancer| &balancer.endpoints);
        let mut states: Vec<Arc<EndpointState>> = eligible(endpoints)
            .map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port))
            .map(|address| match known.iter().find(|state| state.address == address) {
                Some(state) => Arc::clone(state),
                None => Arc::new(EndpointState { address, in_flight: AtomicUsize::new(0) }),
            })
            .collect();
        // Two EndpointSlices may name the same address for a while; it must not be drawn twice as often.
        states.sort_by_key(|state| state.address);
        states.dedup_by_key(|state| state.address);
        Self { endpoints: states }
    }

    /// Picks an endpoint other than those in `tried`.
    #[must_use]
    pub fn pick(&self, tried: &[SocketAddr], dice: &Dice) -> Option<InFlight> {
        if tried.is_empty() {
            return pick_of(&self.endpoints, dice);
        }
        let untried: Vec<_> =
            self.endpoints.iter().filter(|state| !tried.contains(&state.address)).cloned().collect();
        pick_of(&untried, dice)
    }

    /// The endpoints that may be picked.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<EndpointState>] {
        &self.endpoints
    }
}

fn pick_of(endpoints: &[Arc<EndpointState>], dice: &Dice) -> Option<InFlight> {
    let chosen = match endpoints {
        [] => return None,
        [only] => only,
        several => {
            let first = dice.below(several.len());
            // Among the others, so that the two are never the same.
            let second = (first + 1 + dice.below(several.len() - 1)) % several.len();
            let (first, second) = (&several[first], &several[second]);
            if second.in_flight() < first.in_flight() { second } else { first }
        }
    };
    Some(InFlight::charge(Arc::clone(chosen)))
}

// === impl EndpointState ===

impl EndpointState {
    /// How many requests or connections it has now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

// === impl InFlight ===

impl InFlight {
    fn charge(state: Arc<EndpointState>) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(state)
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Dice ===

impl Dice {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `limit`, which must not be zero.
    pub(crate) fn below(&self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&self) -> f64 {
        // The 53 bits that an f64 holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// This is splitmix64: fast, and even enough for balancing.
    fn next(&self) -> u64 {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
