//! Whom each algorithm picks among those that can be had.

use super::*;
use proptest::prelude::*;

/// Requests for keys 0 to `keys`, each finished before the next.
fn by_key(balancer: &Balancer, keys: u64, now: Instant) -> Vec<u16> {
    let dice = Dice::new(3);
    let key = |key: u64| Want { key: Some(hash(&key.to_be_bytes())), ..Want::default() };
    (0..keys)
        .map(|number| balancer.pick(&key(number), &dice, now).unwrap())
        .map(|picked| number(picked.address()))
        .collect()
}

fn hashing() -> Setup {
    Setup::new(Algorithm::Hash(HashKey::Header("user".into())))
}

#[test]
fn a_busy_endpoint_is_left_alone() {
    for algorithm in [Algorithm::P2cEwma, Algorithm::LeastRequest] {
        let setup = Setup::new(algorithm);
        let balancer = setup.balancer(&endpoints(1..=2));
        let dice = Dice::new(7);
        let busy = balancer.pick(&Want::default(), &dice, setup.start).unwrap();
        for _ in 0..100 {
            let other = balancer.pick(&Want::default(), &dice, setup.start).unwrap();
            assert_ne!(other.address(), busy.address());
        }
    }
}

#[test]
fn a_connection_goes_where_least_is_open_however_soon_each_endpoint_accepts() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    tell(&balancer, 1, answered(200, 1_000), setup.start);
    tell(&balancer, 2, answered(200, 1), setup.start);
    let dice = Dice::new(7);
    let mut open: Vec<InFlight> = Vec::new();
    for _ in 0..50 {
        open.push(balancer.pick_connection(&Want::default(), &dice, setup.start).unwrap());
        open.push(balancer.pick_connection(&Want::default(), &dice, setup.start).unwrap());
        let first = open.iter().filter(|picked| number(picked.address()) == 1).count();
        assert_eq!(first * 2, open.len());
    }
}

#[test]
fn p2c_ewma_gives_each_its_share_where_their_latencies_are_much_alike() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    tell(&balancer, 1, answered(200, 12), setup.start);
    tell(&balancer, 2, answered(200, 10), setup.start);
    let shares = shares(&balancer, 1_000, setup.start);
    assert!(shares.len() == 2 && shares.values().all(|share| *share > 400), "{shares:?}");
}

#[test]
fn p2c_ewma_leaves_a_slow_endpoint_alone_until_it_is_forgotten() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    tell(&balancer, 1, answered(200, 1_000), setup.start);
    tell(&balancer, 2, answered(200, 10), setup.start);
    assert_eq!(shares(&balancer, 100, setup.at(1.0)), HashMap::from([(2, 100)]));
    tell(&balancer, 2, answered(200, 10), setup.at(60.0));
    assert!(shares(&balancer, 100, setup.at(60.0)).contains_key(&1), "it is worth another try");
}

#[test]
fn p2c_ewma_leaves_a_failing_endpoint_alone_however_fast_it_is() {
    for bad in [answered(500, 0), answered(429, 0), Outcome::ConnectFailed, Outcome::Reset] {
        let setup = Setup::default();
        let balancer = setup.balancer(&endpoints(1..=2));
        tell(&balancer, 1, answered(200, 10), setup.start);
        tell(&balancer, 2, answered(200, 10), setup.start);
        tell(&balancer, 1, bad, setup.start);
        assert_eq!(shares(&balancer, 100, setup.at(1.0)), HashMap::from([(2, 100)]), "{bad:?}");
        tell(&balancer, 2, answered(200, 10), setup.at(13.0));
        assert!(shares(&balancer, 100, setup.at(13.0)).contains_key(&1), "{bad:?}: once is not for ever");
    }
}

#[test]
fn a_timeout_counts_for_as_long_as_it_was_waited_for() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    tell(&balancer, 1, Outcome::TimedOut { after: Duration::from_secs(30) }, setup.start);
    assert!(balancer.endpoints()[0].latency.estimate(1) > 29.0);
}

#[test]
fn an_accepted_connection_is_a_success_and_no_latency() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints([1]));
    tell(&balancer, 1, answered(200, 50), setup.start);
    tell(&balancer, 1, Outcome::Accepted, setup.start);
    assert_eq!(balancer.endpoints()[0].latency.estimate(1), 0.05);
    for _ in 0..20 {
        tell(&balancer, 1, Outcome::Reset, setup.start);
        tell(&balancer, 1, Outcome::Accepted, setup.start);
    }
    assert_eq!(balancer.census(setup.start).ejected, 0, "never two failures in a row");
}

#[test]
fn only_the_first_word_on_a_request_counts_and_none_is_no_verdict() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints([1]));
    let mut picked = balancer.pick(&Want::default(), &Dice::new(1), setup.start).unwrap();
    let before = picked.state().latency.estimate(1);
    drop(balancer.pick(&Want::default(), &Dice::new(1), setup.start).unwrap());
    assert_eq!(picked.state().latency.estimate(1), before);
    picked.observe(answered(200, 50), setup.start);
    picked.observe(answered(200, 9_000), setup.start);
    assert_eq!(picked.state().latency.estimate(1), 0.05);
}

#[test]
fn a_newcomer_is_taken_for_what_the_others_are() {
    let setup = Setup::default();
    let before = setup.balancer(&endpoints(1..=2));
    tell(&before, 1, answered(200, 100), setup.start);
    tell(&before, 2, answered(200, 300), setup.start);
    let after = setup.build(&endpoints(1..=3), Some(&before), setup.start);
    assert!((after.endpoints()[2].latency.estimate(1) - 0.2).abs() < 0.001);
}

#[test]
fn a_newcomers_share_grows_with_time() {
    for algorithm in [Algorithm::P2cEwma, Algorithm::LeastRequest, Algorithm::RoundRobin] {
        let setup = Setup::new(algorithm.clone());
        let before = setup.balancer(&endpoints(1..=9));
        let after = setup.build(&endpoints(1..=10), Some(&before), setup.start);
        for (second, least, most) in [(0.0, 60, 140), (5.0, 450, 650), (10.0, 900, 1_100)] {
            // Nothing but being new shall tell it apart.
            for state in after.endpoints() {
                state.latency.set(0.01, 1);
            }
            let share = shares(&after, 10_000, setup.at(second))[&10];
            assert!((least..most).contains(&share), "{algorithm:?} after {second} s: {share} of 10,000");
        }
    }
}

#[test]
fn when_all_are_new_none_waits_for_the_others() {
    let setup = Setup::default();
    let none = setup.balancer(&[]);
    let first = setup.build(&endpoints(1..=2), Some(&none), setup.start);
    assert!(shares(&first, 1_000, setup.start).values().all(|share| *share > 400));
}

#[test]
fn the_turn_goes_around() {
    let setup = Setup::new(Algorithm::RoundRobin);
    let balancer = setup.balancer(&endpoints(1..=5));
    assert!(shares(&balancer, 500, setup.start).values().all(|share| *share == 100));
}

#[test]
fn the_turn_goes_on_where_it_is_when_endpoints_come_and_go() {
    let setup = Setup::new(Algorithm::RoundRobin);
    let mut balancer = setup.balancer(&endpoints(1..=5));
    let dice = Dice::new(1);
    let mut counts = HashMap::new();
    for change in 0..300 {
        // An endpoint elsewhere comes and goes before every request; the others still get equal shares.
        balancer = setup.build(&endpoints(1..=5 + change % 2), Some(&balancer), setup.start);
        let picked = balancer.pick(&Want::default(), &dice, setup.start).unwrap();
        *counts.entry(number(picked.address())).or_insert(0) += 1;
    }
    assert!((1..=5).all(|endpoint| (30..=90).contains(&counts[&endpoint])), "{counts:?}");
}

#[test]
fn whoever_cannot_be_had_does_not_give_its_turn_to_its_neighbour() {
    let setup = Setup::new(Algorithm::RoundRobin);
    let balancer = setup.balancer(&endpoints(1..=5));
    tell(&balancer, 3, asks_for_rest(429, 30), setup.start);
    let shares = shares(&balancer, 400, setup.at(1.0));
    assert_eq!(shares, HashMap::from([(1, 100), (2, 100), (4, 100), (5, 100)]));
}

#[test]
fn a_key_leads_to_the_same_endpoint_in_every_proxy() {
    let (here, mut there) = (hashing(), hashing());
    there.home = Home { node: "node-2".into(), zone: Some("zone-b".into()) };
    there.balancing.proximity = Proximity::Node;
    let nodes = |(index, endpoint)| Endpoint { node: Some(format!("node-{}", index % 3)), ..endpoint };
    let all: Vec<Endpoint> = endpoints(1..=10).into_iter().enumerate().map(nodes).collect();
    let reversed: Vec<Endpoint> = all.iter().rev().cloned().collect();
    let (here, there) = (here.balancer(&all), there.balancer(&reversed));
    let now = Instant::now();
    assert_eq!(by_key(&here, 1_000, now), by_key(&there, 1_000, now));
}

#[test]
fn without_a_key_any_endpoint_will_do() {
    let setup = hashing();
    let balancer = setup.balancer(&endpoints(1..=5));
    assert!(shares(&balancer, 1_000, setup.start).values().all(|share| (120..280).contains(share)));
    assert_eq!(balancer.hash_key(), Some(&HashKey::Header("user".into())));
}

#[test]
fn load_is_bounded_whatever_the_keys() {
    let setup = hashing();
    let balancer = setup.balancer(&endpoints(1..=10));
    let (dice, want) = (Dice::new(1), Want { key: Some(7), ..Want::default() });
    let _held: Vec<_> = (0..1_000).map(|_| balancer.pick(&want, &dice, setup.start).unwrap()).collect();
    let most = balancer.endpoints().iter().map(|state| state.in_flight()).max();
    assert!(most <= Some(126), "{most:?} of 1,000 at one of ten");
}

#[test]
fn a_few_at_once_do_not_part_a_key_from_its_endpoint() {
    let setup = hashing();
    let balancer = setup.balancer(&endpoints(1..=10));
    let (dice, want) = (Dice::new(1), Want { key: Some(7), ..Want::default() });
    let held: Vec<_> = (0..8).map(|_| balancer.pick(&want, &dice, setup.start).unwrap()).collect();
    assert!(held.iter().all(|picked| picked.address() == held[0].address()));
}

#[test]
fn keys_of_an_endpoint_set_aside_move_and_no_others_do() {
    let setup = hashing();
    let balancer = setup.balancer(&endpoints(1..=10));
    let before = by_key(&balancer, 1_000, setup.start);
    for _ in 0..5 {
        tell(&balancer, 4, Outcome::ConnectFailed, setup.start);
    }
    let after = by_key(&balancer, 1_000, setup.at(0.1));
    for (before, after) in before.into_iter().zip(after) {
        assert!(after != 4 && (after == before || before == 4), "{before} {after}");
    }
}

proptest! {
    #[test]
    fn idle_endpoints_get_even_shares(count in 2_u16..10, algorithm in 0_usize..4) {
        let setup = Setup::new(all_algorithms()[algorithm].clone());
        let balancer = setup.balancer(&endpoints(1..=count));
        let shares = shares(&balancer, 1_000 * u32::from(count), setup.start);
        prop_assert!(shares.values().all(|share| (800..1_200).contains(share)), "{:?}", shares);
        prop_assert_eq!(shares.len(), usize::from(count));
    }

    #[test]
    fn keys_are_spread_evenly(count in 1_u16..40) {
        let setup = hashing();
        let balancer = setup.balancer(&endpoints(1..=count));
        let Rule::Hash(_, table) = &balancer.rule else { unreachable!() };
        let (least, most) = table.fewest_and_most_places();
        prop_assert!(most <= least + 1, "{} {}", least, most);
    }

    #[test]
    fn hardly_any_key_moves_that_need_not(count in 2_u16..40, gone in 1_u16..40) {
        let gone = 1 + gone % count;
        let setup = hashing();
        let before = by_key(&setup.balancer(&endpoints(1..=count)), 4_000, setup.start);
        let fewer = endpoints((1..=count).filter(|number| *number != gone));
        let after = by_key(&setup.balancer(&fewer), 4_000, setup.start);
        let moved = before.iter().zip(&after).filter(|(before, after)| **before != gone && before != after);
        // Maglev's price for even shares.
        prop_assert!(moved.count() < 4_000 / 20);
    }
}
