//! Who waits for a place at endpoints that are full.

use super::*;
use futures::FutureExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(60);

fn setup(most_in_flight: u32) -> Setup {
    Setup { most_in_flight, ..Setup::default() }
}

fn pick(balancer: &Balancer) -> Result<InFlight, NoEndpoint> {
    balancer.pick(&Want::default(), &Dice::new(1), Instant::now())
}

fn wait(balancer: &Balancer, source: u16) -> Option<Waiting> {
    balancer.wait(address(source), 10)
}

/// The place of one whose turn it is by now.
fn come(waiting: Waiting) -> Option<InFlight> {
    waiting.turn(LONG, &Dice::new(1)).now_or_never().flatten()
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_given_back_goes_to_who_waits_and_to_nobody_who_comes_later() {
    let balancer = setup(1).balancer(&endpoints([1, 2]));
    let places = [pick(&balancer).unwrap(), pick(&balancer).unwrap()];
    assert_eq!(pick(&balancer).unwrap_err(), NoEndpoint::Full);
    let (first, second) = (wait(&balancer, 1).unwrap(), wait(&balancer, 1).unwrap());
    let [one, _other] = places;
    let free = one.address();
    drop(one);
    assert_eq!(pick(&balancer).unwrap_err(), NoEndpoint::Full, "there is one who waits");
    let place = come(first).unwrap();
    assert_eq!(place.address(), free);
    drop(place);
    drop(come(second).unwrap());
    assert_eq!(pick(&balancer).unwrap().address(), free, "and now nobody waits");
}

#[tokio::test(start_paused = true)]
async fn sources_take_turns_and_who_fills_the_line_makes_room_for_others() {
    let balancer = setup(1).balancer(&endpoints([1]));
    let place = pick(&balancer).unwrap();
    let noisy: Vec<Waiting> = (0..10).map(|_| wait(&balancer, 1).unwrap()).collect();
    assert!(wait(&balancer, 1).is_none(), "the line is full");
    let quiet = wait(&balancer, 2).unwrap();
    drop(place);
    let mut noisy = noisy.into_iter();
    let first = come(noisy.next().unwrap()).unwrap();
    drop(first);
    drop(come(quiet).expect("its turn is next"));
    let rest: Vec<bool> = noisy.map(|waiting| come(waiting).is_some()).collect();
    assert_eq!(rest, [true, true, true, true, true, true, true, true, false], "the last one had to go");
    assert!(balancer.wait(address(1), 0).is_none(), "where there is no line nobody waits");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_no_place_along() {
    let balancer = setup(1).balancer(&endpoints([1]));
    let place = pick(&balancer).unwrap();
    let (leaves, leaves_late, stays) =
        (wait(&balancer, 1).unwrap(), wait(&balancer, 1).unwrap(), wait(&balancer, 1).unwrap());
    drop(leaves);
    drop(place); // it is the turn of the second
    drop(leaves_late);
    drop(come(stays).unwrap());
    assert_eq!(pick(&balancer).unwrap().state().in_flight(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_goes_without() {
    let balancer = setup(1).balancer(&endpoints([1]));
    let place = pick(&balancer).unwrap();
    let (waiting, began) = (wait(&balancer, 1).unwrap(), Instant::now());
    assert!(waiting.turn(LONG, &Dice::new(1)).await.is_none());
    assert_eq!(began.elapsed(), LONG);
    drop(place);
    assert!(pick(&balancer).is_ok());
}

#[tokio::test(start_paused = true)]
async fn new_places_go_to_who_waits() {
    let balancer = setup(1).balancer(&endpoints([1]));
    let _place = pick(&balancer).unwrap();
    let [one, two, three, four] = [1, 2, 3, 4].map(|source| wait(&balancer, source).unwrap());
    let more = setup(1).build(&endpoints([1, 2]), Some(&balancer), Instant::now());
    let first = come(one).expect("an endpoint is new");
    assert_eq!(number(first.address()), 2);
    let wider = setup(2).build(&endpoints([1, 2]), Some(&more), Instant::now());
    let (second, third) = (come(two).expect("the bound is higher"), come(three).unwrap());
    assert_ne!(second.address(), third.address());
    let _unbounded = setup(0).build(&endpoints([1, 2]), Some(&wider), Instant::now());
    assert!(come(four).is_some(), "there is no bound any more");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_no_more_goes_to_nobody() {
    let balancer = setup(2).balancer(&endpoints([1, 2]));
    let mut places: Vec<InFlight> = (0..4).map(|_| pick(&balancer).unwrap()).collect();
    places.sort_by_key(|place| number(place.address()));
    let [one, two] = [1, 2].map(|source| wait(&balancer, source).unwrap());
    let next = setup(1).build(&endpoints([1]), Some(&balancer), Instant::now());
    balancer.retire_missing(&next);
    drop((places.pop(), places.pop())); // both of the endpoint that went
    drop(places.pop()); // one of two, where there may be one
    drop(places.pop());
    let place = come(one).expect("that place stays");
    assert_eq!(number(place.address()), 1);
    assert!(come(two).is_none());
}

/// Many at once, on several threads: no endpoint ever has more than it may, and nobody waits in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_and_none_is_had_twice() {
    const MOST: usize = 2;
    let balancer = Arc::new(setup(MOST as u32).balancer(&endpoints([1, 2])));
    let waited = Arc::new(AtomicUsize::new(0));
    let tasks = (0..16).map(|source| {
        let (balancer, waited) = (Arc::clone(&balancer), Arc::clone(&waited));
        tokio::spawn(async move {
            let dice = Dice::new(u64::from(source));
            for turn in 0..500 {
                let place = match balancer.pick(&Want::default(), &dice, Instant::now()) {
                    Ok(place) => place,
                    Err(none) => {
                        assert_eq!(none, NoEndpoint::Full);
                        waited.fetch_add(1, Ordering::Relaxed);
                        let waiting = balancer.wait(address(source % 4), 1_000).unwrap();
                        if turn % 7 == 0 {
                            continue; // it changes its mind
                        }
                        waiting.turn(LONG, &dice).await.expect("its turn comes")
                    }
                };
                assert!(place.state().in_flight() <= MOST);
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(waited.load(Ordering::Relaxed) > 0);
    assert!(balancer.endpoints().iter().all(|state| state.in_flight() == 0));
}
