//! Which failures are repeated for which requests.

use super::*;
use proptest::prelude::*;

const GET: Attempt = Attempt { tries: 1, idempotent: true, sent: true, replayable: true };
const POST: Attempt = Attempt { tries: 1, idempotent: false, sent: true, replayable: true };

fn none() -> RetryOn {
    RetryOn { connect_failure: false, ..RetryOn::default() }
}

fn on(on: RetryOn) -> Retry {
    Retry { attempts: 3, on, ..Retry::default() }
}

fn unsent(attempt: Attempt) -> Attempt {
    Attempt { sent: false, ..attempt }
}

fn status(status: u16) -> Failure {
    Failure::Status { status, grpc_code: None }
}

fn grpc(code: u16) -> Failure {
    Failure::Status { status: 200, grpc_code: Some(code) }
}

const RESET: Failure = Failure::Reset { stale: false };
const STALE: Failure = Failure::Reset { stale: true };

#[test]
fn by_default_only_what_never_reached_an_endpoint_is_tried_again() {
    let default = Retry::default();
    for attempt in [GET, POST] {
        assert_eq!(again(&default, &Failure::Connect, &unsent(attempt)), Some(Again::AtOnce));
        assert_eq!(again(&default, &RESET, &unsent(attempt)), Some(Again::AtOnce));
        for failure in [RESET, Failure::TryTimeout, status(500), status(503), status(429), grpc(14)] {
            assert_eq!(again(&default, &failure, &attempt), None, "{failure:?}");
        }
    }
}

#[test]
fn a_stale_connection_is_a_race_and_not_a_failure() {
    let off = on(none());
    assert_eq!(again(&off, &STALE, &GET), Some(Again::AtOnce));
    assert_eq!(again(&off, &STALE, &POST), None);
    assert_eq!(again(&off, &STALE, &unsent(POST)), Some(Again::AtOnce));
    assert_eq!(again(&off, &STALE, &Attempt { tries: 2, ..GET }), None, "once");
    assert_eq!(again(&off, &STALE, &Attempt { tries: 2, ..unsent(POST) }), Some(Again::AtOnce));
    let reset = on(RetryOn { reset: true, ..none() });
    assert_eq!(again(&reset, &STALE, &Attempt { tries: 2, ..GET }), Some(Again::AfterBackoff));
}

#[test]
fn each_condition_names_its_failures() {
    let conditions = [
        on(RetryOn { connect_failure: true, ..none() }),
        on(RetryOn { reset: true, ..none() }),
        on(RetryOn { server_error: true, ..none() }),
        on(RetryOn { gateway_error: true, ..none() }),
        on(RetryOn { statuses: vec![404, 503], ..none() }),
        on(RetryOn { grpc_codes: vec![8, 14], ..none() }),
    ];
    for (failure, attempt, expected) in [
        (Failure::Connect, unsent(GET), [true, false, false, false, false, false]),
        (RESET, GET, [false, true, true, true, false, false]),
        (RESET, unsent(GET), [true, true, true, true, false, false]),
        (Failure::TryTimeout, GET, [false, false, true, true, false, false]),
        (status(500), GET, [false, false, true, false, false, false]),
        (status(501), GET, [false, false, true, false, false, false]),
        (status(502), GET, [false, false, true, true, false, false]),
        (status(503), GET, [false, false, true, true, true, false]),
        (status(504), GET, [false, false, true, true, false, false]),
        (status(599), GET, [false, false, true, false, false, false]),
        (status(404), GET, [false, false, false, false, true, false]),
        (status(429), GET, [false; 6]),
        (grpc(14), GET, [false, false, false, false, false, true]),
        (grpc(13), GET, [false; 6]),
    ] {
        let found = conditions.each_ref().map(|retry| again(retry, &failure, &attempt).is_some());
        assert_eq!(found, expected, "{failure:?}");
    }
}

#[test]
fn what_may_have_been_done_is_repeated_for_idempotent_methods_only() {
    let all = on(RetryOn {
        connect_failure: true,
        reset: true,
        server_error: true,
        gateway_error: true,
        statuses: vec![503],
        grpc_codes: vec![14],
    });
    for failure in [RESET, Failure::TryTimeout, status(503)] {
        assert_eq!(again(&all, &failure, &GET), Some(Again::AfterBackoff), "{failure:?}");
        assert_eq!(again(&all, &failure, &POST), None, "{failure:?}");
    }
    assert_eq!(again(&all, &RESET, &unsent(POST)), Some(Again::AtOnce), "REFUSED_STREAM");
    assert_eq!(again(&all, &grpc(14), &POST), Some(Again::AfterBackoff), "gRPC has no other method");
    assert_eq!(again(&all, &grpc(13), &POST), None);
    assert_eq!(again(&all, &Failure::Connect, &POST), None, "a part was sent after all");
}

fn conditions() -> impl Strategy<Value = RetryOn> {
    let codes = || prop::collection::vec(0_u16..17, 0..4);
    (any::<[bool; 4]>(), prop::collection::vec(400_u16..600, 0..4), codes()).prop_map(
        |([connect_failure, reset, server_error, gateway_error], statuses, grpc_codes)| RetryOn {
            connect_failure,
            reset,
            server_error,
            gateway_error,
            statuses,
            grpc_codes,
        },
    )
}

fn failures() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(Failure::Connect),
        any::<bool>().prop_map(|stale| Failure::Reset { stale }),
        Just(Failure::TryTimeout),
        (100_u16..600, prop::option::of(0_u16..17))
            .prop_map(|(status, grpc_code)| Failure::Status { status, grpc_code }),
    ]
}

proptest! {
    #[test]
    fn nothing_is_done_twice_and_tries_end(
        on in conditions(), attempts in 0_u32..6, failure in failures(), tries in 1_u32..8, known in any::<[bool; 3]>(),
    ) {
        let [idempotent, sent, replayable] = known;
        let retry = Retry { attempts, on, ..Retry::default() };
        let attempt = Attempt { tries, idempotent, sent, replayable };
        if again(&retry, &failure, &attempt).is_some() {
            prop_assert!(tries < attempts);
            prop_assert!(replayable);
            let listed = matches!(failure, Failure::Status { grpc_code: Some(code), .. } if retry.on.grpc_codes.contains(&code));
            prop_assert!(idempotent || listed || !sent);
        }
    }

    #[test]
    fn more_conditions_never_mean_fewer_retries(on in conditions(), failure in failures(), idempotent: bool, sent: bool) {
        let attempt = Attempt { tries: 1, idempotent, sent, replayable: true };
        let more = RetryOn { reset: true, server_error: true, gateway_error: true, connect_failure: true, ..on.clone() };
        let [less, more] = [on, more].map(|on| Retry { attempts: 3, on, ..Retry::default() });
        prop_assert!(again(&less, &failure, &attempt).is_none() || again(&more, &failure, &attempt).is_some());
    }
}
