//! Sends a client elsewhere.
//!
//! In: a request. Out: the answer with the place to ask instead, by Gateway API's rules for `RequestRedirect`: what is
//! not configured stays as the client asked; without a port that of the scheme, else that of the Service; a port that
//! the scheme implies is not written.

use super::{Answer, Request, host, rewrite::Rewrite};
use crate::cause::Cause;
use http::{HeaderValue, header::LOCATION};
use weft_contract::policy;

/// A redirect, made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    status: u16,
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: Option<Rewrite>,
}

/// What clients of the mesh speak with the proxy.
const CLIENT_SCHEME: &str = "http";

// === impl Redirect ===

impl Redirect {
    pub(super) fn new(redirect: &policy::Redirect) -> Self {
        let policy::Redirect { status, scheme, host, port, path } = redirect;
        Self {
            // 302 is what Gateway API takes where nothing is said; the operator lets nothing else come so far.
            status: if matches!(status, 301 | 302 | 303 | 307 | 308) { *status } else { 302 },
            scheme: scheme.as_ref().map(|scheme| scheme.to_ascii_lowercase()),
            host: host.clone(),
            port: *port,
            path: path.as_ref().map(Rewrite::new),
        }
    }

    pub(super) fn answer(&self, request: &Request<'_>) -> Answer {
        let Ok(location) = HeaderValue::try_from(self.location(request)) else {
            return Answer::of(Cause::BadRequest);
        };
        let mut answer =
            Answer::of(Cause::Answered).with_status(self.status).with_text("what you ask for is elsewhere");
        answer.headers.push((LOCATION, location));
        answer
    }

    fn location(&self, request: &Request<'_>) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(CLIENT_SCHEME);
        let host = match (&self.host, request.host.and_then(without_port)) {
            (Some(host), _) => host.clone(),
            (None, Some(host)) => host.to_owned(),
            (None, None) => host::name(request.service),
        };
        let implied = if scheme == "https" { 443 } else { 80 };
        let unsaid = if self.scheme.is_some() { implied } else { request.service.port };
        let port = match self.port.unwrap_or(unsaid) {
            port if port == implied => String::new(),
            port => format!(":{port}"),
        };
        let rewritten = self.path.as_ref().and_then(|path| path.apply(request.target));
        let target = match (&rewritten, request.target) {
            (Some(target), _) => target,
            (None, target) if target.starts_with('/') => target,
            (None, _) => "/", // OPTIONS *
        };
        format!("{scheme}://{host}{port}{target}")
    }
}

/// The host of a Host header without its port; none where there is none, or where it could be read as more than a host.
fn without_port(host: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(host).ok()?;
    let end = match host.strip_prefix('[') {
        Some(inside) => inside.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (host, port) = host.split_at(end);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=[]:".contains(&byte);
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (!host.is_empty() && host.bytes().all(is_host) && is_port).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::fixture::Scene;
    use http::Version;
    use weft_contract::{
        Policy,
        policy::{Actions, PathRewrite},
    };

    const STAY: policy::Redirect =
        policy::Redirect { status: 302, scheme: None, host: None, port: None, path: None };

    fn redirected(redirect: policy::Redirect, scene: &Scene) -> Answer {
        let actions = Actions { redirect: Some(redirect), ..Actions::default() };
        scene.pass(&Policy { actions, ..Policy::default() }).unwrap_err()
    }

    fn location(redirect: policy::Redirect, scene: &Scene) -> String {
        let answer = redirected(redirect, scene);
        assert_eq!(answer.headers.len(), 1);
        assert_eq!(answer.headers[0].0, LOCATION);
        answer.headers[0].1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_port_is_written_where_the_scheme_does_not_imply_it() {
        // The scheme and port asked for, the Service's port, what comes out.
        let cases = [
            (None, None, 80, "http://web.shop.mesh/a?b"),
            (None, None, 8080, "http://web.shop.mesh:8080/a?b"),
            (None, None, 443, "http://web.shop.mesh:443/a?b"),
            (Some("http"), None, 8080, "http://web.shop.mesh/a?b"),
            (Some("https"), None, 8080, "https://web.shop.mesh/a?b"),
            (Some("https"), Some(443), 80, "https://web.shop.mesh/a?b"),
            (Some("https"), Some(80), 80, "https://web.shop.mesh:80/a?b"),
            (Some("https"), Some(8443), 80, "https://web.shop.mesh:8443/a?b"),
            (Some("http"), Some(80), 8080, "http://web.shop.mesh/a?b"),
            (None, Some(80), 8080, "http://web.shop.mesh/a?b"),
            (None, Some(8081), 8080, "http://web.shop.mesh:8081/a?b"),
        ];
        for (scheme, port, service, expected) in cases {
            let mut scene = Scene::get("/a?b").with("host", "web.shop.mesh:1234");
            scene.service.port = service;
            let redirect = policy::Redirect { scheme: scheme.map(str::to_owned), port, ..STAY };
            assert_eq!(location(redirect, &scene), expected, "{scheme:?} {port:?} {service}");
        }
    }

    #[test]
    fn the_host_is_the_clients_unless_another_is_given() {
        let cases = [
            ("WEB.shop", "http://WEB.shop/"),
            ("[fd00::1]", "http://[fd00::1]/"),
            ("[fd00::1]:8080", "http://[fd00::1]/"),
            ("10.0.0.1:8080", "http://10.0.0.1/"),
            // What could lead elsewhere is not repeated.
            ("evil.example/", "http://web.shop/"),
            ("user@evil.example", "http://web.shop/"),
            ("a:b", "http://web.shop/"),
            ("[fd00::1", "http://web.shop/"),
            ("[fd00::1]evil", "http://web.shop/"),
            ("", "http://web.shop/"),
        ];
        for (host, expected) in cases {
            assert_eq!(location(STAY, &Scene::get("/").with("host", host)), expected, "{host}");
        }
        let old = Scene { version: Version::HTTP_10, ..Scene::get("/").without_host() };
        assert_eq!(location(STAY, &old), "http://web.shop/");
        let named = policy::Redirect { host: Some("shop.example".into()), ..STAY };
        assert_eq!(location(named, &Scene::get("/")), "http://shop.example/");
    }

    #[test]
    fn the_path_changes_as_in_a_rewrite() {
        let redirect = |path| policy::Redirect { path: Some(path), ..STAY };
        let prefix = || redirect(PathRewrite::Prefix("/old".into(), "/new".into()));
        assert_eq!(location(prefix(), &Scene::get("/old/a?b")), "http://web.shop.mesh/new/a?b");
        assert_eq!(location(prefix(), &Scene::get("/older?b")), "http://web.shop.mesh/older?b");
        let full = redirect(PathRewrite::Full("/new".into()));
        assert_eq!(location(full, &Scene::get("/old/a?b")), "http://web.shop.mesh/new?b");
        assert_eq!(location(STAY, &Scene::get("*")), "http://web.shop.mesh/");
    }

    #[test]
    fn the_status_is_one_that_redirects() {
        for (status, expected) in [(301, 301), (302, 302), (303, 303), (307, 307), (308, 308), (200, 302)] {
            let answer = redirected(policy::Redirect { status, ..STAY }, &Scene::get("/"));
            assert_eq!((answer.status, answer.cause), (expected, Cause::Answered));
        }
    }
}
