//! Decides on a new session: whether there is one, and where it goes.
//!
//! In: the plan, where the client sent to, and who it is. Out: the [`Way`], which is whose endpoints serve the session, and
//! which of them may; or why there is none. Asked once for a session, and again where its endpoint has to be replaced; never
//! for a datagram.

use crate::{
    access::Asked,
    cause::Cause,
    plan::Plan,
    route::{Route, Stay, Target, Way, open, route, way},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use weft_contract::Protocol;

/// The way of a new session from `client` to `target`.
pub(super) fn admit(plan: &Plan, target: &Target, client: IpAddr) -> Result<Way, Cause> {
    let route = listened(plan, target, client)?;
    way(plan, &route, client, Asked::Raw, &route.traffic).map_err(|none| none.cause())
}

/// The same for a session whose endpoints are those of `side`, by this plan.
pub(super) fn again(plan: &Plan, target: &Target, side: &Arc<Route>, client: IpAddr) -> Result<Way, Cause> {
    let listened = listened(plan, target, client)?;
    let only = open(plan, side, client, Asked::Raw, &listened.traffic).map_err(|none| none.cause())?;
    Ok(Way { side: Arc::clone(side), only, backend: None, cookie: None })
}

/// Whether a session may go on at its endpoint.
pub(super) fn may_stay(plan: &Plan, side: &Arc<Target>, endpoint: SocketAddr, client: IpAddr) -> bool {
    let stay = Stay::raw(plan, Arc::clone(side), endpoint, client);
    stay.is_none_or(|stay| stay.is_granted(plan, Asked::Raw))
}

fn listened(plan: &Plan, target: &Target, client: IpAddr) -> Result<Arc<Route>, Cause> {
    let listened = route(plan, target).filter(|route| route.protocol == Protocol::Udp);
    listened.ok_or_else(|| {
        tracing::debug!(service = %target.service, %client, "the port of a datagram has just gone");
        Cause::NoService
    })
}
