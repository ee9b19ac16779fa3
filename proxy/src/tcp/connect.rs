//! Opens the connection to an endpoint.
//!
//! In: a client and the port of a Service that it is to reach. Out: a connection to one of the endpoints, with the PROXY
//! header sent where the Service asks for it; or why none could be had. Nothing is waited for but an endpoint's accepting,
//! and that only so long: then it is tried elsewhere.

use super::{Worker, proxy_protocol};
use crate::{
    alarm::Alarm,
    balance::{InFlight, NoEndpoint, Outcome, Want, hash_address},
    cause::Cause,
    metrics::Traffic,
    route::{Route, Target, Way},
};
use rustix::io::Errno;
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};
use weft_contract::{
    Policy,
    policy::{HashKey, Retry},
};

/// Who wants to be connected.
pub(super) struct Caller<'a> {
    pub(super) stream: &'a TcpStream,
    pub(super) address: SocketAddr,
    /// The port that it connected to.
    pub(super) target: &'a Target,
    /// What is counted for that.
    pub(super) traffic: &'a Traffic,
}

/// A connection to an endpoint.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) endpoint: InFlight,
    /// How long it goes on after its endpoint has gone.
    pub(super) drain: Option<Duration>,
}

/// What was tried for one client.
#[derive(Debug, Default)]
pub(super) struct Tries {
    tried: Vec<SocketAddr>,
}

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the connection was not accepted in time")]
    Late,
    #[error("cannot connect: {0}")]
    Refused(#[source] io::Error),
    #[error("this proxy lacks what a connection takes: {0}")]
    Lack(#[source] io::Error),
}

// === impl Tries ===

impl Tries {
    /// Whether nothing was tried yet.
    pub(super) fn are_none(&self) -> bool {
        self.tried.is_empty()
    }

    /// Whether there may be one more.
    pub(super) fn are_left(&self, retry: &Retry) -> bool {
        let most = if retry.on.connect_failure { retry.attempts.max(1) } else { 1 };
        self.tried.len() < most as usize
    }
}

/// Connects, trying one endpoint after the other.
pub(super) async fn connect(
    worker: &Worker,
    caller: Caller<'_>,
    way: Way,
    policy: Arc<Policy>,
    tries: &mut Tries,
    alarm: &mut Alarm,
) -> Result<Connected, Cause> {
    // Whoever comes again comes because an endpoint broke.
    let mut cause = if tries.tried.is_empty() { Cause::NoEndpoint } else { Cause::EndpointReset };
    let Way { side: route, only, backend: _, cookie: _ } = way;
    let key = hash_key(caller.address.ip(), &route);
    let patience = policy.timeouts.connect.unwrap_or(worker.connect_timeout);
    while tries.are_left(&policy.retry) {
        let started = Instant::now();
        let want = Want { key, sticky: None, tried: &tries.tried, only: only.as_ref() };
        let mut endpoint = match route.balancer.pick_connection(&want, &worker.dice, started) {
            Ok(endpoint) => endpoint,
            Err(NoEndpoint::Full) if tries.tried.is_empty() => return Err(Cause::Overloaded),
            Err(NoEndpoint::NoneReady | NoEndpoint::AllTried | NoEndpoint::Full) => break,
        };
        if !tries.tried.is_empty() {
            caller.traffic.retry();
        }
        let address = endpoint.address();
        tries.tried.push(address);
        let opened = open(worker, &caller, &route, address, started + patience, alarm).await;
        let now = Instant::now();
        let failed = match opened {
            Ok(stream) => {
                return Ok(Connected { stream, endpoint, drain: route.policy.connections.drain });
            }
            Err(failed) => failed,
        };
        tracing::debug!(service = %route.target.service, %address, error = %failed, "TCP: a try failed");
        cause = failed.cause();
        match failed {
            Failed::Late => endpoint.observe(Outcome::TimedOut { after: patience }, now),
            Failed::Refused(_) => endpoint.observe(Outcome::ConnectFailed, now),
            // No fault of the endpoint's.
            Failed::Lack(_) => {}
        }
        caller.traffic.failure(cause);
    }
    Err(cause)
}

async fn open(
    worker: &Worker,
    caller: &Caller<'_>,
    route: &Route,
    address: SocketAddr,
    deadline: Instant,
    alarm: &mut Alarm,
) -> Result<TcpStream, Failed> {
    let mut connecting = pin!(TcpStream::connect(address));
    let connected = poll_fn(|context| match connecting.as_mut().poll(context) {
        Poll::Ready(connected) => Poll::Ready(connected.map_err(Failed::from)),
        Poll::Pending => alarm.poll(context, deadline).map(|()| Err(Failed::Late)),
    });
    let stream = connected.await?;
    stream.set_nodelay(true)?;
    if route.policy.connections.proxy_protocol {
        introduce(&stream, &header(worker, caller)).await?;
    }
    Ok(stream)
}

/// Writes the PROXY header, for which a new connection has room.
async fn introduce(stream: &TcpStream, header: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < header.len() {
        stream.writable().await?;
        match stream.try_write(&header[written..]) {
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn header(worker: &Worker, caller: &Caller<'_>) -> Vec<u8> {
    let destination = mesh_address(worker, caller.target, caller.address.ip());
    let destination = destination.or_else(|| caller.stream.local_addr().ok()).unwrap_or(caller.address);
    proxy_protocol::header(caller.address, destination)
}

/// The address that the mesh name of a Service has for this client: what it connected to before the node sent it here.
fn mesh_address(worker: &Worker, target: &Target, client: IpAddr) -> Option<SocketAddr> {
    let plan = worker.status.plan.load();
    let services = &plan.as_ref()?.configuration.services;
    let place = services.binary_search_by(|service| service.key.cmp(&target.service)).ok()?;
    let is_ipv4 = client.to_canonical().is_ipv4();
    let address = services[place].addresses.iter().find(|address| address.is_ipv4() == is_ipv4)?;
    Some(SocketAddr::new(*address, target.port))
}

/// What tells clients apart where the Service asks for the same endpoint for the same client. A TCP connection has no
/// headers or cookies.
fn hash_key(client: IpAddr, route: &Route) -> Option<u64> {
    match route.balancer.hash_key()? {
        HashKey::SourceAddress => Some(hash_address(client)),
        HashKey::Header(_) | HashKey::Cookie(_) => None,
    }
}

// === impl Failed ===

impl Failed {
    fn cause(&self) -> Cause {
        match self {
            Self::Late => Cause::ConnectTimeout,
            Self::Refused(_) => Cause::ConnectFailed,
            Self::Lack(_) => Cause::Internal,
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        match errno {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL) => {
                Self::Lack(error)
            }
            // The kernel gave up before we did.
            Some(Errno::TIMEDOUT) => Self::Late,
            _ => Self::Refused(error),
        }
    }
}
