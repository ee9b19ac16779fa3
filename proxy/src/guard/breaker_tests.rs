//! The way of a circuit breaker through its states, in explicit time.

use super::*;
use proptest::prelude::*;

const FAILED: Sample = Sample { status: None, latency: Duration::from_millis(1) };
const SERVED: Sample = Sample { status: Some(200), latency: Duration::from_millis(1) };

fn breaker(expression: &str) -> Breaker {
    Breaker::new(Expression::parse(expression).unwrap(), None)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// How many of 1,000 requests pass at this time.
fn passed(breaker: &Breaker, now: Instant) -> usize {
    let dice = Dice::new(5);
    (0..1000).filter(|_| breaker.admit(&dice, now).is_ok()).count()
}

#[test]
fn it_trips_when_its_expression_holds_and_answers_for_ten_seconds() {
    let breaker = breaker("NetworkErrorRatio() > 0.5");
    let start = Instant::now();
    breaker.observe(SERVED, start);
    breaker.observe(FAILED, start + seconds(0.2));
    assert!(!breaker.is_open(start + seconds(0.2)), "a half is not above a half");
    assert_eq!((breaker.trips(), breaker.last_trip()), (0, None));
    breaker.observe(FAILED, start + seconds(0.4));
    assert!(breaker.is_open(start + seconds(0.4)));
    assert_eq!((breaker.trips(), breaker.last_trip()), (1, Some(start + seconds(0.4))));
    let refused = breaker.admit(&Dice::new(1), start + seconds(3.4));
    assert_eq!(refused, Err(Open { retry_after: seconds(7.0) }));
    assert_eq!(passed(&breaker, start + seconds(10.39)), 0);
}

#[test]
fn it_looks_at_most_every_100_ms() {
    let breaker = breaker("NetworkErrorRatio() > 0.5");
    let start = Instant::now();
    breaker.observe(SERVED, start);
    for _ in 0..100 {
        breaker.observe(FAILED, start + seconds(0.099));
    }
    assert!(!breaker.is_open(start + seconds(0.099)));
    breaker.observe(SERVED, start + seconds(0.1));
    assert!(breaker.is_open(start + seconds(0.1)));
}

#[test]
fn what_is_older_than_ten_seconds_does_not_count() {
    let breaker = breaker("ResponseCodeRatio(500, 600, 0, 600) > 0.4");
    let start = Instant::now();
    for _ in 0..3 {
        breaker.observe(SERVED, start);
    }
    breaker.observe(FAILED, start + seconds(5.0));
    assert!(!breaker.is_open(start + seconds(5.0)), "one of four");
    breaker.observe(SERVED, start + seconds(11.0));
    assert!(breaker.is_open(start + seconds(11.0)), "one of two");
}

#[test]
fn latency_trips_it_too() {
    let breaker = breaker("LatencyAtQuantileMS(50.0) > 100");
    let start = Instant::now();
    let slow = |milliseconds| Sample { status: Some(200), latency: Duration::from_millis(milliseconds) };
    breaker.observe(slow(50), start);
    breaker.observe(slow(300), start + seconds(0.2));
    assert!(!breaker.is_open(start + seconds(0.2)));
    breaker.observe(slow(300), start + seconds(0.4));
    assert!(breaker.is_open(start + seconds(0.4)));
}

#[test]
fn it_recovers_by_a_share_that_grows_to_all() {
    let breaker = breaker("NetworkErrorRatio() > 0.5");
    let start = Instant::now();
    breaker.observe(FAILED, start);
    assert_eq!(passed(&breaker, start + seconds(10.0)), 0);
    for (at, expected) in [(11.0, 100), (15.0, 500), (19.0, 900)] {
        let share = passed(&breaker, start + seconds(at));
        assert!(share.abs_diff(expected) < 50, "{share} of 1000 pass after {at} s");
        assert!(breaker.is_open(start + seconds(at)));
    }
    let refused = breaker.admit(&Dice::new(1), start + seconds(10.0));
    assert_eq!(refused, Err(Open { retry_after: RECOVERING_RETRY_AFTER }));
    breaker.observe(SERVED, start + seconds(19.0));
    assert!(!breaker.is_open(start + seconds(20.0)));
    assert_eq!(passed(&breaker, start + seconds(20.0)), 1000);
    assert_eq!(breaker.trips(), 1);
}

#[test]
fn it_trips_again_while_it_recovers() {
    let breaker = breaker("NetworkErrorRatio() > 0.5");
    let start = Instant::now();
    breaker.observe(FAILED, start);
    breaker.observe(FAILED, start + seconds(12.0));
    assert_eq!((breaker.trips(), breaker.last_trip()), (2, Some(start + seconds(12.0))));
    assert_eq!(passed(&breaker, start + seconds(21.9)), 0);
}

#[test]
fn what_was_measured_before_and_while_open_is_forgotten() {
    let breaker = breaker("NetworkErrorRatio() > 0.5");
    let start = Instant::now();
    for _ in 0..100 {
        breaker.observe(FAILED, start);
    }
    // Requests that had been let through before end while it is open.
    for _ in 0..100 {
        breaker.observe(FAILED, start + seconds(9.9));
    }
    breaker.observe(SERVED, start + seconds(10.1));
    assert_eq!(breaker.trips(), 1);
}

#[test]
fn nobody_need_come_for_it_to_close() {
    let breaker = breaker("NetworkErrorRatio() > 0.5");
    let start = Instant::now();
    breaker.observe(FAILED, start);
    assert!(!breaker.is_open(start + seconds(3600.0)));
    assert_eq!(breaker.admit(&Dice::new(1), start + seconds(3600.0)), Ok(()));
}

#[test]
fn a_new_plan_keeps_the_state_of_the_same_expression() {
    let start = Instant::now();
    let before = breaker("NetworkErrorRatio() > 0.5");
    before.observe(FAILED, start);
    let same = Breaker::new(Expression::parse("(NetworkErrorRatio()>0.5)").unwrap(), Some(&before));
    assert!(same.is_open(start));
    assert_eq!(same.trips(), 1);
    let other = Breaker::new(Expression::parse("NetworkErrorRatio() > 0.6").unwrap(), Some(&before));
    assert!(!other.is_open(start));
}

proptest! {
    /// Whatever happens, it is open for ten seconds after each trip and lets all through twenty seconds after the last.
    #[test]
    fn trips_are_at_least_ten_seconds_apart(steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200)) {
        let breaker = breaker("NetworkErrorRatio() > 0.3");
        let dice = Dice::new(9);
        let (mut now, mut trips) = (Instant::now(), Vec::new());
        for (pause, fails) in steps {
            now += Duration::from_millis(pause);
            if breaker.admit(&dice, now).is_ok() {
                breaker.observe(if fails { FAILED } else { SERVED }, now);
            }
            if breaker.last_trip() != trips.last().copied() {
                trips.extend(breaker.last_trip());
            }
        }
        prop_assert_eq!(trips.len() as u64, breaker.trips());
        prop_assert!(trips.windows(2).all(|pair| pair[1] - pair[0] >= BREAKER_FALLBACK));
        prop_assert_eq!(breaker.admit(&dice, now + BREAKER_FALLBACK + BREAKER_RECOVERY), Ok(()));
    }
}
