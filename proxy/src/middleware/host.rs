//! Sees that a backend gets a Host header.
//!
//! In: a request. Out: the answer that it has none, where HTTP/1.1 demands one; a Host for HTTP/1.0, which does not. A
//! Host that the client sent is passed on unchanged: it does not decide where the request goes.

use super::{Answer, Edits, Request};
use http::{HeaderValue, Version, header::HOST};

pub(super) fn pass(request: &Request<'_>, edits: &mut Edits) -> Result<(), Answer> {
    if request.headers.contains_key(HOST) || request.version == Version::HTTP_2 {
        return Ok(());
    }
    if request.version == Version::HTTP_11 {
        return Err(Answer { status: 400, text: "an HTTP/1.1 request needs a Host header".into() });
    }
    // It goes on as HTTP/1.1, which many backends refuse without one.
    let service = &request.service.service;
    if let Ok(host) = HeaderValue::from_str(&format!("{}.{}", service.name, service.namespace)) {
        edits.push((HOST, Some(host)));
    }
    Ok(())
}
