//! Bounds the body that a client may send.
//!
//! In: a request. Out: nothing, or the answer that its body is too large, before a byte of it is read. A body without
//! `content-length` is counted by the engine as it comes; [`super::Chain::body_bytes`] is its bound. The bounds of a head
//! are the engine's too, which must not read more of one.

use super::{Answer, Request};
use crate::cause::Cause;

/// Checks what a request announces. A `bound` of 0 is none.
pub(super) fn check(request: &Request<'_>, bound: u64) -> Result<(), Answer> {
    if bound == 0 {
        return Ok(());
    }
    match request.fields.get("content-length").and_then(length) {
        Some(length) if length > bound => Err(Answer::of(Cause::BodyTooLarge)
            .with_text(format!("the request's body is larger than the limit of {bound} bytes"))),
        Some(_) | None => Ok(()),
    }
}

/// The number that a `content-length` says. What is no number is for the engine to refuse.
fn length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX)) // digits alone fail to parse only where they are too many
}

#[cfg(test)]
mod tests {
    use crate::middleware::{Chain, fixture::Scene};
    use weft_contract::{Policy, policy::RequestLimits};

    fn bounded(body_bytes: u64) -> Policy {
        Policy { limits: RequestLimits { body_bytes, ..RequestLimits::default() }, ..Policy::default() }
    }

    #[test]
    fn a_body_above_the_limit_is_refused_by_what_it_announces() {
        let cases = [
            (1000, "1000", None),
            (1000, "1001", Some(413)),
            (1000, "999999999999999999999999", Some(413)),
            (1000, "-5", None), // refused by the engine
            (1000, "many", None),
            (0, "99999999999", None),
        ];
        for (bound, length, refused) in cases {
            let passed = Scene::get("/").with("content-length", length).pass(&bounded(bound));
            assert_eq!(passed.err().map(|answer| answer.status), refused, "{length} of {bound}");
        }
        assert!(Scene::get("/").pass(&bounded(1)).is_ok(), "the engine counts a body of unknown length");
    }

    #[test]
    fn the_engine_learns_the_bound() {
        assert_eq!(Chain::new(&bounded(7)).body_bytes(), Some(7));
        assert_eq!(Chain::new(&bounded(0)).body_bytes(), None);
    }
}
