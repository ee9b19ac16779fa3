//! Who is let in, who waits and for whom: step by step, by chance, and with many threads at once.

use super::*;
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    future::Future,
    net::Ipv4Addr,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn policy(service: u32, source: u32, queue: u32) -> policy::Bulkhead {
    policy::Bulkhead { service, source, endpoint: 0, queue, queue_timeout: SECOND }
}

pub(super) fn bulkhead(service: u32, source: u32, queue: u32) -> Bulkhead {
    Bulkhead::new(&policy(service, source, queue), None)
}

pub(super) fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

pub(super) fn enter(bulkhead: &Bulkhead, source: u8) -> Entry {
    bulkhead.enter(&bulkhead.source(address(source)))
}

pub(super) fn permit(bulkhead: &Bulkhead, source: u8) -> Permit {
    match enter(bulkhead, source) {
        Entry::In(permit) => permit,
        other => panic!("{other:?}"),
    }
}

pub(super) fn waiting(bulkhead: &Bulkhead, source: u8) -> Waiting {
    match enter(bulkhead, source) {
        Entry::Wait(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

fn is_full(bulkhead: &Bulkhead, source: u8) -> bool {
    matches!(enter(bulkhead, source), Entry::Full)
}

/// Looks once whether it is somebody's turn.
fn poll(
    turn: &mut Pin<Box<impl Future<Output = Result<Permit, Overflow>>>>,
) -> Poll<Result<Permit, Overflow>> {
    turn.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn the_service_and_each_source_have_a_bound() {
    let bulkhead = bulkhead(3, 2, 0);
    let first = permit(&bulkhead, 1);
    let _second = permit(&bulkhead, 1);
    assert!(is_full(&bulkhead, 1));
    let _third = permit(&bulkhead, 2);
    assert!(is_full(&bulkhead, 2));
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (3, 0));
    drop(first);
    let _fourth = permit(&bulkhead, 2);
    assert!(is_full(&bulkhead, 1));
}

#[test]
fn zero_is_no_bound() {
    let bulkhead = bulkhead(0, 0, 0);
    let permits: Vec<_> = (0..10_000).map(|_| permit(&bulkhead, 1)).collect();
    assert_eq!(bulkhead.in_flight(), 10_000);
    drop(permits);
    assert_eq!(bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_given_back_goes_to_who_waits() {
    let bulkhead = bulkhead(1, 0, 2);
    let first = permit(&bulkhead, 1);
    let (second, third) = (waiting(&bulkhead, 1), waiting(&bulkhead, 1));
    assert!(is_full(&bulkhead, 1));
    drop(first);
    drop(waiting(&bulkhead, 1)); // nobody overtakes
    let second = second.turn().await.unwrap();
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 1));
    drop(second);
    drop(third.turn().await.unwrap());
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_so_and_leaves_the_queue() {
    let bulkhead = bulkhead(1, 0, 1);
    let first = permit(&bulkhead, 1);
    let start = tokio::time::Instant::now();
    assert_eq!(waiting(&bulkhead, 1).turn().await.unwrap_err(), Overflow::TimedOut);
    assert_eq!((start.elapsed(), bulkhead.waiting()), (SECOND, 0));
    drop(first);
    assert_eq!(bulkhead.in_flight(), 0);
}

#[test]
fn who_leaves_gives_back_its_place_or_its_permit() {
    let bulkhead = bulkhead(1, 0, 2);
    let first = permit(&bulkhead, 1);
    let (second, third) = (waiting(&bulkhead, 1), waiting(&bulkhead, 1));
    drop(second);
    assert_eq!(bulkhead.waiting(), 1);
    drop(first);
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 0), "it is the third's");
    drop(third);
    assert_eq!(bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn free_places_go_round_the_sources() {
    let bulkhead = bulkhead(1, 0, 10);
    let mut held = permit(&bulkhead, 9);
    let mut turns: VecDeque<_> = [1, 1, 1, 1, 2, 3, 2]
        .into_iter()
        .map(|source| (source, Box::pin(waiting(&bulkhead, source).turn())))
        .collect();
    let mut order = Vec::new();
    while !turns.is_empty() {
        drop(held);
        let mut next = None;
        turns.retain_mut(|(source, turn)| match poll(turn) {
            Poll::Ready(Ok(permit)) => next.replace((*source, permit)).is_some(),
            Poll::Ready(Err(overflow)) => panic!("{overflow:?}"),
            Poll::Pending => true,
        });
        let (source, permit) = next.unwrap();
        order.push(source);
        held = permit;
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_noisy_source_cannot_keep_others_out_of_the_queue() {
    let bulkhead = bulkhead(1, 0, 4);
    let _held = permit(&bulkhead, 1);
    let mut noisy: Vec<_> = (0..4).map(|_| Box::pin(waiting(&bulkhead, 1).turn())).collect();
    assert!(is_full(&bulkhead, 1));
    let _quiet = (waiting(&bulkhead, 2), waiting(&bulkhead, 2));
    assert!(is_full(&bulkhead, 2), "each has half of it");
    let outcomes: Vec<_> = noisy.iter_mut().map(poll).collect();
    assert!(matches!(
        outcomes[..],
        [
            Poll::Pending,
            Poll::Pending,
            Poll::Ready(Err(Overflow::Displaced)),
            Poll::Ready(Err(Overflow::Displaced))
        ]
    ));
    assert_eq!(bulkhead.waiting(), 4);
}

#[test]
fn a_source_at_its_bound_does_not_hold_up_others() {
    let bulkhead = bulkhead(3, 1, 10);
    let first = permit(&bulkhead, 1);
    let _waits = waiting(&bulkhead, 1);
    let _second = permit(&bulkhead, 2);
    let _third = permit(&bulkhead, 3);
    drop(first);
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (3, 0));
}

#[test]
fn what_is_under_way_outlives_a_plan_and_new_bounds_hold_at_once() {
    let before = bulkhead(1, 0, 10);
    let slot = before.source(address(1));
    let first = permit(&before, 1);
    let waits: Vec<_> = (0..3).map(|_| waiting(&before, 1)).collect();
    let after = Bulkhead::new(&policy(3, 0, 10), Some(&before));
    assert_eq!((after.in_flight(), after.waiting()), (3, 1));
    assert!(after.knows(&slot) && !bulkhead(1, 0, 10).knows(&slot));
    drop(before);
    drop((first, waits));
    assert_eq!((after.in_flight(), after.waiting()), (0, 0));
    let Entry::In(_permit) = after.enter(&slot) else { panic!("an older slot counts here too") };
    assert_eq!(after.in_flight(), 1);
}

#[test]
fn a_source_is_gone_when_nobody_has_it() {
    let bulkhead = bulkhead(10, 1, 0);
    let count = || bulkhead.0.lock_sources().len();
    let slot = bulkhead.source(address(1));
    let held = permit(&bulkhead, 1);
    drop(slot);
    assert_eq!(count(), 1);
    assert!(is_full(&bulkhead, 1), "it is the same as before");
    drop(held);
    assert_eq!(count(), 0);
    let _permit = permit(&bulkhead, 1);
}

/// Each of these may happen at any time.
#[derive(Clone, Debug)]
enum Step {
    Enter(u8),
    GiveBack(usize),
    Leave(usize),
    Look,
    Bounds(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0_u8..4).prop_map(Step::Enter),
        3 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => Just(Step::Look),
        1 => (0_u32..6, 0_u32..4).prop_map(|(service, source)| Step::Bounds(service, source)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// Nobody waits for a place that is free, each source is served in the order of its requests, and counts are exact.
    #[test]
    fn whatever_happens_nobody_waits_in_vain(steps in steps(), queue in 0_u32..8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let (mut service, mut source) = (3, 2);
        let mut bulkhead = bulkhead(service, source, queue);
        let mut permits: Vec<(u8, Permit)> = Vec::new();
        let mut turns = Vec::new();
        for step in steps {
            let (mut held_before, mut entered) = (permits.len(), false);
            match step {
                Step::Enter(from) => match enter(&bulkhead, from) {
                    Entry::In(permit) => {
                        entered = true;
                        permits.push((from, permit));
                    }
                    Entry::Wait(waiting) => turns.push((from, Box::pin(waiting.turn()))),
                    Entry::Full => prop_assert!(bulkhead.waiting() >= queue as usize),
                },
                Step::GiveBack(index) if !permits.is_empty() => {
                    permits.swap_remove(index % permits.len());
                    held_before -= 1;
                }
                Step::Leave(index) if !turns.is_empty() => drop(turns.remove(index % turns.len())),
                Step::Bounds(new_service, new_source) => {
                    (service, source) = (new_service, new_source);
                    bulkhead = Bulkhead::new(&policy(service, source, queue), Some(&bulkhead));
                }
                Step::GiveBack(_) | Step::Leave(_) | Step::Look => {}
            }
            let mut passed_over = [false; 4];
            let mut out_of_order = false;
            turns.retain_mut(|(from, turn)| match poll(turn) {
                Poll::Ready(Ok(permit)) => {
                    out_of_order |= passed_over[usize::from(*from)];
                    permits.push((*from, permit));
                    false
                }
                Poll::Ready(Err(_)) => false,
                Poll::Pending => {
                    passed_over[usize::from(*from)] = true;
                    true
                }
            });
            prop_assert!(!out_of_order);
            prop_assert_eq!(bulkhead.in_flight() as usize, permits.len());
            prop_assert_eq!(bulkhead.waiting(), turns.len());
            let full = |bound: u32, count: usize| bound != 0 && count >= bound as usize;
            let of = |from: u8| permits.iter().filter(|(other, _)| *other == from).count();
            let service_is_full = full(service, permits.len());
            prop_assert!(turns.iter().all(|(from, _)| service_is_full || full(source, of(*from))));
            // More are in than before only as the bounds allow; bounds that were lowered throw nobody out.
            if entered || permits.len() > held_before {
                prop_assert!(service == 0 || permits.len() <= service as usize);
            }
        }
        drop(turns);
        drop(permits);
        prop_assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0));
        prop_assert!(bulkhead.0.lock_sources().is_empty());
    }
}
