//! Ten endpoints of which some are slow, failing or dead, at 1,000 requests a second in an open loop.
//!
//! Requests come whether earlier ones are answered or not, as they do from many clients. Time is virtual.

use super::*;
use std::{cmp::Reverse, collections::BinaryHeap};

const REQUESTS_PER_SECOND: u64 = 1_000;
const COUNT: u16 = 10;

/// What an endpoint does with a request that comes at this second.
type Behaviour = Box<dyn Fn(f64) -> Outcome>;

struct Simulation {
    setup: Setup,
    balancer: Balancer,
    dice: Dice,
    behaviours: HashMap<u16, Behaviour>,
    /// Milliseconds, and which request ends then.
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    under_way: HashMap<u64, (InFlight, Outcome)>,
    millisecond: u64,
}

fn healthy(seconds: f64) -> Outcome {
    // Between 8 and 12 ms, in no order that matters.
    answered(200, 8 + (seconds * 1_000.0) as u64 * 7_919 % 5)
}

/// Does `bad` up to that second, then recovers.
fn until(second: f64, bad: Outcome) -> Behaviour {
    Box::new(move |now| if now < second { bad } else { healthy(now) })
}

impl Simulation {
    fn new(algorithm: Algorithm, bad: Vec<(u16, Behaviour)>) -> Self {
        let setup = Setup::new(algorithm);
        Self {
            balancer: setup.balancer(&endpoints(1..=COUNT)),
            setup,
            dice: Dice::new(42),
            behaviours: bad.into_iter().collect(),
            ends: BinaryHeap::new(),
            under_way: HashMap::new(),
            millisecond: 0,
        }
    }

    /// Goes on to that second; says which share of the requests each endpoint got, and how many failed.
    fn run_to(&mut self, second: u64) -> (HashMap<u16, f64>, f64) {
        let (mut counts, mut failed, mut total) = (HashMap::new(), 0.0, 0.0);
        while self.millisecond < second * 1_000 {
            self.finish();
            for part in 0..REQUESTS_PER_SECOND / 1_000 {
                let (endpoint, outcome) = self.start(part);
                *counts.entry(endpoint).or_insert(0.0) += 1.0;
                failed += f64::from(u8::from(outcome.verdict() == outcome::Verdict::Failed));
                total += 1.0;
            }
            self.millisecond += 1;
        }
        counts.values_mut().for_each(|count| *count /= total);
        (counts, failed / total)
    }

    fn now(&self) -> Instant {
        self.setup.start + Duration::from_millis(self.millisecond)
    }

    fn finish(&mut self) {
        while let Some(Reverse((end, id))) = self.ends.peek().copied() {
            if end > self.millisecond {
                break;
            }
            self.ends.pop();
            let now = self.now();
            let (mut in_flight, outcome) = self.under_way.remove(&id).unwrap();
            in_flight.observe(outcome, now);
        }
    }

    fn start(&mut self, part: u64) -> (u16, Outcome) {
        let in_flight = self.balancer.pick(&Want::default(), &self.dice, self.now()).unwrap();
        let endpoint = number(in_flight.address());
        let second = self.millisecond as f64 / 1_000.0;
        let outcome = self.behaviours.get(&endpoint).map_or_else(|| healthy(second), |does| does(second));
        let id = self.millisecond * 1_000 + part;
        let takes = u64::try_from(outcome.latency().unwrap().as_millis()).unwrap();
        self.ends.push(Reverse((self.millisecond + takes.max(1), id)));
        self.under_way.insert(id, (in_flight, outcome));
        (endpoint, outcome)
    }
}

fn share(shares: &HashMap<u16, f64>, endpoint: u16) -> f64 {
    shares.get(&endpoint).copied().unwrap_or(0.0)
}

#[test]
fn healthy_endpoints_get_similar_shares() {
    let mut simulation = Simulation::new(Algorithm::P2cEwma, vec![]);
    simulation.run_to(5);
    let (shares, failed) = simulation.run_to(25);
    assert!((1..=COUNT).all(|endpoint| (0.05..0.2).contains(&share(&shares, endpoint))), "{shares:?}");
    assert_eq!(failed, 0.0);
}

#[test]
fn a_slow_endpoint_gets_hardly_anything_and_its_share_back_when_it_is_well() {
    let mut simulation = Simulation::new(Algorithm::P2cEwma, vec![(3, until(30.0, answered(200, 1_000)))]);
    let (first, _) = simulation.run_to(5);
    assert!(share(&first, 3) < 0.02, "{}", share(&first, 3));
    let (then, _) = simulation.run_to(30);
    assert!(share(&then, 3) < 0.002, "{}", share(&then, 3));
    // Only the fading of the memory can tell that it is well: from 1 s to 20 ms takes four time constants.
    simulation.run_to(80);
    let (after, _) = simulation.run_to(100);
    assert!(share(&after, 3) > 0.05, "{}", share(&after, 3));
}

#[test]
fn least_request_leaves_a_slow_endpoint_what_it_can_carry() {
    let mut simulation =
        Simulation::new(Algorithm::LeastRequest, vec![(3, until(f64::MAX, answered(200, 1_000)))]);
    simulation.run_to(5);
    let (shares, _) = simulation.run_to(25);
    assert!(share(&shares, 3) < 0.02, "{}", share(&shares, 3));
}

#[test]
fn an_endpoint_that_fails_fast_attracts_nothing_and_comes_back() {
    for algorithm in [Algorithm::P2cEwma, Algorithm::LeastRequest, Algorithm::RoundRobin] {
        let mut simulation = Simulation::new(algorithm.clone(), vec![(3, until(30.0, answered(500, 0)))]);
        let (first, _) = simulation.run_to(5);
        assert!(share(&first, 3) < 0.005, "{algorithm:?}: {}", share(&first, 3));
        let (then, failed) = simulation.run_to(30);
        assert!(failed < 0.001, "{algorithm:?}: {failed}");
        assert!(share(&then, 3) < 0.001, "{algorithm:?}: {}", share(&then, 3));
        simulation.run_to(80);
        let (after, failed) = simulation.run_to(100);
        assert!(share(&after, 3) > 0.05, "{algorithm:?}: {}", share(&after, 3));
        assert_eq!(failed, 0.0);
    }
}

#[test]
fn p2c_ewma_leaves_a_failing_endpoint_alone_even_where_none_is_ever_set_aside() {
    let mut simulation = Simulation::new(Algorithm::P2cEwma, vec![(3, until(f64::MAX, answered(500, 0)))]);
    simulation.setup.outlier = Outlier { consecutive: 0, success_percent: 0, ..Outlier::default() };
    simulation.balancer = simulation.setup.balancer(&endpoints(1..=COUNT));
    simulation.run_to(5);
    let (shares, _) = simulation.run_to(65);
    assert!(share(&shares, 3) < 0.01, "{}", share(&shares, 3));
}

#[test]
fn a_dead_endpoint_gets_hardly_anything_and_comes_back() {
    let mut simulation = Simulation::new(Algorithm::P2cEwma, vec![(3, until(20.0, Outcome::ConnectFailed))]);
    let (first, _) = simulation.run_to(5);
    assert!(share(&first, 3) < 0.005, "{}", share(&first, 3));
    let (then, _) = simulation.run_to(20);
    assert!(share(&then, 3) < 0.001, "{}", share(&then, 3));
    // Its fifth pause ends after at most 31 s, then it warms up.
    simulation.run_to(45);
    let (after, _) = simulation.run_to(60);
    assert!(share(&after, 3) > 0.05, "{}", share(&after, 3));
}

#[test]
fn slow_failing_and_dead_at_once() {
    let mut simulation = Simulation::new(
        Algorithm::P2cEwma,
        vec![
            (2, until(f64::MAX, answered(200, 1_000))),
            (5, until(f64::MAX, answered(503, 0))),
            (8, until(f64::MAX, Outcome::ConnectFailed)),
        ],
    );
    simulation.run_to(5);
    let (shares, failed) = simulation.run_to(35);
    assert!([2, 5, 8].iter().all(|bad| share(&shares, *bad) < 0.01), "{shares:?}");
    assert!(failed < 0.001, "{failed}");
}

#[test]
fn when_all_fail_all_are_still_tried() {
    let bad = (1..=COUNT).map(|endpoint| (endpoint, until(10.0, answered(500, 1)))).collect();
    let mut simulation = Simulation::new(Algorithm::P2cEwma, bad);
    let (first, _) = simulation.run_to(10);
    assert!(first.len() == usize::from(COUNT));
    assert!(simulation.balancer.census(simulation.now()).ejected <= usize::from(COUNT / 2));
    simulation.run_to(60);
    let (after, failed) = simulation.run_to(80);
    assert!((1..=COUNT).all(|endpoint| share(&after, endpoint) > 0.04), "{after:?}");
    assert_eq!(failed, 0.0);
}
