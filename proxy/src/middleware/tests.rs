//! The order in which a request passes.

use super::{fixture::Scene, *};
use crate::cause::Cause;
use http::{HeaderValue, Method, header::LOCATION};
use std::time::Duration;
use weft_contract::{
    ServiceKey,
    policy::{self, FaultAbort, FaultDelay, HeaderChange, Mirror, PathRewrite, RequestLimits},
};

/// Everything at once, but for what keeps the rest from being reached.
fn everything() -> Actions {
    Actions {
        fault: Some(Fault {
            delay: Some(FaultDelay { pause: Duration::from_millis(7), percent: 100 }),
            ..Fault::default()
        }),
        cors: Some(policy::Cors { origins: vec!["https://shop.example".into()], ..policy::Cors::default() }),
        redirect: None,
        rewrite: Some(PathRewrite::Prefix("/api".into(), "/v2".into())),
        request_headers: vec![HeaderChange::Set("x-request".into(), "1".into())],
        response_headers: vec![HeaderChange::Set("vary".into(), "nothing".into())],
        mirror: Some(Mirror { service: ServiceKey::new("shop", "copy"), port: 80, percent: 100 }),
    }
}

fn of(actions: Actions) -> Policy {
    Policy { actions, ..Policy::default() }
}

fn abort() -> Option<Fault> {
    let abort = Some(FaultAbort { status: 418, percent: 100 });
    Some(Fault { abort, ..everything().fault.unwrap() })
}

fn redirect() -> Option<policy::Redirect> {
    Some(policy::Redirect { status: 301, scheme: Some("https".into()), host: None, port: None, path: None })
}

fn preflight() -> Scene {
    Scene { method: Method::OPTIONS, ..Scene::get("/api/a") }
        .with("origin", "https://shop.example")
        .with("access-control-request-method", "GET")
}

#[test]
fn everything_is_done_to_a_request_that_passes() {
    let changes =
        Scene::get("/api/a?b").with("origin", "https://shop.example").pass(&of(everything())).unwrap();
    assert_eq!(changes.delay, Some(Duration::from_millis(7)));
    assert_eq!(changes.target.as_deref(), Some(&b"/v2/a?b"[..]));
    assert!(changes.mirror);
    let last = |name, value| Edit::Set(http::HeaderName::from_static(name), HeaderValue::from_static(value));
    assert_eq!(changes.request.last(), Some(&last("x-request", "1")));
    assert_eq!(changes.response.last(), Some(&last("vary", "nothing")), "the Service has the last word");
    assert!(changes.response.len() > 1);
}

#[test]
fn a_bad_request_is_refused_before_anything_else() {
    let limits = RequestLimits { body_bytes: 1, ..RequestLimits::default() };
    let policy = Policy { limits, ..of(Actions { fault: abort(), ..everything() }) };
    let statuses = [
        Scene::get("/").without_host().with("content-length", "9"),
        Scene::get("/").with("content-length", "9"),
        Scene::get("/"),
    ]
    .map(|scene| scene.pass(&policy).unwrap_err().status);
    assert_eq!(statuses, [400, 413, 418]);
}

#[test]
fn a_fault_hits_a_preflight_and_a_preflight_is_not_redirected() {
    let policy = of(Actions { fault: abort(), redirect: redirect(), ..everything() });
    assert_eq!(preflight().pass(&policy).unwrap_err().cause, Cause::Fault);
    let policy = of(Actions { redirect: redirect(), ..everything() });
    assert_eq!(preflight().pass(&policy).unwrap_err().status, 204);
}

#[test]
fn an_answer_instead_comes_after_its_pause_and_nothing_is_copied() {
    let policy = of(Actions { fault: abort(), ..everything() });
    let mut changes = Changes::default();
    let answer = Chain::new(&policy).pass(&Scene::get("/").request(), &Dice::new(1), &mut changes);
    assert_eq!(answer.unwrap_err().status, 418);
    assert_eq!((changes.delay, changes.mirror), (Some(Duration::from_millis(7)), false));
}

#[test]
fn a_page_of_another_origin_may_follow_a_redirect() {
    let policy = of(Actions { redirect: redirect(), ..everything() });
    let answer = Scene::get("/api").with("origin", "https://shop.example").pass(&policy).unwrap_err();
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["location", "access-control-allow-origin", "vary"]);
    assert_eq!(answer.headers[0], (LOCATION, HeaderValue::from_static("https://web.shop.mesh/api")));
}

#[test]
fn without_a_wish_only_forwarding_headers_are_written() {
    let changes = Scene::get("/").pass(&Policy::default()).unwrap();
    let Changes { request, response, target, delay, mirror } = changes;
    assert_eq!(request.len(), 5);
    assert_eq!((response, target, delay, mirror), (vec![], None, None, false));
}
