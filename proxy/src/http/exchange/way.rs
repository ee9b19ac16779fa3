//! Tells whose endpoints a request goes to, and whether it may.
//!
//! In: the head of a request on its connection. Out: its route and its way, or the answer instead. It is asked when the head
//! is there, by the plan that is in force then: a client that sends its head slowly gains nothing by it.

use super::{Call, Known};
use crate::{
    access::{Asked, Hold},
    balance::Only,
    cause::Cause,
    http::{Worker, head::RequestHead},
    matching::Subject,
    middleware::Answer,
    plan::Plan,
    route::{self, NoWay, Route, Stay, Way, way},
};
use http::Method;
use std::{net::SocketAddr, sync::Arc};

/// The route of a request, and its way from there; none where its port is no longer served.
pub fn find(
    worker: &Worker,
    known: &Known,
    request: &RequestHead,
) -> Option<(Arc<Route>, Result<Way, NoWay>)> {
    let plan = worker.status.plan.load();
    let plan = plan.as_ref()?;
    let route = route::route(plan, &known.arrival.target)?;
    let way = way(plan, &route, known.client.address, Asked::Request(&subject(request)), &route.traffic);
    Some((route, way))
}

/// What is answered where there is no way.
pub fn answer(route: &Route, none: NoWay) -> Answer {
    match none {
        NoWay::Denied(denied) => Answer::of(Cause::Denied).with_text(denied.to_string()),
        NoWay::NoSide => {
            let target = &route.target;
            let text = format!("the split of {}:{} has no backend to go to", target.service, target.port);
            Answer::of(Cause::NoEndpoint).with_text(text)
        }
    }
}

/// The endpoints that a copy of a request may go to; an error where it may not.
pub fn open_to_copy(plan: &Plan, to: &Route, known: &Known, call: &Call) -> Result<Option<Only>, NoWay> {
    let asked = subject(&call.request);
    route::open(plan, to, known.client.address, Asked::Request(&asked), &to.traffic)
}

/// Holds a connection that changed its protocol, to be cut when what it began with is no longer granted; none where access
/// is not controlled.
pub fn hold(worker: &Worker, known: &Known, call: &Call, side: &Route, endpoint: SocketAddr) -> Option<Hold> {
    let stay = Stay::new(side, endpoint, known.client.address);
    let request = call.request.clone();
    let check = move |plan: &Plan| stay.is_granted(plan, Asked::Request(&subject(&request)));
    worker.status.held.hold(&worker.status.plan, Box::new(check))
}

/// What a request is matched by.
fn subject(request: &RequestHead) -> Subject<'_> {
    // Over HTTP/2 a WebSocket is asked for by CONNECT (RFC 8441), which its endpoint gets as the GET that it is in HTTP/1.
    let method = if request.protocol.is_some() { &Method::GET } else { &request.method };
    Subject::new(method, &request.target, &request.head)
}
