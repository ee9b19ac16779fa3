//! What balancers do, as a whole: who is picked, how evenly, and who is left alone.

mod algorithms;
mod ejection;
mod locality;
mod pick;
mod room;
mod simulation;

use super::*;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use weft_contract::Hints;

/// What tests make a balancer of.
#[derive(Clone, Debug)]
struct Setup {
    balancing: Balancing,
    outlier: Outlier,
    most_in_flight: u32,
    home: Home,
    start: Instant,
}

impl Setup {
    fn new(algorithm: Algorithm) -> Self {
        Self {
            balancing: Balancing { algorithm, ..Balancing::default() },
            outlier: Outlier::default(),
            most_in_flight: 0,
            home: Home { node: "node-1".into(), zone: Some("zone-a".into()) },
            start: Instant::now(),
        }
    }

    fn balancer(&self, endpoints: &[Endpoint]) -> Balancer {
        self.build(endpoints, None, self.start)
    }

    fn build(&self, endpoints: &[Endpoint], previous: Option<&Balancer>, now: Instant) -> Balancer {
        let settings = Settings {
            balancing: &self.balancing,
            outlier: &self.outlier,
            most_in_flight: self.most_in_flight,
            home: &self.home,
        };
        Balancer::new(endpoints, &settings, previous, now)
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new(Algorithm::P2cEwma)
    }
}

fn all_algorithms() -> [Algorithm; 4] {
    [
        Algorithm::P2cEwma,
        Algorithm::RoundRobin,
        Algorithm::LeastRequest,
        Algorithm::Hash(HashKey::SourceAddress),
    ]
}

fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
}

fn endpoint(number: u16) -> Endpoint {
    Endpoint {
        address: address(number),
        port: 80,
        ready: true,
        serving: true,
        terminating: false,
        zone: None,
        node: None,
        hints: Hints::default(),
    }
}

fn endpoints(numbers: impl IntoIterator<Item = u16>) -> Vec<Endpoint> {
    numbers.into_iter().map(endpoint).collect()
}

/// The number of an address made by [`address`].
fn number(address: SocketAddr) -> u16 {
    match address.ip() {
        IpAddr::V4(address) => u16::from_be_bytes([address.octets()[2], address.octets()[3]]),
        IpAddr::V6(_) => unreachable!(),
    }
}

fn numbers(balancer: &Balancer) -> Vec<u16> {
    balancer.endpoints().iter().map(|state| number(state.address)).collect()
}

fn answered(status: u16, milliseconds: u64) -> Outcome {
    let latency = Duration::from_millis(milliseconds);
    Outcome::Answered { status, grpc_code: None, retry_after: None, latency }
}

fn asks_for_rest(status: u16, seconds: u64) -> Outcome {
    Outcome::Answered {
        status,
        grpc_code: None,
        retry_after: Some(Duration::from_secs(seconds)),
        latency: Duration::from_millis(1),
    }
}

/// How often each endpoint is picked, each request finished before the next.
fn shares(balancer: &Balancer, requests: u32, now: Instant) -> HashMap<u16, u32> {
    let dice = Dice::new(11);
    let mut shares = HashMap::new();
    for _ in 0..requests {
        let picked = balancer.pick(&Want::default(), &dice, now).unwrap();
        *shares.entry(number(picked.address())).or_insert(0) += 1;
    }
    shares
}

/// Sends a request to this very endpoint, and lets it have this outcome.
fn tell(balancer: &Balancer, wanted: u16, outcome: Outcome, now: Instant) {
    let tried: Vec<SocketAddr> = balancer
        .endpoints()
        .iter()
        .map(|state| state.address)
        .filter(|address| number(*address) != wanted)
        .collect();
    let want = Want { tried: &tried, ..Want::default() };
    balancer.pick(&want, &Dice::new(1), now).unwrap().observe(outcome, now);
}
