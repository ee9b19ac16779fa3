//! The power of two choices: of two endpoints drawn at random, the better one.
//!
//! In: a field. Out: one of it. It needs no shared turn, keeps traffic away from whoever is slow or busy, and does not
//! send everybody to the one that looks best.

use super::{dice::Roll, field::Field, state::EndpointState};
use std::sync::Arc;

/// By how much the load of one may be higher than another's before that counts. Equal endpoints differ by chance, and where
/// requests come one after the other, nothing but latency tells two apart: the one whose first answer was a little slower
/// would get none of them for as long as its estimate takes to fall.
const CLEARLY: f32 = 1.5;

/// Of two drawn at random the one that is clearly less loaded, by latency and what is under way; or the first drawn.
pub(super) fn by_latency<'a>(field: &Field<'a>, roll: Roll) -> Option<&'a Arc<EndpointState>> {
    choose(field, roll, |first, second| second.load(field.now) * CLEARLY < first.load(field.now))
}

/// Of two drawn at random the one with less under way.
pub(super) fn by_in_flight<'a>(field: &Field<'a>, roll: Roll) -> Option<&'a Arc<EndpointState>> {
    choose(field, roll, |first, second| second.in_flight() < first.in_flight())
}

/// Of two drawn at random the first, unless the second is better.
fn choose<'a>(
    field: &Field<'a>,
    roll: Roll,
    second_is_better: impl Fn(&EndpointState, &EndpointState) -> bool,
) -> Option<&'a Arc<EndpointState>> {
    let (first, second) = draw(field, roll)?;
    let Some(second) = second else { return Some(first) };
    Some(match (field.yields(first), field.yields(second)) {
        (true, false) => second,
        (false, true) => first,
        (false, false) | (true, true) => {
            if second_is_better(first, second) {
                second
            } else {
                first
            }
        }
    })
}

/// One at random.
pub(super) fn any<'a>(field: &Field<'a>, roll: Roll) -> Option<&'a Arc<EndpointState>> {
    choose(field, roll, |_, _| false)
}

/// Two at random, where there are so many.
fn draw<'a>(
    field: &Field<'a>,
    roll: Roll,
) -> Option<(&'a Arc<EndpointState>, Option<&'a Arc<EndpointState>>)> {
    let endpoints = field.endpoints;
    if endpoints.len() > 1 {
        let (first, second) = roll.two(endpoints.len());
        let (first, second) = (&endpoints[first], &endpoints[second]);
        if field.admits(first) && field.admits(second) {
            return Some((first, Some(second)));
        }
    }
    // Somebody is not to be had: count who is, and draw among them.
    match field.admitted().count() {
        0 => None,
        1 => field.admitted().next().map(|only| (only, None)),
        several => {
            let (first, second) = roll.two(several);
            // Another thread may just have taken what was counted.
            let first = field.admitted().nth(first).or_else(|| field.admitted().next())?;
            Some((first, field.admitted().nth(second)))
        }
    }
}
