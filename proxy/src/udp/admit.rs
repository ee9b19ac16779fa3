//! Decides on a new session: whether there is one, and where it goes.
//!
//! In: the plan, where the client sent to, and who it is. Out: the [`Route`] whose endpoints serve the session, or why there
//! is none. Asked once for a session, and again where its endpoint has to be replaced; never for a datagram.

use crate::{
    cause::Cause,
    plan::Plan,
    route::{Route, Target, route},
};
use std::{net::IpAddr, sync::Arc};
use weft_contract::Protocol;

/// The route of a session from `client` to `target`.
pub(super) fn admit(plan: &Plan, target: &Target, client: IpAddr) -> Result<Arc<Route>, Cause> {
    let listened = route(plan, target).filter(|route| route.protocol == Protocol::Udp);
    listened.ok_or_else(|| {
        tracing::debug!(service = %target.service, %client, "the port of a datagram has just gone");
        Cause::NoService
    })
}
