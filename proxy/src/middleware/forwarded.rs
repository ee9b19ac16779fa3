//! Tells the backend who called the proxy.
//!
//! In: a request. Out: `X-Forwarded-For` with the client's address at its end, and `X-Forwarded-Proto` and `-Host` where
//! nobody before has set them. What came before is kept, as between an ingress and an application without a mesh: only
//! the last address is the proxy's own word, and nothing in the mesh decides by any of these.

use super::{Edits, Request};
use http::{HeaderName, HeaderValue, header::HOST};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

pub(super) fn pass(request: &Request<'_>, edits: &mut Edits) {
    let mut chain: Vec<u8> = Vec::new();
    for before in request.headers.get_all(&FOR) {
        chain.extend_from_slice(before.as_bytes());
        chain.extend_from_slice(b", ");
    }
    // An IPv4 client of a dual-stack socket has an IPv6 address that contains its own.
    chain.extend_from_slice(request.client.to_canonical().to_string().as_bytes());
    edits.push((FOR, HeaderValue::from_bytes(&chain).ok()));
    if !request.headers.contains_key(&PROTO) {
        edits.push((PROTO, Some(HeaderValue::from_static("http"))));
    }
    if !request.headers.contains_key(&X_HOST) {
        edits.push((X_HOST, request.headers.get(HOST).cloned()));
    }
}
