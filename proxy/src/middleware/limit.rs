//! Bounds what a client may send.
//!
//! In: a request. Out: nothing, or the answer that it is too large.

use super::{Answer, Request};

/// The most bytes that a request's head may have: above what common servers take (8 to 64 KiB), so that it is the
/// backend's own limit that a client meets.
pub const HEADER_BYTES: usize = 64 * 1024;

pub(super) fn check(request: &Request<'_>) -> Result<(), Answer> {
    if request.head_bytes > HEADER_BYTES {
        return Err(Answer { status: 431, text: "the request's headers are too large".into() });
    }
    Ok(())
}
