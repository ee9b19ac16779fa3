//! Near endpoints first, and when far ones help.

use super::*;

/// An endpoint on this node in this zone.
fn on(number: u16, node: &str, zone: &str) -> Endpoint {
    Endpoint { node: Some(node.into()), zone: Some(zone.into()), ..endpoint(number) }
}

fn hinted(number: u16, zones: &[&str], nodes: &[&str]) -> Endpoint {
    let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Endpoint { hints: Hints { zones: strings(zones), nodes: strings(nodes) }, ..endpoint(number) }
}

fn near(proximity: Proximity) -> Setup {
    let mut setup = Setup::default();
    setup.balancing.proximity = proximity;
    setup
}

/// Who gets requests while nothing is loaded.
fn served_by(setup: &Setup, endpoints: &[Endpoint]) -> Vec<u16> {
    let mut served: Vec<u16> = shares(&setup.balancer(endpoints), 200, setup.start).into_keys().collect();
    served.sort_unstable();
    served
}

fn three() -> Vec<Endpoint> {
    vec![on(1, "node-3", "zone-b"), on(2, "node-2", "zone-a"), on(3, "node-1", "zone-a")]
}

#[test]
fn the_own_node_comes_first_then_its_zone_then_any() {
    let setup = near(Proximity::Node);
    let mut all = three();
    assert_eq!(served_by(&setup, &all), [3]);
    all.pop();
    assert_eq!(served_by(&setup, &all), [2]);
    all.pop();
    assert_eq!(served_by(&setup, &all), [1]);
    assert_eq!(served_by(&near(Proximity::Any), &three()), [1, 2, 3]);
}

#[test]
fn a_zone_is_what_the_hints_say() {
    let setup = near(Proximity::Zone);
    let mut all =
        vec![hinted(1, &["zone-a"], &[]), hinted(2, &["zone-b"], &[]), hinted(3, &["zone-a", "zone-b"], &[])];
    assert_eq!(served_by(&setup, &all), [1, 3]);
    all.push(endpoint(4));
    assert_eq!(served_by(&setup, &all), [1, 2, 3, 4], "hints count only where all have them");
    assert_eq!(served_by(&setup, &three()), [1, 2, 3], "and without any, no zone is preferred");
}

#[test]
fn hints_for_nodes_win_over_where_endpoints_run() {
    let setup = near(Proximity::Node);
    let hint = |endpoint: Endpoint, node: &str| Endpoint {
        hints: Hints { zones: vec![], nodes: vec![node.into()] },
        ..endpoint
    };
    let all = [hint(on(1, "node-2", "zone-b"), "node-1"), hint(on(2, "node-1", "zone-a"), "node-2")];
    assert_eq!(served_by(&setup, &all), [1]);
}

#[test]
fn a_proxy_that_does_not_know_its_zone_prefers_none() {
    let mut setup = near(Proximity::Zone);
    setup.home.zone = None;
    assert_eq!(served_by(&setup, &[hinted(1, &["zone-a"], &[]), hinted(2, &["zone-b"], &[])]), [1, 2]);
}

/// How many of this many requests at once stay at the one near endpoint of ten.
fn stay(requests: usize, algorithm: Algorithm) -> usize {
    let mut setup = Setup::new(algorithm);
    setup.balancing.proximity = Proximity::Node;
    let all: Vec<Endpoint> =
        (1..=10).map(|number| on(number, if number == 7 { "node-1" } else { "node-2" }, "zone-b")).collect();
    let balancer = setup.balancer(&all);
    let dice = Dice::new(1);
    let held: Vec<_> =
        (0..requests).map(|_| balancer.pick(&Want::default(), &dice, setup.start).unwrap()).collect();
    held.iter().filter(|picked| number(picked.address()) == 7).count()
}

#[test]
fn a_loaded_near_endpoint_is_helped_by_far_ones() {
    for algorithm in [Algorithm::P2cEwma, Algorithm::LeastRequest, Algorithm::RoundRobin] {
        assert_eq!(stay(17, algorithm.clone()), 17, "{algorithm:?}: what it can take stays");
        let stayed = stay(1_000, algorithm.clone());
        // n = 16 + 2 f and n + 9 f = 1,000: about 195.
        assert!((150..=210).contains(&stayed), "{algorithm:?}: {stayed}");
    }
}

#[test]
fn a_failing_near_endpoint_is_replaced_by_far_ones_and_probed() {
    let setup = near(Proximity::Node);
    let balancer = setup.balancer(&three());
    for _ in 0..5 {
        tell(&balancer, 3, Outcome::ConnectFailed, setup.start);
    }
    assert_eq!(shares(&balancer, 100, setup.at(0.5)), HashMap::from([(2, 100)]));
    let mut probe = balancer.pick(&Want::default(), &Dice::new(1), setup.at(1.0)).unwrap();
    assert_eq!(number(probe.address()), 3);
    probe.observe(answered(200, 1), setup.at(1.0));
    assert_eq!(shares(&balancer, 100, setup.at(1.1)), HashMap::from([(3, 100)]));
}
