//! Bulkheads with many threads at once: by chance, and each order of two on purpose.

use super::{
    tests::{SECOND, address, bulkhead, enter, permit, policy, waiting},
    *,
};
use std::cell::RefCell;

/// Real threads, few places, many who come, wait, give up and leave. A lost wake-up shows as a wait that never ends.
#[test]
fn with_many_threads_no_wake_up_is_lost_and_no_bound_is_broken() {
    const TASKS: u8 = 24;
    const ROUNDS: u32 = 1_500;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let hour = policy::Bulkhead { queue_timeout: 3600 * SECOND, ..policy(3, 2, 1000) };
    let bulkhead = Arc::new(Bulkhead::new(&hour, None));
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (bulkhead, inside) = (Arc::clone(&bulkhead), Arc::clone(&inside));
            runtime.spawn(async move {
                let slot = bulkhead.source(address(number % 5));
                for round in 0..ROUNDS {
                    let permit = match bulkhead.enter(&slot) {
                        Entry::In(permit) => permit,
                        Entry::Wait(waiting) if round % 4 == u32::from(number) % 4 => tokio::select! {
                            turn = waiting.turn() => turn.unwrap(),
                            () = tokio::task::yield_now() => continue,
                        },
                        Entry::Wait(waiting) => waiting.turn().await.unwrap(),
                        Entry::Full => panic!("the queue has room for all"),
                    };
                    assert!(inside.fetch_add(1, SeqCst) < 3);
                    if round % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    inside.fetch_sub(1, SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0));
    assert!(bulkhead.0.lock_sources().is_empty());
}

/// What another thread does.
type Step = Box<dyn FnOnce()>;

thread_local! {
    /// What comes in between, and at which crossing.
    static BETWEEN: RefCell<Option<(usize, Step)>> = const { RefCell::new(None) };
}

pub(super) fn crossing() {
    let due = BETWEEN.with_borrow_mut(|between| match between.take() {
        Some((0, step)) => Some(step),
        Some((later, step)) => {
            *between = Some((later - 1, step));
            None
        }
        None => None,
    });
    if let Some(step) = due {
        step();
    }
}

/// Lets `other` happen in the middle of `step`, at each of its crossings in turn, on a bulkhead made by `new`; looks at
/// each outcome. Nobody comes later who could set right what these two missed.
fn at_each_crossing(
    new: fn() -> (Arc<Bulkhead>, Permit),
    step: impl Fn(&Bulkhead, Permit) -> Vec<Entry>,
    other: fn(&Bulkhead) -> Option<Entry>,
) -> usize {
    for crossing in 0.. {
        let (bulkhead, held) = new();
        let came = Arc::new(Mutex::new(Vec::new()));
        let (inner, into) = (Arc::clone(&bulkhead), Arc::clone(&came));
        let between = Box::new(move || into.lock().unwrap().extend(other(&inner)));
        BETWEEN.set(Some((crossing, between)));
        let mut entries = step(&bulkhead, held);
        if BETWEEN.take().is_some() {
            return crossing;
        }
        entries.append(&mut came.lock().unwrap());
        let inside = |entry: &mut Entry| match entry {
            Entry::In(_) => true,
            Entry::Wait(waiting) => waiting.turn.try_recv().is_ok(),
            Entry::Full => false,
        };
        assert!(entries.iter_mut().any(inside), "at crossing {crossing} of {entries:?}: the place is free");
        // Turns were taken by hand above, so these give nothing back.
        assert_eq!(bulkhead.in_flight(), 1, "at crossing {crossing} of {entries:?}");
    }
    unreachable!()
}

#[test]
fn whoever_comes_in_between_no_wake_up_is_lost() {
    let of_service = || {
        let bulkhead = Arc::new(bulkhead(1, 0, 5));
        let held = permit(&bulkhead, 1);
        (bulkhead, held)
    };
    let of_source = || {
        let bulkhead = Arc::new(bulkhead(0, 1, 5));
        let held = permit(&bulkhead, 1);
        (bulkhead, held)
    };
    for new in [of_service, of_source] {
        let crossings = at_each_crossing(
            new,
            |_, held| {
                drop(held);
                Vec::new()
            },
            |bulkhead| Some(enter(bulkhead, 1)),
        );
        assert_eq!(crossings, 3);
    }
    // The other way round: what is held is given back while somebody comes.
    thread_local! { static HELD: RefCell<Option<Permit>> = const { RefCell::new(None) }; }
    for new in [of_service, of_source] {
        let crossings = at_each_crossing(
            new,
            |bulkhead, held| {
                HELD.set(Some(held));
                vec![enter(bulkhead, 1)]
            },
            |_| {
                drop(HELD.take());
                None
            },
        );
        assert!((2..=7).contains(&crossings), "{crossings}");
        drop(HELD.take());
    }
}

#[test]
fn a_vain_try_holds_nobody_back() {
    let bulkhead = Arc::new(bulkhead(1, 1, 5));
    let held = permit(&bulkhead, 2);
    let came = Arc::new(Mutex::new(None));
    let (inner, into) = (Arc::clone(&bulkhead), Arc::clone(&came));
    // It has the only place of source 1 for a moment, in which another of source 1 comes and finds it full; the Service's
    // place is free meanwhile, but goes to source 3.
    let between = move || {
        let waits = waiting(&inner, 1);
        drop(held);
        *into.lock().unwrap() = Some((waits, permit(&inner, 3)));
    };
    BETWEEN.set(Some((0, Box::new(between))));
    let _tries = waiting(&bulkhead, 1);
    let (mut waits, goes) = came.lock().unwrap().take().unwrap();
    drop(goes);
    assert_eq!(waits.turn.try_recv(), Ok(()));
}
