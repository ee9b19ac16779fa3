//! Who is set aside, and how endpoints come back.

use super::*;
use proptest::prelude::*;

fn fail(balancer: &Balancer, endpoint: u16, times: u32, now: Instant) {
    for _ in 0..times {
        tell(balancer, endpoint, answered(500, 1), now);
    }
}

fn ejected(balancer: &Balancer, now: Instant) -> usize {
    balancer.census(now).ejected
}

#[test]
fn failures_in_a_row_set_an_endpoint_aside() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=3));
    fail(&balancer, 1, 4, setup.start);
    tell(&balancer, 1, answered(404, 1), setup.start);
    fail(&balancer, 1, 4, setup.start);
    assert_eq!(ejected(&balancer, setup.start), 0, "a client's mistake shows that the endpoint works");
    fail(&balancer, 1, 1, setup.start);
    assert_eq!(balancer.census(setup.start), Census { available: 2, ejected: 1, total: 3 });
    assert!(!shares(&balancer, 300, setup.at(0.5)).contains_key(&1));
}

#[test]
fn pushback_is_no_failure() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=3));
    for _ in 0..100 {
        tell(&balancer, 1, answered(429, 1), setup.start);
    }
    assert_eq!(ejected(&balancer, setup.start), 0);
}

#[test]
fn a_bad_success_rate_sets_an_endpoint_aside_only_if_the_others_do_better() {
    for (others_fail, expected) in [(false, 1), (true, 0)] {
        let setup = Setup::default();
        let balancer = setup.balancer(&endpoints(1..=3));
        for request in 0..30 {
            // Two of three fail, but never five in a row.
            let status = if request % 3 == 0 { 200 } else { 503 };
            for other in [2, 3] {
                tell(&balancer, other, answered(if others_fail { status } else { 200 }, 1), setup.start);
            }
            // Once set aside, a request to it would be a probe.
            if ejected(&balancer, setup.start) == 0 {
                tell(&balancer, 1, answered(status, 1), setup.start);
            }
        }
        assert_eq!(ejected(&balancer, setup.start), expected);
    }
}

#[test]
fn a_success_rate_needs_enough_requests_and_is_of_the_last_seconds() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    for request in 0..60 {
        let now = setup.at(f64::from(request));
        tell(&balancer, 1, answered(if request % 4 == 0 { 200 } else { 503 }, 1), now);
        tell(&balancer, 2, answered(200, 1), now);
    }
    assert_eq!(ejected(&balancer, setup.at(60.0)), 0);
}

#[test]
fn of_two_one_may_be_set_aside_and_a_lone_endpoint_never() {
    let setup = Setup::default();
    for (count, most) in [(1, 0), (2, 1), (3, 1), (10, 5)] {
        let balancer = setup.balancer(&endpoints(1..=count));
        for endpoint in 1..=count {
            fail(&balancer, endpoint, 50, setup.start);
        }
        assert_eq!(ejected(&balancer, setup.start), most, "of {count}");
    }
}

#[test]
fn a_service_may_allow_fewer_or_none() {
    for (percent, consecutive, most) in [(20, 5, 2), (100, 5, 5), (0, 5, 0), (50, 0, 0)] {
        let outlier =
            Outlier { most_percent: percent, consecutive, success_percent: 0, ..Outlier::default() };
        let setup = Setup { outlier, ..Setup::default() };
        let balancer = setup.balancer(&endpoints(1..=10));
        for endpoint in 1..=10 {
            fail(&balancer, endpoint, 50, setup.start);
        }
        assert_eq!(ejected(&balancer, setup.start), most);
    }
}

#[test]
fn one_request_probes_and_its_success_brings_the_endpoint_back_slowly() {
    for algorithm in all_algorithms() {
        let setup = Setup::new(algorithm.clone());
        let balancer = setup.balancer(&endpoints(1..=10));
        fail(&balancer, 1, 5, setup.start);
        let dice = Dice::new(1);
        let mut picked: Vec<_> = (0..100)
            .map(|_| balancer.pick(&Want::default(), &dice, setup.at(1.0)).unwrap())
            .filter(|picked| number(picked.address()) == 1)
            .collect();
        assert_eq!(picked.len(), 1, "{algorithm:?}");
        picked[0].observe(answered(200, 1), setup.at(1.0));
        drop(picked);
        assert_eq!(ejected(&balancer, setup.at(1.0)), 0);
        let share = |second| shares(&balancer, 10_000, setup.at(second)).get(&1).copied().unwrap_or(0);
        assert!(share(1.0) < 400, "{algorithm:?}: {}", share(1.0));
        assert!(share(12.0) > 800, "{algorithm:?}: {}", share(12.0));
    }
}

#[test]
fn a_probe_that_fails_sets_it_aside_for_longer() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    fail(&balancer, 1, 5, setup.start);
    let mut probe = balancer.pick(&Want::default(), &Dice::new(1), setup.at(1.0)).unwrap();
    assert_eq!(number(probe.address()), 1);
    probe.observe(Outcome::Reset, setup.at(1.0));
    assert_eq!(shares(&balancer, 10, setup.at(2.5)), HashMap::from([(2, 10)]));
    assert!(shares(&balancer, 1, setup.at(3.0)).contains_key(&1));
}

#[test]
fn a_probe_without_a_verdict_is_given_back() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    fail(&balancer, 1, 5, setup.start);
    drop(balancer.pick(&Want::default(), &Dice::new(1), setup.at(1.0)).unwrap());
    assert_eq!(shares(&balancer, 10, setup.at(1.9)), HashMap::from([(2, 10)]), "not at once");
    assert!(shares(&balancer, 1, setup.at(2.0)).contains_key(&1));
}

#[test]
fn a_retry_goes_to_an_endpoint_set_aside_only_when_nothing_else_is_left() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=3));
    fail(&balancer, 1, 5, setup.start);
    let state = |index: usize| balancer.endpoints()[index].address;
    let pick = |tried: &[SocketAddr]| {
        let want = Want { tried, ..Want::default() };
        balancer.pick(&want, &Dice::new(1), setup.at(2.0)).map(|picked| number(picked.address()))
    };
    assert_eq!(pick(&[state(1)]), Ok(3), "though a probe is due");
    assert_eq!(pick(&[state(1), state(2)]), Ok(1));
}

#[test]
fn answers_that_were_under_way_do_not_bring_an_endpoint_back() {
    let setup = Setup::default();
    let balancer = setup.balancer(&endpoints(1..=2));
    let others = [balancer.endpoints()[1].address];
    let want = Want { tried: &others, ..Want::default() };
    let mut earlier = balancer.pick(&want, &Dice::new(1), setup.start).unwrap();
    fail(&balancer, 1, 5, setup.start);
    earlier.observe(answered(200, 10), setup.at(0.1));
    assert_eq!(ejected(&balancer, setup.at(0.1)), 1);
}

#[test]
fn being_set_aside_outlives_a_change_that_does_not_touch_the_endpoint() {
    let setup = Setup::default();
    let before = setup.balancer(&endpoints(1..=4));
    fail(&before, 1, 5, setup.start);
    let after = setup.build(&endpoints([1, 2, 3, 5]), Some(&before), setup.at(0.1));
    assert_eq!(ejected(&after, setup.at(0.1)), 1);
    assert!(!shares(&after, 100, setup.at(0.2)).contains_key(&1));
}

#[test]
fn what_is_too_many_among_fewer_comes_back() {
    let setup = Setup::default();
    let before = setup.balancer(&endpoints(1..=4));
    fail(&before, 1, 5, setup.start);
    fail(&before, 2, 5, setup.at(0.1));
    assert_eq!(ejected(&before, setup.at(0.1)), 2);
    let after = setup.build(&endpoints(1..=3), Some(&before), setup.at(0.2));
    assert_eq!(ejected(&after, setup.at(0.2)), 1);
    let lone = setup.build(&endpoints([2]), Some(&after), setup.at(0.2));
    assert_eq!(ejected(&lone, setup.at(0.2)), 0);
}

#[test]
fn a_policy_that_allows_none_brings_all_back() {
    let mut setup = Setup::default();
    let before = setup.balancer(&endpoints(1..=4));
    fail(&before, 1, 5, setup.start);
    setup.outlier.most_percent = 0;
    let after = setup.build(&endpoints(1..=4), Some(&before), setup.at(0.1));
    assert_eq!(ejected(&after, setup.at(0.1)), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Pick,
    Finish(usize, Outcome),
    Abandon(usize),
    Wait(u64),
    Change(Vec<u16>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        3 => Just(answered(500, 1)),
        2 => Just(Outcome::ConnectFailed),
        2 => Just(answered(200, 10)),
        1 => Just(asks_for_rest(503, 3)),
        1 => Just(Outcome::TimedOut { after: Duration::from_secs(1) }),
    ];
    let step = prop_oneof![
        20 => Just(Step::Pick),
        20 => (any::<usize>(), outcome).prop_map(|(index, outcome)| Step::Finish(index, outcome)),
        1 => any::<usize>().prop_map(Step::Abandon),
        2 => (0_u64..3_000).prop_map(Step::Wait),
        1 => prop::collection::btree_set(1_u16..12, 1..8)
            .prop_map(|numbers| Step::Change(numbers.into_iter().collect())),
    ];
    prop::collection::vec(step, 0..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_half_are_set_aside_and_there_is_always_somebody(
        count in 1_u16..9, algorithm in 0_usize..4, seed: u64, steps in steps(),
    ) {
        let mut setup = Setup::new(all_algorithms()[algorithm].clone());
        setup.outlier.consecutive = 2;
        let dice = Dice::new(seed);
        let mut balancer = setup.balancer(&endpoints(1..=count));
        let (mut now, mut under_way) = (setup.start, Vec::new());
        for step in steps {
            match step {
                Step::Pick => under_way.push(balancer.pick(&Want::default(), &dice, now).unwrap()),
                Step::Finish(index, outcome) if !under_way.is_empty() => {
                    let index = index % under_way.len();
                    under_way.swap_remove(index).observe(outcome, now);
                }
                Step::Abandon(index) if !under_way.is_empty() => {
                    let index = index % under_way.len();
                    drop(under_way.swap_remove(index));
                }
                Step::Finish(..) | Step::Abandon(_) => {}
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                Step::Change(numbers) => {
                    balancer = setup.build(&endpoints(numbers), Some(&balancer), now);
                }
            }
            let census = balancer.census(now);
            prop_assert!(census.ejected * 2 <= census.total, "{:?}", census);
            let due = balancer.endpoints().iter().any(|state| state.health.is_due(balancer.group.ticks(now)));
            prop_assert_eq!(balancer.group.is_any_due(balancer.group.ticks(now)), due);
        }
        drop(under_way);
        prop_assert!(balancer.endpoints().iter().all(|state| state.in_flight() == 0));
    }
}
