//! Serves a TCP connection: to an endpoint and back, byte for byte.
//!
//! In: a connection and its route. Out: the same bytes both ways, each direction closed when its sender closes it. A
//! connection that broke is passed on as broken (a reset), so that nobody mistakes half of a message for the whole.
//!
//! ```text
//! admit (limits) -> sni (where server names tell) -> connect (tries, PROXY header) -> relay (two directions, pipes) -> record
//!                                ^                        | the endpoint broke before the first byte
//!                                +------------------------+
//! ```
//!
//! A connection at rest holds no buffer and no timer; `register` is how it hears that its time is over.

mod admit;
mod connect;
mod direction;
mod pipe;
mod proxy_protocol;
mod register;
mod relay;
pub mod sni;

use crate::{
    access::Asked,
    alarm::Alarm,
    balance::{Dice, InFlight},
    cause::Cause,
    listen::Arrival,
    metrics::{OpenConnection, Traffic},
    plan::Plan,
    route::{Route, Stay, Target, Way, open, way},
    status::Status,
};
use connect::{Caller, Connected, Tries};
use direction::Mover;
use register::Register;
use relay::{End, Ends, Relay, Side};
use socket2::SockRef;
use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::Instant};
use weft_contract::Policy;

/// One worker's way to carry TCP connections.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Worker>);

/// What a worker's connections share.
#[derive(Debug)]
pub(crate) struct Worker {
    status: Status,
    dice: Arc<Dice>,
    connect_timeout: Duration,
    mover: Mover,
    register: Register,
}

// === impl Engine ===

impl Engine {
    /// An engine for the thread that calls this, within its runtime. With `splice` bytes move within the kernel where it
    /// allows that, without it they are copied.
    #[must_use]
    pub fn new(status: &Status, dice: Arc<Dice>, connect_timeout: Duration, splice: bool) -> Self {
        let (status, mover, register) = (status.clone(), Mover::new(splice), Register::default());
        let worker = Arc::new(Worker { status, dice, connect_timeout, mover, register });
        tokio::spawn(register::look_after(Arc::clone(&worker)));
        Self(worker)
    }

    /// Serves one connection until both sides closed it.
    pub fn serve(
        self,
        client: TcpStream,
        arrival: Arrival,
        route: Arc<Route>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Self(worker) = self;
        if worker.status.drain.is_retiring() {
            worker.status.metrics.drained("accepted", 1);
        }
        let mut session = Session::new(worker, client, arrival, &route);
        async move {
            session.run(route).await;
        }
    }
}

/// A client's connection, with what lasts as long as it.
struct Session {
    worker: Arc<Worker>,
    client: TcpStream,
    arrival: Arrival,
    open: OpenConnection,
    started: Instant,
    /// How long it may rest: what is asked of clients is asked by the Service that they connected to.
    idle: Option<Duration>,
    /// The port that is asked for.
    asked: Arc<Target>,
    /// The port whose endpoints it goes to: another where that one is split.
    target: Arc<Target>,
    /// What was read of the client to learn that; it goes first.
    first: Box<[u8]>,
    tries: Tries,
    alarm: Alarm,
}

/// Where a connection goes.
struct Ways {
    way: Way,
    /// What the Service asks for that was asked for, whoever's endpoints these are.
    policy: Arc<Policy>,
}

// === impl Session ===

impl Session {
    fn new(worker: Arc<Worker>, client: TcpStream, arrival: Arrival, route: &Route) -> Self {
        Self {
            worker,
            client,
            arrival,
            open: OpenConnection::new(Arc::clone(&route.traffic)),
            started: Instant::now(),
            idle: route.policy.connections.idle,
            asked: Arc::clone(&route.target),
            target: Arc::clone(&route.target),
            first: Box::default(),
            tries: Tries::default(),
            alarm: Alarm::default(),
        }
    }

    async fn run(&mut self, route: Arc<Route>) {
        // Held to the end: it is what the limits count.
        let _permit = match admit::admit(&route, self.arrival.client) {
            Ok(permit) => permit,
            Err(cause) => return self.refuse(cause),
        };
        // On the heap, for few are asked for a name.
        if route.server_names.is_some() && !Box::pin(self.choose(&route)).await {
            return;
        }
        drop(route);
        // A connection that rests must not keep an old route alive: it is looked up again where it is needed again.
        loop {
            // On the heap, for it is larger than what rests afterwards.
            let connected = match self.connecting() {
                Ok(connecting) => connecting.await,
                Err(cause) => Err(cause),
            };
            let connected = match connected {
                Ok(connected) => connected,
                Err(cause) => return self.refuse(cause),
            };
            let Connected { stream, mut endpoint, drain } = connected;
            let end = self.relay(&stream, &mut endpoint, drain).await;
            if self.is_over(end, &stream) {
                break;
            }
        }
        self.open.traffic().connection(self.started.elapsed());
    }

    /// Finds out what is asked for by the server name, where the port has routes by names; false where the client was refused.
    async fn choose(&mut self, route: &Arc<Route>) -> bool {
        match sni::choose(&self.client, route, &self.worker.status.plan).await {
            Ok((chosen, first)) => {
                self.asked = Arc::clone(&chosen.target);
                self.first = first.into();
                true
            }
            Err(refused) => {
                tracing::debug!(service = %self.asked.service, %refused, "TLS: a client goes nowhere");
                refused.tell(&mut self.client, self.open.traffic()).await;
                false
            }
        }
    }

    /// Begins to connect to an endpoint, if there is a way to one.
    fn connecting(&mut self) -> Result<Pin<Box<impl Future<Output = Result<Connected, Cause>> + '_>>, Cause> {
        let client = self.arrival.client.ip();
        let Ways { way, policy } = if self.tries.are_none() {
            self.worker.way(&self.asked, client, self.open.traffic())
        } else {
            self.worker.again(&self.asked, &self.target, client, self.open.traffic())
        }?;
        self.target = Arc::clone(&way.side.target);
        let Self {
            worker,
            client,
            arrival,
            open,
            started: _,
            idle: _,
            asked: _,
            target: _,
            first: _,
            tries,
            alarm,
        } = self;
        let traffic = open.traffic();
        let caller = Caller { stream: client, address: arrival.client, target: &arrival.target, traffic };
        Ok(Box::pin(connect::connect(worker, caller, way, policy, tries, alarm)))
    }

    fn relay<'a>(
        &'a mut self,
        stream: &'a TcpStream,
        endpoint: &'a mut InFlight,
        drain: Option<Duration>,
    ) -> Relay<'a> {
        let Worker { status, dice: _, connect_timeout: _, mover, register } = &*self.worker;
        let plan = status.plan.load();
        let (target, client) = (Arc::clone(&self.target), self.arrival.client.ip());
        let stay = plan.as_deref().and_then(|plan| Stay::raw(plan, target, endpoint.address(), client));
        let registered =
            register.enter(endpoint.state(), &self.target, drain, stay.map(Box::new), plan.as_deref());
        let first = std::mem::take(&mut self.first);
        let ends = Ends { client: &self.client, stream, endpoint, first };
        Relay::new(mover, ends, registered, self.open.traffic(), self.idle, &mut self.alarm)
    }

    /// Sees to it that both sides know how it ended. Whether it has: where an endpoint broke before the first byte, another
    /// may do better.
    fn is_over(&mut self, end: End, stream: &TcpStream) -> bool {
        let service = &self.target.service;
        match end {
            End::Complete => return true,
            End::Broken { side, error, again } => {
                tracing::debug!(%service, ?side, %error, "TCP connection broke");
                if side == Side::Endpoint {
                    self.open.traffic().failure(Cause::EndpointReset);
                    if let Some(first) = again {
                        self.first = first;
                        return false;
                    }
                }
            }
            End::Cut(cause) => {
                tracing::debug!(%service, %cause, "TCP connection cut");
                self.open.traffic().cut(cause);
            }
        }
        reset(&self.client);
        reset(stream);
        true
    }

    /// A reset rather than a clean end: the client must not think that the Service had nothing to say.
    fn refuse(&self, cause: Cause) {
        self.open.traffic().refused(cause);
        reset(&self.client);
    }
}

/// Has the connection reset when it is closed.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

// === impl Worker ===

impl Worker {
    /// The way of a connection to a port of a Service, by the plan in force. A refusal is counted in `counted`.
    fn way(&self, target: &Target, client: IpAddr, counted: &Traffic) -> Result<Ways, Cause> {
        let plan = self.status.plan.load();
        let plan = plan.as_ref().ok_or(Cause::NoService)?;
        let route = find(plan, target)?;
        let way = way(plan, route, client, Asked::Raw, counted).map_err(|none| none.cause())?;
        Ok(Ways { way, policy: Arc::clone(&route.policy) })
    }

    /// The same for another try, on the side that was chosen.
    fn again(
        &self,
        target: &Target,
        side: &Target,
        client: IpAddr,
        counted: &Traffic,
    ) -> Result<Ways, Cause> {
        let plan = self.status.plan.load();
        let plan = plan.as_ref().ok_or(Cause::NoService)?;
        let (route, side) = (find(plan, target)?, find(plan, side)?);
        let only = open(plan, side, client, Asked::Raw, counted).map_err(|none| none.cause())?;
        let way = Way { side: Arc::clone(side), only, backend: None, cookie: None };
        Ok(Ways { way, policy: Arc::clone(&route.policy) })
    }
}

fn find<'a>(plan: &'a Plan, target: &Target) -> Result<&'a Arc<Route>, Cause> {
    plan.route_to(&target.service, target.port, target.transport).ok_or(Cause::NoService)
}

#[cfg(test)]
mod tests;
