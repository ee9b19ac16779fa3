//! What browsers are told.

use super::*;
use crate::middleware::fixture::{Scene, apply, lines};
use http::HeaderMap;
use weft_contract::{Policy, policy::Actions};

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn shop() -> policy::Cors {
    policy::Cors {
        origins: list(&["https://shop.example", "https://*.pages.example", "http://localhost:3000"]),
        methods: list(&["PUT", "DELETE"]),
        headers: list(&["Content-Type", "X-Tenant"]),
        expose: list(&["X-Total"]),
        credentials: true,
        max_age: Some(600),
    }
}

fn policy(cors: policy::Cors) -> Policy {
    Policy { actions: Actions { cors: Some(cors), ..Actions::default() }, ..Policy::default() }
}

/// The answer to a preflight as `name: value`; its status must be 204 whatever it says.
fn preflight(cors: policy::Cors, origin: &str, method: &str, headers: &str) -> Vec<String> {
    let mut scene = Scene { method: Method::OPTIONS, ..Scene::get("/") }
        .with("origin", origin)
        .with("access-control-request-method", method);
    if !headers.is_empty() {
        scene = scene.with("access-control-request-headers", headers);
    }
    let answer = scene.pass(&policy(cors)).unwrap_err();
    assert_eq!((answer.status, answer.cause, answer.body()), (204, Cause::Answered, None));
    let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    answer.headers.iter().filter(|(name, _)| *name != VARY).map(line).collect()
}

/// What a client receives of an answer whose endpoint speaks of CORS itself.
fn answered(cors: policy::Cors, origin: Option<&str>) -> HeaderMap {
    let mut scene = Scene::get("/");
    if let Some(origin) = origin {
        scene = scene.with("origin", origin);
    }
    let changes = scene.pass(&policy(cors)).unwrap();
    let mut answer = HeaderMap::new();
    answer.append("access-control-allow-origin", HeaderValue::from_static("https://evil.example"));
    answer.append("access-control-allow-credentials", HeaderValue::from_static("true"));
    answer.append("vary", HeaderValue::from_static("Accept"));
    apply(&changes.response, &mut answer);
    answer
}

#[test]
fn a_preflight_that_is_allowed_says_what_is() {
    assert_eq!(
        preflight(shop(), "https://shop.example", "PUT", "content-type,x-tenant"),
        [
            "access-control-allow-origin: https://shop.example",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: PUT, DELETE",
            "access-control-allow-headers: content-type, x-tenant",
            "access-control-max-age: 600",
        ]
    );
}

#[test]
fn a_preflight_is_allowed_by_origin_method_and_headers() {
    let cases = [
        ("https://shop.example", "DELETE", "", true),
        ("https://shop.example", "PUT", " X-TENANT , ,content-type", true),
        // Safelisted methods need no mention.
        ("https://shop.example", "GET", "x-tenant", true),
        ("https://shop.example", "HEAD", "", true),
        ("https://shop.example", "POST", "content-type", true),
        // Methods are told apart by case, and only what is listed is allowed.
        ("https://shop.example", "put", "", false),
        ("https://shop.example", "PATCH", "", false),
        ("https://shop.example", "PUT", "x-other", false),
        ("https://shop.example", "PUT", "x-tenant, x-other", false),
        ("https://shop.example", "PUT", "authorization", false),
        // Scheme, host and port make an origin.
        ("http://shop.example", "PUT", "", false),
        ("https://shop.example:8443", "PUT", "", false),
        ("https://shop.example.evil", "PUT", "", false),
        ("https://evil-shop.example", "PUT", "", false),
        ("http://localhost:3000", "PUT", "", true),
        ("http://localhost", "PUT", "", false),
        ("null", "PUT", "", false),
        ("", "PUT", "", false),
        // One label may be anything.
        ("https://a.pages.example", "PUT", "", true),
        ("https://a-1.pages.example", "PUT", "", true),
        ("https://pages.example", "PUT", "", false),
        ("https://.pages.example", "PUT", "", false),
        ("https://a.b.pages.example", "PUT", "", false),
        ("https://evil.example/.pages.example", "PUT", "", false),
        ("https://evil.example?.pages.example", "PUT", "", false),
        ("https://a.pages.example:8443", "PUT", "", false),
        ("http://a.pages.example", "PUT", "", false),
    ];
    for (origin, method, headers, allowed) in cases {
        let said = preflight(shop(), origin, method, headers);
        assert_eq!(!said.is_empty(), allowed, "{origin} {method} {headers}: {said:?}");
    }
}

#[test]
fn a_wildcard_is_said_where_it_means_something() {
    let any = |credentials| policy::Cors {
        origins: list(&["https://shop.example", "*"]),
        methods: list(&["*"]),
        headers: list(&["*"]),
        credentials,
        ..policy::Cors::default()
    };
    // Without credentials it is said as it is.
    let said = preflight(any(false), "https://other.example", "PATCH", "x-a");
    let wild = [
        "access-control-allow-origin: *",
        "access-control-allow-methods: *",
        "access-control-allow-headers: *",
    ];
    assert_eq!(said, wild);
    // An origin that is named may bring credentials, for which `*` would be a name like any other.
    assert_eq!(
        preflight(any(true), "https://shop.example", "PATCH", "X-A,x-b"),
        [
            "access-control-allow-origin: https://shop.example",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: PATCH",
            "access-control-allow-headers: x-a, x-b",
        ]
    );
    // Any other may not.
    assert_eq!(preflight(any(true), "https://other.example", "PATCH", "x-a"), wild);
    for credentials in [true, false] {
        let said = preflight(any(credentials), "https://shop.example", "PUT", "authorization");
        assert!(said.is_empty(), "the wildcard does not cover it: {said:?}");
    }
    let named = policy::Cors { headers: list(&["*", "Authorization"]), ..any(false) };
    let said = preflight(named, "https://other.example", "GET", "authorization");
    assert!(said.contains(&"access-control-allow-headers: *, authorization".to_owned()), "{said:?}");
}

#[test]
fn an_answer_names_the_origin_that_may_read_it_and_varies_by_it() {
    let shared = answered(shop(), Some("https://shop.example"));
    assert_eq!(
        lines(&shared),
        [
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-origin", "https://shop.example"),
            ("access-control-expose-headers", "X-Total"),
            ("vary", "Accept"),
            ("vary", "Origin"),
        ]
    );
    for origin in [Some("https://other.example"), None] {
        let withheld = answered(shop(), origin);
        assert_eq!(lines(&withheld), [("vary", "Accept"), ("vary", "Origin")], "{origin:?}");
    }
}

#[test]
fn an_answer_that_is_for_all_is_the_same_for_all() {
    let cors = policy::Cors {
        origins: list(&["*"]),
        expose: list(&["*"]),
        credentials: true,
        ..policy::Cors::default()
    };
    for origin in [Some("https://other.example"), Some("null"), None] {
        let shared = answered(cors.clone(), origin);
        let expected = [
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "*"),
            ("vary", "Accept"),
        ];
        assert_eq!(lines(&shared), expected, "{origin:?}");
    }
    let named = policy::Cors { origins: list(&["null"]), expose: list(&["*", "a"]), ..cors };
    let shared = answered(named, Some("null"));
    assert_eq!(shared["access-control-expose-headers"], "a", "with credentials `*` is a name like any other");
}

#[test]
fn an_answer_for_all_varies_where_some_are_named() {
    let cors = policy::Cors { origins: list(&["*", "https://shop.example"]), expose: vec![], ..shop() };
    let named = answered(cors.clone(), Some("https://shop.example"));
    assert_eq!(named["access-control-allow-credentials"], "true");
    let other = answered(cors.clone(), Some("https://other.example"));
    let expected = [("access-control-allow-origin", "*"), ("vary", "Accept"), ("vary", "Origin")];
    assert_eq!(lines(&other), expected, "and no credentials");
    assert_eq!(lines(&answered(cors, None)), expected[1..]);
}

#[test]
fn what_is_no_preflight_goes_on() {
    let options = || Scene { method: Method::OPTIONS, ..Scene::get("*") };
    assert!(options().pass(&policy(shop())).is_ok());
    assert!(options().with("origin", "https://shop.example").pass(&policy(shop())).is_ok());
    assert!(options().with("access-control-request-method", "PUT").pass(&policy(shop())).is_ok());
    let get =
        Scene::get("/").with("origin", "https://shop.example").with("access-control-request-method", "PUT");
    assert!(get.pass(&policy(shop())).is_ok());
}

#[test]
fn an_origin_is_found_however_it_was_configured() {
    for configured in ["HTTPS://Shop.Example", "https://shop.example/", "https://shop.example:443"] {
        let cors = policy::Cors { origins: list(&[configured]), ..policy::Cors::default() };
        assert!(!preflight(cors, "https://shop.example", "GET", "").is_empty(), "{configured}");
    }
    let cors = policy::Cors { origins: list(&["https://*", "*.example", "https://a*.example"]), ..shop() };
    assert!(preflight(cors, "https://a1.example", "GET", "").is_empty(), "no other wildcard is known");
}
