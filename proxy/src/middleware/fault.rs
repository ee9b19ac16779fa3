//! Fails requests on purpose.
//!
//! In: a request. Out: a pause, an answer instead of forwarding, or both: then the answer comes after the pause. The two
//! are drawn independently of each other.

use super::{Answer, Changes, Request, draw::percent};
use crate::{balance::Dice, cause::Cause};
use weft_contract::policy::{Fault, FaultAbort, FaultDelay, HeaderMatch};

pub(super) fn pass(
    fault: &Fault,
    request: &Request<'_>,
    dice: &Dice,
    changes: &mut Changes,
) -> Result<(), Answer> {
    let Fault { only, delay, abort } = fault;
    if !only.as_ref().is_none_or(|only| matches(only, request)) {
        return Ok(());
    }
    if let Some(FaultDelay { pause, percent: share }) = delay
        && percent(dice, *share)
    {
        changes.delay = Some(*pause);
    }
    match abort {
        Some(FaultAbort { status, percent: share }) if percent(dice, *share) => {
            let answer = Answer::of(Cause::Fault);
            // An interim status would promise another answer.
            Err(if (200..=599).contains(status) { answer.with_status(*status) } else { answer })
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether a line of the header has the value, or any where none is asked for.
fn matches(only: &HeaderMatch, request: &Request<'_>) -> bool {
    let HeaderMatch { name, value } = only;
    let Some(value) = value else { return request.fields.contains(name) };
    let mut found = false;
    request.fields.each(name, &mut |line| found |= line == value.as_bytes());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::{Chain, fixture::Scene};
    use std::time::Duration;
    use weft_contract::{Policy, policy::Actions};

    fn policy(fault: Fault) -> Policy {
        Policy { actions: Actions { fault: Some(fault), ..Actions::default() }, ..Policy::default() }
    }

    fn abort(status: u16, percent: u32) -> Fault {
        Fault { abort: Some(FaultAbort { status, percent }), ..Fault::default() }
    }

    #[test]
    fn a_request_is_aborted_with_the_status_asked_for() {
        for (status, expected) in [(418, 418), (503, 503), (200, 200), (100, 503), (0, 503), (600, 503)] {
            let answer = Scene::get("/").pass(&policy(abort(status, 100))).unwrap_err();
            assert_eq!((answer.status, answer.cause), (expected, Cause::Fault), "{status}");
        }
    }

    #[test]
    fn the_share_is_kept() {
        let (dice, scene) = (Dice::new(1), Scene::get("/"));
        for share in [0, 1, 30, 99, 100, 1000] {
            let pause = Duration::from_millis(5);
            let delay = Some(FaultDelay { pause, percent: share });
            let chain = Chain::new(&policy(Fault { delay, ..abort(500, share) }));
            let (mut aborted, mut delayed, mut both) = (0, 0, 0);
            for _ in 0..10_000 {
                let mut changes = Changes::default();
                let failed = chain.pass(&scene.request(), &dice, &mut changes).is_err();
                aborted += u32::from(failed);
                delayed += u32::from(changes.delay == Some(pause));
                both += u32::from(failed && changes.delay.is_some());
            }
            let share = share.min(100);
            let near = |count: u32, expected: u32| count.abs_diff(expected) <= 200;
            assert!(near(aborted, share * 100) && near(delayed, share * 100), "{share}: {aborted} {delayed}");
            assert!(near(both, share * share), "{share}: {both}, independently of each other");
            if share == 0 || share == 100 {
                assert_eq!((aborted, delayed), (share * 100, share * 100));
            }
        }
    }

    #[test]
    fn only_requests_that_match_fail() {
        let only = |value: Option<&str>| {
            let only = HeaderMatch { name: "x-test".into(), value: value.map(str::to_owned) };
            policy(Fault { only: Some(only), ..abort(500, 100) })
        };
        let two = || Scene::get("/").with("X-Test", "a").with("x-test", "b");
        assert!(Scene::get("/").pass(&only(None)).is_ok());
        assert!(two().pass(&only(None)).is_err());
        assert!(two().pass(&only(Some("a"))).is_err());
        assert!(two().pass(&only(Some("b"))).is_err());
        assert!(two().pass(&only(Some("c"))).is_ok());
        assert!(two().pass(&only(Some(""))).is_ok());
    }
}
