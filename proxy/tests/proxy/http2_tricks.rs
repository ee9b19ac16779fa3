//! Requests of HTTP/2 that two programs could read differently are refused, and never reach a backend.

use crate::common::{
    Mesh,
    backend::{Backend, ok},
    frames::{self, DATA, END_HEADERS, END_STREAM, FINE, Field, HEADERS, Outcome, Raw},
    free_port, http, http2,
};
use h2::Reason;
use weft_contract::policy::Scheme;

const METHOD: Field<'static> = (":method", b"GET");
const SCHEME: Field<'static> = (":scheme", b"http");
const PATH: Field<'static> = (":path", b"/");
const CONNECT: Field<'static> = (":method", b"CONNECT");
const PROTOCOL: Field<'static> = (":protocol", b"websocket");
const LENGTH: Field<'static> = ("content-length", b"9");
const AUTHORITY: Field<'static> = (":authority", b"web.shop.mesh");

/// The request that is fine, with these besides.
fn with(more: &[Field<'static>]) -> Vec<Field<'static>> {
    [&FINE[..], more].concat()
}

/// The same with another value for one pseudo-header.
fn but(name: &'static str, value: &'static [u8]) -> Vec<Field<'static>> {
    FINE.iter().map(|field| if field.0 == name { (name, value) } else { *field }).collect()
}

const MALFORMED: Outcome = Outcome::Reset(Reason::PROTOCOL_ERROR);

fn tricks() -> Vec<(&'static str, Vec<Field<'static>>, Outcome)> {
    let bad = Outcome::Answer(400);
    vec![
        ("no method", vec![SCHEME, PATH, AUTHORITY], MALFORMED),
        ("no scheme", vec![METHOD, PATH, AUTHORITY], MALFORMED),
        ("no path", vec![METHOD, SCHEME, AUTHORITY], MALFORMED),
        ("an empty path", but(":path", b""), MALFORMED),
        ("two methods", with(&[(":method", b"POST")]), MALFORMED),
        ("two paths", with(&[(":path", b"/admin")]), MALFORMED),
        ("two schemes", with(&[(":scheme", b"https")]), MALFORMED),
        ("two authorities", with(&[(":authority", b"elsewhere")]), MALFORMED),
        ("a pseudo-header behind a field", vec![METHOD, SCHEME, ("x-a", b"1"), PATH, AUTHORITY], MALFORMED),
        ("an unknown pseudo-header", [&[(":unknown", &b"1"[..])], &FINE[..]].concat(), MALFORMED),
        ("a pseudo-header of answers", [&[(":status", &b"200"[..])], &FINE[..]].concat(), MALFORMED),
        ("an upper-case name", with(&[("X-Upper", b"1")]), MALFORMED),
        ("a name with a space", with(&[("x y", b"1")]), MALFORMED),
        ("a name with a colon", with(&[("x:y", b"1")]), MALFORMED),
        ("an empty name", with(&[("", b"1")]), MALFORMED),
        ("a line feed in a name", with(&[("x\ny", b"1")]), MALFORMED),
        ("connection", with(&[("connection", b"close")]), MALFORMED),
        ("keep-alive", with(&[("keep-alive", b"5")]), MALFORMED),
        ("proxy-connection", with(&[("proxy-connection", b"close")]), MALFORMED),
        ("transfer-encoding", with(&[("transfer-encoding", b"chunked")]), MALFORMED),
        ("upgrade", with(&[("upgrade", b"h2c")]), MALFORMED),
        ("te other than trailers", with(&[("te", b"gzip")]), MALFORMED),
        ("a carriage return and line feed", with(&[("x-a", b"1\r\nx-b: 2")]), MALFORMED),
        ("a line feed", with(&[("x-a", b"1\nx-b: 2")]), MALFORMED),
        ("a carriage return", with(&[("x-a", b"1\r2")]), MALFORMED),
        ("a NUL", with(&[("x-a", b"1\x002")]), MALFORMED),
        ("a line feed in the path", but(":path", b"/a\nb"), MALFORMED),
        ("a space in the path", but(":path", b"/a HTTP/1.1\r\nx: y"), MALFORMED),
        ("a fragment", but(":path", b"/a#b"), MALFORMED),
        ("a path without a slash", but(":path", b"admin"), MALFORMED),
        ("a URL for a path", but(":path", b"http://elsewhere/"), MALFORMED),
        ("a star that is no OPTIONS", but(":path", b"*"), bad),
        ("a space in the method", but(":method", b"GET /admin"), MALFORMED),
        ("an empty method", but(":method", b""), MALFORMED),
        ("Host that differs", with(&[("host", b"elsewhere")]), bad),
        ("two Hosts", vec![METHOD, SCHEME, PATH, ("host", b"a"), ("host", b"b")], bad),
        ("userinfo", but(":authority", b"user@web.shop.mesh"), bad),
        ("userinfo in Host", vec![METHOD, SCHEME, PATH, ("host", b"user@web")], bad),
        ("a slash in Host", vec![METHOD, SCHEME, PATH, ("host", b"web/admin")], bad),
        ("a path in the authority", but(":authority", b"web/admin"), bad),
        ("two lengths", with(&[("content-length", b"0"), ("content-length", b"5")]), MALFORMED),
        ("a length that is none", with(&[("content-length", b"+5")]), MALFORMED),
        ("a length above the data", with(&[("content-length", b"5")]), MALFORMED),
        ("plain CONNECT", vec![CONNECT, (":authority", b"web:80")], Outcome::Answer(405)),
        ("a body for a WebSocket", vec![CONNECT, PROTOCOL, SCHEME, PATH, AUTHORITY, LENGTH], MALFORMED),
        ("a protocol for a GET", [&FINE[..1], &[PROTOCOL], &FINE[1..]].concat(), MALFORMED),
    ]
}

#[tokio::test]
async fn what_could_be_read_differently_is_refused() {
    let http1 = Backend::named("hello").await;
    let http2 = http2::Backend::named("hello").await;
    for (scheme, address) in [(Scheme::Http, http1.address), (Scheme::H2c, http2.address)] {
        let port = free_port();
        let mut service = http("web", port, &[address]);
        service.ports[0].scheme = scheme;
        let _mesh = Mesh::with(vec![service]).await;
        let mut wrong = Vec::new();
        for (what, fields, expected) in tricks() {
            let mut raw = Raw::connect(port).await;
            raw.ask(1, &fields).await;
            let outcome = raw.outcome(1).await;
            if outcome != expected {
                wrong.push(format!("{what}: {outcome:?}, not {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{scheme:?}: {wrong:#?}");
    }
    let reached: Vec<_> = http1.requests().into_iter().map(|request| request.head).collect();
    assert!(reached.is_empty(), "{reached:#?}");
    assert!(http2.requests().is_empty(), "{:#?}", http2.requests());
}

#[tokio::test]
async fn what_is_fine_passes() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let _mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    for (what, fields) in [
        ("as it is", FINE.to_vec()),
        ("Host that is the authority", with(&[("host", b"WEB.shop.mesh")])),
        ("Host alone", vec![METHOD, SCHEME, PATH, ("host", b"web.shop.mesh")]),
        ("neither", vec![METHOD, SCHEME, PATH]),
        ("an empty Host", vec![METHOD, SCHEME, PATH, ("host", b"")]),
        ("te: trailers", with(&[("te", b"trailers")])),
        ("a length of nothing", with(&[("content-length", b"0")])),
        ("https", but(":scheme", b"https")),
        ("OPTIONS *", vec![(":method", b"OPTIONS"), SCHEME, (":path", b"*"), AUTHORITY]),
        ("bytes above ASCII", with(&[("x-a", b"\xc3\xa4")])),
    ] {
        let mut raw = Raw::connect(port).await;
        raw.ask(1, &fields).await;
        assert_eq!(raw.outcome(1).await, Outcome::Answer(200), "{what}");
    }
    let heads: Vec<_> = backend.requests().into_iter().map(|request| request.head).collect();
    assert_eq!(heads.len(), 10);
    for head in &heads {
        assert_eq!(head.to_ascii_lowercase().matches("\r\nhost: ").count(), 1, "{head}");
        assert_eq!(head.to_ascii_lowercase().matches("x-forwarded-proto: http\r\n").count(), 1, "{head}");
    }
}

#[tokio::test]
async fn data_that_is_not_as_long_as_the_length_is_no_request() {
    // It answers when it has all, so that half a request is never answered.
    let backend = Backend::http(|_| ok(b"hello")).await;
    let port = free_port();
    let _mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    for (length, data) in [(&b"3"[..], &b"hello"[..]), (b"10", b"hello")] {
        let mut raw = Raw::connect(port).await;
        let fields = [&but(":method", b"POST")[..], &[("content-length", length)]].concat();
        raw.send(HEADERS, END_HEADERS, 1, &frames::block(&fields)).await;
        raw.send(DATA, END_STREAM, 1, data).await;
        assert_eq!(raw.outcome(1).await, MALFORMED);
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn trailers_obey_the_rules_of_fields() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let _mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    for (name, value) in
        [("connection", &b"close"[..]), (":path", b"/admin"), ("X-Upper", b"1"), ("x-a", b"1\r\nx: y")]
    {
        let mut raw = Raw::connect(port).await;
        raw.send(HEADERS, END_HEADERS, 1, &frames::block(&but(":method", b"POST"))).await;
        raw.send(DATA, 0, 1, b"hello").await;
        raw.send(HEADERS, END_HEADERS | END_STREAM, 1, &frames::block(&[(name, value)])).await;
        assert_eq!(raw.outcome(1).await, MALFORMED, "{name}");
    }
    assert!(backend.requests().is_empty());
}
