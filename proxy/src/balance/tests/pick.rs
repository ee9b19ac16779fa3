//! Who may be picked at all.

use super::*;
use proptest::prelude::*;

fn pick(balancer: &Balancer, want: &Want<'_>, now: Instant) -> Result<u16, NoEndpoint> {
    balancer.pick(want, &Dice::new(1), now).map(|picked| number(picked.address()))
}

#[test]
fn only_ready_endpoints_take_part() {
    let unready = Endpoint { ready: false, ..endpoint(2) };
    assert_eq!(numbers(&Setup::default().balancer(&[endpoint(1), unready])), [1]);
}

#[test]
fn without_a_ready_one_those_that_still_serve_take_part() {
    let gone = Endpoint { ready: false, serving: false, ..endpoint(1) };
    let going = Endpoint { ready: false, terminating: true, ..endpoint(2) };
    assert_eq!(numbers(&Setup::default().balancer(&[gone, going])), [2]);
}

#[test]
fn without_any_there_is_nothing_to_pick() {
    let setup = Setup::default();
    let balancer = setup.balancer(&[Endpoint { ready: false, serving: false, ..endpoint(1) }]);
    assert_eq!(pick(&balancer, &Want::default(), setup.start), Err(NoEndpoint::NoneReady));
    assert_eq!(balancer.census(setup.start), Census { available: 0, ejected: 0, total: 0 });
}

#[test]
fn an_address_named_twice_counts_once() {
    let twice = endpoints([1, 1, 2]);
    assert_eq!(numbers(&Setup::default().balancer(&twice)), [1, 2]);
}

#[test]
fn an_endpoint_at_its_bound_is_skipped_and_when_all_are_there_is_none() {
    for algorithm in all_algorithms() {
        let setup = Setup { most_in_flight: 2, ..Setup::new(algorithm) };
        let balancer = setup.balancer(&endpoints(1..=3));
        let dice = Dice::new(5);
        let want = Want { key: Some(7), ..Want::default() };
        let held: Vec<_> = (0..6).map(|_| balancer.pick(&want, &dice, setup.start).unwrap()).collect();
        assert!(balancer.endpoints().iter().all(|state| state.in_flight() == 2));
        assert_eq!(pick(&balancer, &want, setup.start), Err(NoEndpoint::Full));
        assert_eq!(balancer.census(setup.start), Census { available: 0, ejected: 0, total: 3 });
        drop(held);
        assert!(pick(&balancer, &want, setup.start).is_ok());
    }
}

#[test]
fn the_bound_holds_between_threads() {
    let setup = Setup { most_in_flight: 3, ..Setup::default() };
    let balancer = setup.balancer(&endpoints(1..=2));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (balancer, start) = (&balancer, setup.start);
            scope.spawn(move || {
                let dice = Dice::new(seed);
                for _ in 0..20_000 {
                    let picked = balancer.pick(&Want::default(), &dice, start);
                    if let Ok(picked) = picked {
                        assert!(picked.state().in_flight() <= 3);
                    }
                }
            });
        }
    });
    assert!(balancer.endpoints().iter().all(|state| state.in_flight() == 0));
}

#[test]
fn state_is_carried_over_by_address_whatever_else_changes() {
    let setup = Setup::default();
    let before = setup.balancer(&endpoints(1..=2));
    let _busy = before.pick(&Want::default(), &Dice::new(1), setup.start).unwrap();
    let after = Setup { start: setup.start, ..Setup::new(Algorithm::RoundRobin) }.build(
        &endpoints(1..=3),
        Some(&before),
        setup.at(1.0),
    );
    for (old, new) in before.endpoints().iter().zip(after.endpoints()) {
        assert!(Arc::ptr_eq(old, new));
    }
    assert_eq!(after.endpoints().iter().map(|state| state.in_flight()).sum::<usize>(), 1);
}

#[test]
fn what_is_not_carried_on_is_retired() {
    let setup = Setup::default();
    let before = setup.balancer(&endpoints(1..=3));
    let after = setup.build(&endpoints([2, 4]), Some(&before), setup.start);
    before.retire_missing(&after);
    let retired = |balancer: &Balancer| -> Vec<bool> {
        balancer.endpoints().iter().map(|state| state.is_retired()).collect()
    };
    assert_eq!(retired(&before), [true, false, true]);
    assert_eq!(retired(&after), [false, false]);
    after.retire_all();
    assert_eq!(retired(&after), [true, true]);
}

#[test]
fn an_endpoint_that_comes_again_is_another() {
    let setup = Setup::default();
    let first = setup.balancer(&endpoints([1, 2]));
    let without = setup.build(&endpoints([2]), Some(&first), setup.start);
    let again = setup.build(&endpoints([1, 2]), Some(&without), setup.start);
    assert_ne!(first.endpoints()[0].id, again.endpoints()[0].id);
    assert_eq!(first.endpoints()[0].cookie_value(), again.endpoints()[0].cookie_value());
}

#[test]
fn whoever_asks_to_be_left_alone_is_while_others_are_there() {
    let setup = Setup::default();
    for status in [429, 503] {
        let balancer = setup.balancer(&endpoints(1..=2));
        tell(&balancer, 1, asks_for_rest(status, 5), setup.start);
        assert_eq!(shares(&balancer, 100, setup.at(4.9)), HashMap::from([(2, 100)]));
        assert_eq!(balancer.census(setup.at(4.9)).available, 1);
        assert_eq!(balancer.census(setup.at(5.1)).available, 2);
        let tried = [balancer.endpoints()[1].address];
        let want = Want { tried: &tried, ..Want::default() };
        assert_eq!(pick(&balancer, &want, setup.at(1.0)), Ok(1), "better than nothing");
    }
}

#[test]
fn never_more_than_half_are_left_alone() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=10));
    for endpoint in 1..=10 {
        tell(&balancer, endpoint, asks_for_rest(429, 30), setup.start);
    }
    assert_eq!(balancer.census(setup.at(1.0)).available, 5);
}

#[test]
fn a_cookie_leads_to_its_endpoint() {
    for algorithm in all_algorithms() {
        let mut setup = Setup::new(algorithm);
        setup.balancing.sticky = Some(StickyCookie { name: "weft".into() });
        let balancer = setup.balancer(&endpoints(1..=5));
        for state in balancer.endpoints() {
            let value = state.cookie_value();
            let want = Want { sticky: Some(value.as_bytes()), ..Want::default() };
            // Even when it is busy, or asks for less.
            let _busy: Vec<_> =
                (0..50).map(|_| balancer.pick(&want, &Dice::new(1), setup.start).unwrap()).collect();
            tell(&balancer, number(state.address), asks_for_rest(429, 5), setup.start);
            assert_eq!(pick(&balancer, &want, setup.start), Ok(number(state.address)));
            let want = Want { tried: &[state.address], ..want };
            assert_ne!(pick(&balancer, &want, setup.start), Ok(number(state.address)));
        }
    }
}

#[test]
fn a_cookie_of_nobody_leads_to_somebody() {
    let mut setup = Setup::default();
    setup.balancing.sticky = Some(StickyCookie { name: "weft".into() });
    let balancer = setup.balancer(&endpoints(1..=5));
    for value in ["", "0123456789abcdef", "10.0.0.1:80", "+123456789abcdef", "\u{e9}123456789abcde"] {
        let want = Want { sticky: Some(value.as_bytes()), ..Want::default() };
        assert!(pick(&balancer, &want, setup.start).is_ok());
    }
}

#[test]
fn a_cookie_means_nothing_to_a_service_that_did_not_ask_for_one() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=5));
    let value = balancer.endpoints()[0].cookie_value();
    let dice = Dice::new(1);
    let want = Want { sticky: Some(value.as_bytes()), ..Want::default() };
    let first = (0..50).filter(|_| number(balancer.pick(&want, &dice, setup.start).unwrap().address()) == 1);
    assert!(first.count() < 50);
}

#[test]
fn a_cookie_tells_no_address_and_never_changes() {
    let balancer = Setup::default().balancer(&endpoints(1..=2));
    // It outlives proxies, and each node has another.
    assert_eq!(balancer.endpoints()[0].cookie_value(), "58369a0f5a4de0f9");
}

proptest! {
    #[test]
    fn what_was_tried_is_not_picked_again(
        count in 1_u16..10, algorithm in 0_usize..4, key: Option<u64>, seed: u64, set_aside in 0_u16..10,
    ) {
        let mut setup = Setup::new(all_algorithms()[algorithm].clone());
        setup.balancing.sticky = Some(StickyCookie { name: "weft".into() });
        let balancer = setup.balancer(&endpoints(1..=count));
        for _ in 0..5 {
            for endpoint in 1..=set_aside.min(count) {
                tell(&balancer, endpoint, Outcome::ConnectFailed, setup.start);
            }
        }
        let cookie = balancer.endpoints()[0].cookie_value();
        let dice = Dice::new(seed);
        let mut tried = Vec::new();
        let error = loop {
            let want = Want { key, sticky: Some(cookie.as_bytes()), tried: &tried, only: None };
            match balancer.pick(&want, &dice, setup.at(2.0)) {
                Ok(picked) => {
                    prop_assert!(!tried.contains(&picked.address()));
                    tried.push(picked.address());
                }
                Err(error) => break error,
            }
        };
        prop_assert_eq!(tried.len(), usize::from(count));
        prop_assert_eq!(error, NoEndpoint::AllTried);
    }
}

#[test]
fn only_those_that_are_open_are_picked_whatever_the_rule() {
    let key = HashKey::SourceAddress;
    for algorithm in
        [Algorithm::P2cEwma, Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::Hash(key)]
    {
        let sticky = Some(StickyCookie { name: "weft".into() });
        let mut setup = Setup::new(algorithm);
        setup.balancing.sticky = sticky;
        let balancer = setup.balancer(&endpoints(1..=6));
        let kinds: Arc<Kinds> = Arc::new(
            balancer
                .endpoints()
                .iter()
                .map(|state| (state.address, usize::from(number(state.address))))
                .collect(),
        );
        // Those with the numbers 2 and 5.
        let only = Only::new(Arc::clone(&kinds), Arc::from([0b10_0100]));
        let dice = Dice::new(7);
        let closed = balancer.endpoints().iter().find(|state| number(state.address) == 3).unwrap();
        let cookie = closed.cookie_value();
        let mut picked = std::collections::BTreeSet::new();
        for round in 0..200 {
            let want = Want {
                key: Some(hash(&[round])),
                sticky: (round % 2 == 0).then_some(cookie.as_bytes()),
                tried: &[],
                only: Some(&only),
            };
            picked.insert(number(balancer.pick(&want, &dice, setup.start).unwrap().address()));
        }
        assert_eq!(picked.into_iter().collect::<Vec<_>>(), [2, 5], "{:?}", setup.balancing);
        let tried: Vec<SocketAddr> = balancer
            .endpoints()
            .iter()
            .map(|state| state.address)
            .filter(|address| matches!(number(*address), 2 | 5))
            .collect();
        let want = Want { tried: &tried, only: Some(&only), ..Want::default() };
        assert_eq!(balancer.pick(&want, &dice, setup.start).unwrap_err(), NoEndpoint::AllTried);
        let none = Only::new(kinds, Arc::from([1 << 63]));
        let want = Want { only: Some(&none), ..Want::default() };
        assert_eq!(balancer.pick(&want, &dice, setup.start).unwrap_err(), NoEndpoint::NoneReady);
    }
}
