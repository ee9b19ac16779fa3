//! Tells whose endpoints something goes to, and to which of them it may.
//!
//! In: the route of a request, a connection or a session, and who is there. Out: a [`Way`], or why there is none. All that
//! carries anything asks this, and nothing else: a split chooses a side, and the side's own gate says what is open there.

use super::{Route, Target};
use crate::{
    access::{Asked, Denied, Gone, Opened},
    balance::Only,
    cause::Cause,
    metrics::Traffic,
    plan::Plan,
    split::Choice,
};
use http::HeaderValue;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::time::Instant;
use weft_contract::{AccessMode, Caller, ServiceKey};

/// Where something goes. Whatever else the Service asks for is its own route's.
#[derive(Clone, Debug)]
pub struct Way {
    /// Whose endpoints.
    pub side: Arc<Route>,
    /// The only ones of them; none where all are open.
    pub only: Option<Only>,
    /// Where it is counted besides, if it was split.
    pub backend: Option<Arc<Traffic>>,
    /// What keeps the client on this side from now on.
    pub cookie: Option<HeaderValue>,
}

/// Why there is no way.
#[derive(Clone, Debug)]
pub enum NoWay {
    /// Nothing grants it.
    Denied(Box<Denied>),
    /// The split has no side that can be gone to.
    NoSide,
}

/// The way of a request, a connection or a session of `client`, which must be the connection's own address. `route` must be
/// of this plan. What is refused, or would be, is counted in `counted`: that of the port that the client called, which is
/// another route's where a server name led here.
///
/// # Errors
/// Where it may not go on.
pub fn way(
    plan: &Plan,
    route: &Arc<Route>,
    client: IpAddr,
    asked: Asked<'_>,
    counted: &Traffic,
) -> Result<Way, NoWay> {
    let (side, backend, cookie) = match &route.split {
        None => (Arc::clone(route), None, None),
        Some(split) => {
            let Target { service: root, port, transport, listener: _ } = &*route.target;
            let find = |service: &ServiceKey| {
                // Itself means its own endpoints. Another one's split means nothing here: splits are not nested.
                let side =
                    if service == root { Some(route) } else { plan.route_to(service, *port, *transport) };
                side.cloned()
            };
            let choice = match asked {
                Asked::Request(subject) => split.request(subject, find),
                Asked::Raw => split.raw(find),
            };
            match choice {
                Choice::Root => (Arc::clone(route), None, None),
                Choice::Side { route: side, traffic, cookie } => (side, Some(traffic), cookie),
                Choice::Nowhere => return Err(NoWay::NoSide),
            }
        }
    };
    let only = open(plan, &side, client, asked, counted)?;
    Ok(Way { side, only, backend, cookie })
}

/// The only endpoints of `side` that are open to a client, none where all are. What is refused, or would be, is counted in
/// `traffic`.
///
/// # Errors
/// Where nothing is.
pub fn open(
    plan: &Plan,
    side: &Route,
    client: IpAddr,
    asked: Asked<'_>,
    traffic: &Traffic,
) -> Result<Option<Only>, NoWay> {
    // Without access control there are no gates.
    let (Some(access), Some(gate)) = (&plan.access, &side.gate) else { return Ok(None) };
    match (access.opened(gate, client, asked), access.mode) {
        (Opened::All, _) => Ok(None),
        (Opened::Some(only), AccessMode::Enforce) => Ok(Some(only)),
        (Opened::Some(_), AccessMode::Audit) => Ok(None),
        (Opened::Nothing, mode) => {
            let source = plan.source(client.to_canonical());
            let caller = source.map(|source| Caller {
                namespace: source.namespace.clone(),
                service_account: source.service_account.clone(),
            });
            let denied = Denied { address: client.to_canonical(), caller, target: Arc::clone(&side.target) };
            traffic.denied(mode);
            match mode {
                AccessMode::Enforce => {
                    tracing::debug!(%denied, "refused");
                    Err(NoWay::Denied(Box::new(denied)))
                }
                AccessMode::Audit => {
                    access.ledger.enter(&denied, Instant::now());
                    Ok(None)
                }
            }
        }
    }
}

/// What goes on at an endpoint of a side, for as long as it is granted.
#[derive(Clone, Debug)]
pub struct Stay {
    /// Whose endpoint it is.
    pub side: Arc<Target>,
    /// Which one.
    pub endpoint: SocketAddr,
    /// Who is there.
    pub client: IpAddr,
    /// What is known should the Service lose the endpoint.
    pub gone: Gone,
}

// === impl Stay ===

impl Stay {
    /// The stay of a request that has no end.
    #[must_use]
    pub fn new(side: &Route, endpoint: SocketAddr, client: IpAddr) -> Self {
        let (target_name, transport) = (side.port.target_name.clone(), side.target.transport);
        let gone = Gone { target_name, transport, request: true };
        Self { side: Arc::clone(&side.target), endpoint, client, gone }
    }

    /// Whether it may go on by this plan.
    #[must_use]
    pub fn is_granted(&self, plan: &Plan, asked: Asked<'_>) -> bool {
        let Self { side, endpoint, client, gone } = self;
        let Some(access) = &plan.access else { return true };
        if access.mode == AccessMode::Audit {
            return true;
        }
        let route = plan.route_to(&side.service, side.port, side.transport);
        match route.and_then(|route| route.gate.as_ref()).filter(|gate| gate.knows(*endpoint)) {
            Some(gate) => match access.opened(gate, *client, asked) {
                Opened::All => true,
                Opened::Some(only) => only.admits(*endpoint),
                Opened::Nothing => false,
            },
            // A pod that left its Service, and still finishes what it has.
            None => access.is_granted(*client, *endpoint, gone),
        }
    }

    /// A connection's or session's stay at an endpoint of a side; none where access is not controlled.
    #[must_use]
    pub fn raw(plan: &Plan, side: Arc<Target>, endpoint: SocketAddr, client: IpAddr) -> Option<Self> {
        plan.access.as_ref()?;
        let route = plan.route_to(&side.service, side.port, side.transport);
        let target_name = route.and_then(|route| route.port.target_name.clone());
        let gone = Gone { target_name, transport: side.transport, request: false };
        Some(Self { side, endpoint, client, gone })
    }
}

// === impl NoWay ===

impl NoWay {
    /// The same as a cause.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Denied(_) => Cause::Denied,
            Self::NoSide => Cause::NoEndpoint,
        }
    }
}
