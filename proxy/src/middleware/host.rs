//! Sees that a backend gets a Host header.
//!
//! In: a request. Out: the answer that it has none, where HTTP/1.1 demands one; a Host for the versions that do not. A
//! Host that the client sent is passed on unchanged: it does not decide where the request goes.

use super::{Answer, Changes, Edit, Request};
use crate::{cause::Cause, route::Target};
use http::{HeaderValue, Version, header::HOST};

pub(super) fn pass(request: &Request<'_>, changes: &mut Changes) -> Result<(), Answer> {
    if request.host.is_some() {
        return Ok(());
    }
    if request.version == Version::HTTP_11 {
        return Err(Answer::of(Cause::BadRequest).with_text("an HTTP/1.1 request needs a Host header"));
    }
    // It may go on as HTTP/1.1, which many backends refuse without one.
    if let Ok(host) = HeaderValue::try_from(name(request.service)) {
        changes.request.push(Edit::Set(HOST, host));
    }
    Ok(())
}

/// How a Service is called where the client did not say: as from another namespace, without the mesh.
pub(super) fn name(target: &Target) -> String {
    format!("{}.{}", target.service.name, target.service.namespace)
}

#[cfg(test)]
mod tests {
    use crate::middleware::{Edit, fixture::Scene};
    use http::{HeaderValue, Version, header::HOST};
    use weft_contract::Policy;

    #[test]
    fn http_1_1_needs_a_host_and_others_get_one() {
        let without = |version| Scene { version, ..Scene::get("/").without_host() }.pass(&Policy::default());
        assert_eq!(without(Version::HTTP_11).unwrap_err().status, 400);
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let host = Edit::Set(HOST, HeaderValue::from_static("web.shop"));
            assert!(without(version).unwrap().request.contains(&host), "{version:?}");
        }
    }

    #[test]
    fn a_host_stays_as_it_was_sent() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            for host in ["elsewhere.example:8080", "WEB", ""] {
                let scene = Scene { version, ..Scene::get("/").with("host", host) };
                assert_eq!(scene.received(&Policy::default()).get(HOST).unwrap(), host);
            }
        }
    }
}
