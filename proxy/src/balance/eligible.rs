//! Who takes part: Kubernetes' own rule.

use std::{collections::BTreeMap, net::SocketAddr};
use weft_contract::Endpoint;

/// The endpoints that may be picked, sorted by address: those that are ready; where none is, those that still serve
/// while they terminate. Two EndpointSlices may name the same address for a while; it must not be drawn twice as often.
pub(super) fn eligible(endpoints: &[Endpoint]) -> Vec<(SocketAddr, &Endpoint)> {
    let any_ready = endpoints.iter().any(|endpoint| endpoint.ready);
    let taking_part =
        endpoints.iter().filter(|endpoint| if any_ready { endpoint.ready } else { endpoint.serving });
    let by_address: BTreeMap<SocketAddr, &Endpoint> =
        taking_part.map(|endpoint| (SocketAddr::new(endpoint.address, endpoint.port), endpoint)).collect();
    by_address.into_iter().collect()
}
