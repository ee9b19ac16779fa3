//! The power of two choices: of two endpoints drawn at random, the better one.
//!
//! In: a field. Out: one of it. It needs no shared turn, keeps traffic away from whoever is slow or busy, and does not
//! send everybody to the one that looks best.

use super::{dice::Roll, field::Field, state::EndpointState};
use std::sync::Arc;

/// Of two drawn at random the one with the lower load.
pub(super) fn choose<'a, Load: PartialOrd>(
    field: &Field<'a>,
    roll: Roll,
    load: impl Fn(&EndpointState) -> Load,
) -> Option<&'a Arc<EndpointState>> {
    let (first, second) = draw(field, roll)?;
    let Some(second) = second else { return Some(first) };
    Some(match (field.yields(first), field.yields(second)) {
        (true, false) => second,
        (false, true) => first,
        (false, false) | (true, true) => {
            if load(second) < load(first) {
                second
            } else {
                first
            }
        }
    })
}

/// One at random.
pub(super) fn any<'a>(field: &Field<'a>, roll: Roll) -> Option<&'a Arc<EndpointState>> {
    choose(field, roll, |_| ())
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
