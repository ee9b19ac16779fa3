//! Tells the backend who the client is.
//!
//! In: a request. Out: `X-Forwarded-For`, `-Proto` and `-Host` from what the proxy knows. What the client claims about
//! itself is overwritten or removed: a backend may trust these headers because nobody but the proxy writes them.

use super::{Edits, Request};
use http::{
    HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

pub(super) fn pass(request: &Request<'_>, edits: &mut Edits) {
    // An IPv4 client of a dual-stack socket has an IPv6 address that contains its own.
    let client = request.client.to_canonical().to_string();
    edits.push((FOR, HeaderValue::try_from(client).ok()));
    edits.push((PROTO, Some(HeaderValue::from_static("http"))));
    edits.push((X_HOST, request.headers.get(HOST).cloned()));
    for claim in [FORWARDED, REAL_IP] {
        if request.headers.contains_key(&claim) {
            edits.push((claim, None));
        }
    }
}
