//! What every request passes on its way.
//!
//! In: the head of a request on its route, whichever engine read it. Out: the [`Changes`] to it and to its answer, or an
//! [`Answer`] instead. The order is the list in [`Chain::pass`]; nothing else decides it. All of it is pure.

mod answer;
mod change;
mod cors;
mod draw;
mod fault;
mod forwarded;
mod headers;
mod host;
mod limit;
mod mirror;
mod redirect;
mod request;
mod rewrite;
mod sticky;

pub use answer::{Answer, Rendered};
pub use change::{Changes, Edit, begins};
pub use request::{Client, Fields, Request};
pub use sticky::{cookie, set_cookie};

use crate::balance::Dice;
use bytes::Bytes;
use cors::Cors;
use redirect::Redirect;
use rewrite::Rewrite;
use weft_contract::{
    Policy,
    policy::{Actions, Fault, Forwarding},
};

/// What a Service's policy means for its requests. Compiled once: nothing of it is parsed per request.
#[derive(Clone, Debug)]
pub struct Chain {
    forwarding: Forwarding,
    body_bytes: u64,
    /// Most Services ask for none of these.
    actions: Option<Box<Compiled>>,
}

/// Actions, made ready.
#[derive(Clone, Debug)]
struct Compiled {
    fault: Option<Fault>,
    cors: Option<Cors>,
    redirect: Option<Redirect>,
    rewrite: Option<Rewrite>,
    request_headers: Vec<Edit>,
    response_headers: Vec<Edit>,
    mirror_percent: u32,
}

// === impl Chain ===

impl Chain {
    /// Compiles a policy.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let actions = &policy.actions;
        Self {
            forwarding: policy.forwarding,
            body_bytes: policy.limits.body_bytes,
            actions: (*actions != Actions::default()).then(|| Box::new(Compiled::new(actions))),
        }
    }

    /// How many bytes a request's body may have, for the engine to count where no `content-length` tells; none is no bound.
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        (self.body_bytes > 0).then_some(self.body_bytes)
    }

    /// Passes a request through everything, in this order. `changes` must be empty.
    ///
    /// # Errors
    /// The answer to give instead of forwarding the request, after the pause in `changes` if there is one.
    pub fn pass(&self, request: &Request<'_>, dice: &Dice, changes: &mut Changes) -> Result<(), Answer> {
        // What is wrong with a request comes first: it holds whatever the Service asks for, and costs least to refuse.
        host::pass(request, changes)?;
        limit::check(request, self.body_bytes)?;
        // Before the Service's own header changes, which may say more (a prefix that was cut off) or less.
        forwarded::pass(self.forwarding, request, changes);
        let Some(actions) = &self.actions else { return Ok(()) };
        // Before anything that might answer: a fault is to hit what a client would see, a browser's question included.
        if let Some(fault) = &actions.fault {
            fault::pass(fault, request, dice, changes)?;
        }
        // Before the redirect: a preflight must not be redirected, and a page may follow a redirect only if CORS lets it.
        if let Some(cors) = &actions.cors {
            cors.pass(request, changes)?;
        }
        if let Some(redirect) = &actions.redirect {
            return Err(redirect.answer(request).with_cors(changes));
        }
        let rewritten = actions.rewrite.as_ref().and_then(|rewrite| rewrite.apply(request.target));
        changes.target = rewritten.map(Bytes::from);
        // After all that the proxy says by itself, so that the Service has the last word on its headers.
        changes.request.extend_from_slice(&actions.request_headers);
        changes.response.extend_from_slice(&actions.response_headers);
        // Last: only what is forwarded is copied, and the copy is what the endpoint gets.
        mirror::pass(actions.mirror_percent, dice, changes);
        Ok(())
    }
}

// === impl Compiled ===

impl Compiled {
    fn new(actions: &Actions) -> Self {
        let Actions { fault, cors, redirect, rewrite, request_headers, response_headers, mirror } = actions;
        Self {
            fault: fault.clone(),
            cors: cors.as_ref().map(Cors::new),
            redirect: redirect.as_ref().map(Redirect::new),
            rewrite: rewrite.as_ref().map(Rewrite::new),
            request_headers: headers::of_request(request_headers),
            response_headers: headers::of_response(response_headers),
            mirror_percent: mirror.as_ref().map_or(0, |mirror| mirror.percent),
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
