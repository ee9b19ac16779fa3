//! Who may be picked, and how evenly.

use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

fn endpoint(number: u8, ready: bool, serving: bool) -> Endpoint {
    Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
        port: 80,
        ready,
        serving,
        terminating: !ready,
        zone: None,
        node: None,
        hints: weft_contract::Hints::default(),
    }
}

fn ready(count: u8) -> Vec<Endpoint> {
    (1..=count).map(|number| endpoint(number, true, true)).collect()
}

fn addresses(balancer: &Balancer) -> Vec<u8> {
    let last = |state: &Arc<EndpointState>| match state.address.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => unreachable!(),
    };
    balancer.endpoints().iter().map(last).collect()
}

#[test]
fn only_ready_endpoints_take_part() {
    let balancer = Balancer::new(&[endpoint(1, true, true), endpoint(2, false, true)], None);
    assert_eq!(addresses(&balancer), [1]);
}

#[test]
fn without_a_ready_one_those_that_still_serve_take_part() {
    let balancer = Balancer::new(&[endpoint(1, false, false), endpoint(2, false, true)], None);
    assert_eq!(addresses(&balancer), [2]);
}

#[test]
fn without_any_there_is_nothing_to_pick() {
    assert!(Balancer::new(&[], None).pick(&[], &Dice::new(1)).is_none());
    assert!(Balancer::new(&[endpoint(1, false, false)], None).pick(&[], &Dice::new(1)).is_none());
}

#[test]
fn an_address_named_twice_counts_once() {
    assert_eq!(addresses(&Balancer::new(&[ready(1), ready(2)].concat(), None)), [1, 2]);
}

#[test]
fn a_busy_endpoint_is_left_alone() {
    let balancer = Balancer::new(&ready(2), None);
    let dice = Dice::new(7);
    let busy = balancer.pick(&[], &dice).unwrap();
    for _ in 0..100 {
        assert_ne!(balancer.pick(&[], &dice).unwrap().address(), busy.address());
    }
}

#[test]
fn state_is_carried_over_by_address() {
    let before = Balancer::new(&ready(2), None);
    let _busy = before.pick(&[], &Dice::new(1)).unwrap();
    let after = Balancer::new(&ready(3), Some(&before));
    assert_eq!(after.endpoints().iter().map(|state| state.in_flight()).sum::<usize>(), 1);
    assert!(Arc::ptr_eq(&before.endpoints()[0], &after.endpoints()[0]));
}

proptest! {
    #[test]
    fn what_was_tried_is_not_picked_again(count in 1_u8..10, seed: u64) {
        let balancer = Balancer::new(&ready(count), None);
        let dice = Dice::new(seed);
        let mut tried = Vec::new();
        while let Some(picked) = balancer.pick(&tried, &dice) {
            prop_assert!(!tried.contains(&picked.address()));
            tried.push(picked.address());
        }
        prop_assert_eq!(tried.len(), usize::from(count));
    }

    #[test]
    fn idle_endpoints_get_even_shares(count in 2_u8..10, seed: u64) {
        let balancer = Balancer::new(&ready(count), None);
        let dice = Dice::new(seed);
        let mut shares = std::collections::HashMap::new();
        for _ in 0..1_000 * u32::from(count) {
            *shares.entry(balancer.pick(&[], &dice).unwrap().address()).or_insert(0_u32) += 1;
        }
        prop_assert!(shares.values().all(|share| (800..1_200).contains(share)), "{:?}", shares);
    }
}
