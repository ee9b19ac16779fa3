//! Decides whether a connection goes on at all.
//!
//! In: a connection on its route. Out: its place among those that are open, or why there is none.

use crate::{
    cause::Cause,
    guard::bulkhead::{Entry, Permit},
    route::Route,
};
use std::net::SocketAddr;

/// Takes a place under the bounds of the Service's port and of the client's address.
pub(super) fn admit(route: &Route, client: SocketAddr) -> Result<Permit, Cause> {
    let bounds = &route.guards.connections;
    match bounds.enter(&bounds.source(client.ip().to_canonical())) {
        Entry::In(permit) => Ok(permit),
        // Nobody is let wait: a client that waits for its turn cannot tell that from an endpoint that is silent.
        Entry::Wait(_) | Entry::Full => Err(Cause::Overloaded),
    }
}
