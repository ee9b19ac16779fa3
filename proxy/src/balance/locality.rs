//! Which endpoints are near, and when they are not enough.
//!
//! In: endpoints and where this proxy is. Out: tiers, from near to far; and for each request, how many of them to choose
//! among.
//!
//! The rule of the spill: a tier is enough while somebody in it can be had, and while those have on the mean at most
//! [`SLACK`] requests in flight more than [`FACTOR`] times what the farther ones have, as this proxy sees it. One near
//! endpoint thus takes all that it can finish with 16 at once; what is more than that is spread over near and far ones by
//! the algorithm. Both numbers are of requests under way, so that an endpoint spills as soon as it becomes slow.

use super::{Home, field::Field, state::EndpointState};
use std::sync::Arc;
use weft_contract::{Endpoint, policy::Proximity};

/// This many in flight for each near endpoint are not yet load.
const SLACK: usize = 16;

/// Near ones may have this many times the load of far ones: the way there costs something too.
const FACTOR: usize = 2;

/// How near an endpoint is; 0 is nearest.
pub(super) type Distance = u8;

const FARTHEST: Distance = 2;

/// Whose fields say how near an endpoint is.
#[derive(Debug)]
pub(super) struct Distances<'a> {
    home: &'a Home,
    proximity: Proximity,
    /// Hints count only where every endpoint has them, as in Kubernetes: while some have none yet, those that have would
    /// get everything.
    node_hints: bool,
    zone_hints: bool,
}

/// Where each tier ends in a list that is sorted by distance.
#[derive(Debug, Default)]
pub(super) struct Tiers(Vec<usize>);

// === impl Distances ===

impl<'a> Distances<'a> {
    pub(super) fn new(proximity: Proximity, home: &'a Home, endpoints: &[&Endpoint]) -> Self {
        Self {
            home,
            proximity,
            node_hints: endpoints.iter().all(|endpoint| !endpoint.hints.nodes.is_empty()),
            zone_hints: endpoints.iter().all(|endpoint| !endpoint.hints.zones.is_empty()),
        }
    }

    pub(super) fn of(&self, endpoint: &Endpoint) -> Distance {
        match self.proximity {
            Proximity::Any => 0,
            Proximity::Zone if self.zone_hints && self.in_zone(endpoint) => 0,
            Proximity::Zone => FARTHEST,
            Proximity::Node if self.on_node(endpoint) => 0,
            Proximity::Node if self.in_zone(endpoint) => 1,
            Proximity::Node => FARTHEST,
        }
    }

    fn on_node(&self, endpoint: &Endpoint) -> bool {
        if self.node_hints {
            return endpoint.hints.nodes.contains(&self.home.node);
        }
        endpoint.node.as_ref() == Some(&self.home.node)
    }

    fn in_zone(&self, endpoint: &Endpoint) -> bool {
        let Some(zone) = &self.home.zone else { return false };
        if self.zone_hints {
            endpoint.hints.zones.contains(zone)
        } else {
            endpoint.zone.as_ref() == Some(zone)
        }
    }
}

// === impl Tiers ===

impl Tiers {
    /// The tiers of endpoints at these distances, which must be sorted.
    pub(super) fn new(distances: &[Distance]) -> Self {
        Self(
            distances
                .chunk_by(|left, right| left == right)
                .scan(0, |end, tier| {
                    *end += tier.len();
                    Some(*end)
                })
                .collect(),
        )
    }

    /// Leaves the far tiers out that are not needed.
    pub(super) fn narrow<'a>(&self, field: Field<'a>) -> Field<'a> {
        let Some((_, nearer)) = self.0.split_last() else { return field };
        for end in nearer {
            let (near, far) = field.endpoints.split_at(*end);
            if is_enough(&field.among(near), &field.among(far)) {
                return field.among(near);
            }
        }
        field
    }
}

fn is_enough(near: &Field<'_>, far: &Field<'_>) -> bool {
    let (near_count, near_load) = load(near);
    if near_count == 0 {
        return false;
    }
    if near_load <= SLACK * near_count {
        return true;
    }
    let (far_count, far_load) = load(far);
    // near_load / near_count <= SLACK + FACTOR * far_load / far_count
    (near_load - SLACK * near_count) * far_count <= FACTOR * far_load * near_count
}

/// How many can be had, and how much they have in flight together.
fn load(field: &Field<'_>) -> (usize, usize) {
    field
        .admitted()
        .fold((0, 0), |(count, load), state: &Arc<EndpointState>| (count + 1, load + state.in_flight()))
}
