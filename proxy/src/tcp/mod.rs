//! Serves a TCP connection: to an endpoint and back, byte for byte.
//!
//! In: a connection and its route. Out: the same bytes both ways, each direction closed when its sender closes it. A
//! connection that broke is passed on as broken (a reset), so that nobody mistakes half of a message for the whole.

mod pump;

use crate::{
    access::Asked,
    balance::{Dice, InFlight, Outcome, Want, hash_address},
    cause::Cause,
    listen::Arrival,
    metrics::OpenConnection,
    route::{self, NoWay, Route, Stay, Target, Way, way},
    status::Status,
};
use socket2::SockRef;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use weft_contract::policy::HashKey;

/// How many endpoints are tried before the client is given up.
const TRIES: usize = 3;

/// Serves one connection until both sides closed it, or it is no longer granted.
pub async fn serve(
    client: TcpStream,
    arrival: Arrival,
    status: Status,
    dice: Arc<Dice>,
    connect_timeout: Duration,
) {
    let address = arrival.client.ip();
    let Some((route, way)) = find(&status, &arrival.target, address) else { return };
    let _open = OpenConnection::new(Arc::clone(&route.traffic));
    let connected = match &way {
        Ok(way) => connect(&client, &route, way, &dice, connect_timeout).await.map(|open| (open, &way.side)),
        Err(NoWay::Denied(_)) => None,
        Err(NoWay::NoSide) => {
            route.traffic.failure(Cause::NoEndpoint);
            None
        }
    };
    let Some(((backend, endpoint), side)) = connected else {
        // A reset rather than a clean end: the client must not think that the Service had nothing to say.
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        return;
    };
    let stay = Stay::new(side, endpoint.address(), address, false);
    let hold = stay.hold_raw(&status.held, &status.plan);
    let cut = async {
        match &hold {
            Some(hold) => hold.cut.cancelled().await,
            None => std::future::pending().await,
        }
        Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied))
    };
    let traffic = &route.traffic;
    let pumps = async {
        let up = pump::pump(&client, &backend, |bytes| traffic.received(bytes));
        let down = pump::pump(&backend, &client, |bytes| traffic.sent(bytes));
        tokio::try_join!(up, down).map(drop)
    };
    let ended = tokio::select! {
        biased;
        ended = cut => ended,
        ended = pumps => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(service = %route.target.service, %error, "TCP connection broke");
        for side in [&client, &backend] {
            let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
        }
    }
}

/// The route of a connection, and its way from there; none where its port is no longer served.
fn find(status: &Status, target: &Target, client: IpAddr) -> Option<(Arc<Route>, Result<Way, NoWay>)> {
    let plan = status.plan.load();
    let plan = plan.as_ref()?;
    let route = route::route(plan, target)?;
    let way = way(plan, &route, client, Asked::Raw);
    Some((route, way))
}

async fn connect(
    client: &TcpStream,
    route: &Route,
    way: &Way,
    dice: &Dice,
    connect_timeout: Duration,
) -> Option<(TcpStream, InFlight)> {
    let Way { side, only, backend: _, cookie: _ } = way;
    let key = hash_key(client, side);
    let connect_timeout = route.policy.timeouts.connect.unwrap_or(connect_timeout);
    let mut tried: Vec<SocketAddr> = Vec::new();
    while tried.len() < TRIES {
        let started = Instant::now();
        let want = Want { key, sticky: None, tried: &tried, only: only.as_ref() };
        let Ok(mut endpoint) = side.balancer.pick(&want, dice, started) else { break };
        let address = endpoint.address();
        let opened = timeout(connect_timeout, open(address)).await.unwrap_or_else(|late| Err(late.into()));
        let now = Instant::now();
        match opened {
            Ok(stream) => {
                endpoint.observe(connected(now - started), now);
                return Some((stream, endpoint));
            }
            Err(error) => {
                tracing::debug!(service = %route.target.service, %address, %error, "cannot connect");
                endpoint.observe(Outcome::ConnectFailed, now);
                route.traffic.failure(Cause::ConnectFailed);
            }
        }
        tried.push(address);
    }
    if tried.is_empty() {
        route.traffic.failure(Cause::NoEndpoint);
    }
    None
}

/// What tells clients apart where the Service asks for the same endpoint for the same client. A TCP connection has no
/// headers or cookies.
fn hash_key(client: &TcpStream, route: &Route) -> Option<u64> {
    match route.balancer.hash_key()? {
        HashKey::SourceAddress => client.peer_addr().ok().map(|client| hash_address(client.ip())),
        HashKey::Header(_) | HashKey::Cookie(_) => None,
    }
}

/// All that a TCP connection tells of its endpoint: that it accepts, and how soon.
fn connected(latency: Duration) -> Outcome {
    Outcome::Answered { status: 200, grpc_code: None, retry_after: None, latency }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    crate::listen::keep_alive(&SockRef::from(&stream))?;
    Ok(stream)
}
