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
    balancer.wait(None, address(source), 10)
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
    assert!(balancer.wait(None, address(1), 0).is_none(), "where there is no line nobody waits");
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

/// These endpoints of 1 and 2.
fn only(open: &[u16]) -> Only {
    let kinds = [1_u16, 2].map(|number| (SocketAddr::new(address(number), 80), usize::from(number)));
    let bits = open.iter().fold(0, |bits, number| bits | 1 << number);
    Only::new(Arc::new(kinds.into_iter().collect()), Arc::new([bits]))
}

fn wait_for(balancer: &Balancer, open: &[u16], source: u16) -> Waiting {
    balancer.wait(Some(&only(open)), address(source), 10).unwrap()
}

fn pick_of(balancer: &Balancer, open: &[u16]) -> Result<InFlight, NoEndpoint> {
    let only = only(open);
    balancer.pick(&Want { only: Some(&only), ..Want::default() }, &Dice::new(1), Instant::now())
}

#[tokio::test(start_paused = true)]
async fn who_may_not_go_everywhere_gets_a_place_where_it_may_and_lets_others_have_the_rest() {
    let balancer = setup(1).balancer(&endpoints([1, 2]));
    let (one, two) = (pick_of(&balancer, &[1]).unwrap(), pick_of(&balancer, &[2]).unwrap());
    assert_eq!(pick_of(&balancer, &[1]).unwrap_err(), NoEndpoint::Full);
    let first = wait_for(&balancer, &[1], 1);
    let (any, same) = (wait(&balancer, 2).unwrap(), wait(&balancer, 1).unwrap());
    drop(two);
    let place = come(same).expect("the first of the line who may have it");
    assert_eq!(number(place.address()), 2);
    drop(place);
    assert_eq!(number(come(any).expect("its turn").address()), 2);
    drop(one);
    assert_eq!(number(come(first).expect("its place").address()), 1);
    assert!(balancer.endpoints().iter().all(|state| state.in_flight() == 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_who_waits_may_have_is_free_for_all_who_come() {
    let balancer = setup(1).balancer(&endpoints([1, 2]));
    let one = pick_of(&balancer, &[1]).unwrap();
    let waiting: Vec<Waiting> = (0..10).map(|source| wait_for(&balancer, &[1], source)).collect();
    for _ in 0..3 {
        assert_eq!(number(pick(&balancer).expect("nobody waits for it").address()), 2);
    }
    drop(one);
    assert_eq!(pick_of(&balancer, &[1]).unwrap_err(), NoEndpoint::Full, "it goes from hand to hand");
    for waiting in waiting {
        assert_eq!(number(come(waiting).expect("each in turn").address()), 1);
    }
    assert_eq!(number(pick_of(&balancer, &[1]).unwrap().address()), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_is_closed_to_it_longer_than_it_may() {
    let balancer = setup(1).balancer(&endpoints([1, 2]));
    let (_one, two) = (pick_of(&balancer, &[1]).unwrap(), pick_of(&balancer, &[2]).unwrap());
    let (waiting, began) = (wait_for(&balancer, &[1], 1), Instant::now());
    drop(two);
    assert!(waiting.turn(LONG, &Dice::new(1)).await.is_none());
    assert_eq!(began.elapsed(), LONG);
    assert!(pick_of(&balancer, &[2]).is_ok());
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
            // Some may go to one endpoint alone, and some to the other.
            let only = [None, Some(only(&[1])), Some(only(&[2]))][usize::from(source % 3)].clone();
            let want = Want { only: only.as_ref(), ..Want::default() };
            for turn in 0..500 {
                let place = match balancer.pick(&want, &dice, Instant::now()) {
                    Ok(place) => place,
                    Err(none) => {
                        assert_eq!(none, NoEndpoint::Full);
                        waited.fetch_add(1, Ordering::Relaxed);
                        let waiting = balancer.wait(only.as_ref(), address(source % 4), 1_000).unwrap();
                        if turn % 7 == 0 {
                            continue; // it changes its mind
                        }
                        waiting.turn(LONG, &dice).await.expect("its turn comes")
                    }
                };
                assert!(place.state().in_flight() <= MOST);
                assert!(only.as_ref().is_none_or(|only| only.admits(place.address())));
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
