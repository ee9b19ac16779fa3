//! How answers of the proxy's own are written.

use super::*;
use crate::middleware::fixture::Scene;
use proptest::prelude::*;
use weft_contract::{
    Policy,
    policy::{Actions, Cors, HeaderChange},
};

fn written(fields: &[(HeaderName, HeaderValue)]) -> Vec<String> {
    fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn a_person_reads_a_line_and_a_program_the_cause() {
    let answer = Answer::of(Cause::NoEndpoint).with_text("no endpoint of shop/web:80 is ready");
    let Rendered { status, fields, body } = answer.render("", false);
    assert_eq!((status, body.as_deref()), (503, Some("weft: no endpoint of shop/web:80 is ready\n")));
    assert_eq!(
        written(&fields),
        [
            "content-type: text/plain; charset=utf-8",
            "proxy-status: weft; error=destination_unavailable; details=\"no_endpoint\"",
        ]
    );
}

#[test]
fn a_grpc_client_gets_all_in_the_head() {
    let answer = Answer::of(Cause::RateLimited)
        .with_text("100 % of what you may ask for")
        .with_retry_after(Duration::from_millis(1_500));
    let Rendered { status, fields, body } = answer.render("node-1", true);
    assert_eq!((status, body), (200, None));
    assert_eq!(
        written(&fields),
        [
            "content-type: application/grpc",
            "grpc-status: 8",
            "grpc-message: weft: 100 %25 of what you may ask for",
            "grpc-retry-pushback-ms: 1500",
            "proxy-status: weft; error=http_request_denied; details=\"rate_limited\"; node=\"node-1\"",
            "retry-after: 2",
        ]
    );
}

#[test]
fn retry_after_is_in_whole_seconds_rounded_up() {
    let cases = [(0, "0"), (1, "1"), (999, "1"), (1_000, "1"), (1_001, "2"), (u64::MAX, "18446744073709552")];
    for (milliseconds, expected) in cases {
        let answer = Answer::of(Cause::Overloaded).with_retry_after(Duration::from_millis(milliseconds));
        assert!(written(&answer.fields("")).contains(&format!("retry-after: {expected}")), "{milliseconds}");
    }
    let longest = Answer::of(Cause::Overloaded).with_retry_after(Duration::MAX);
    assert_eq!(longest.fields("").len(), 3);
}

#[test]
fn every_cause_is_a_structured_field_with_its_flag() {
    for cause in Cause::ALL {
        let fields = Answer::of(cause).fields("node-1.example");
        let (_, status) = fields.iter().find(|(name, _)| *name == PROXY_STATUS).unwrap();
        let status = status.to_str().unwrap();
        let mut parts = status.split("; ");
        assert_eq!(parts.next(), Some("weft"));
        if let Some(error) = cause.proxy_status() {
            // A token of RFC 8941.
            assert!(error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{error}");
            assert_eq!(parts.next(), Some(format!("error={error}").as_str()));
        }
        assert_eq!(parts.next(), Some(format!("details=\"{}\"", cause.flag()).as_str()));
        assert_eq!(parts.next(), Some("node=\"node-1.example\""));
        assert_eq!(parts.next(), None);
    }
}

#[test]
fn a_node_that_would_break_the_field_is_left_out() {
    for node in ["", "a\"b", "a\\b", "a\r\nb", "ü"] {
        let value = proxy_status(Cause::Internal, node).unwrap();
        assert_eq!(value, "weft; error=proxy_internal_error; details=\"internal\"", "{node}");
    }
}

#[test]
fn a_status_of_its_own_decides_the_code_for_grpc() {
    let cases =
        [(503, 14), (401, 16), (403, 7), (404, 12), (400, 13), (429, 14), (500, 2), (418, 2), (200, 2)];
    for (status, code) in cases {
        assert_eq!(Answer::of(Cause::Fault).with_status(status).grpc_code(), code, "{status}");
    }
    assert_eq!(Answer::of(Cause::RateLimited).grpc_code(), 8, "else the cause does");
    assert_eq!(Answer::of(Cause::Answered).with_status(302).grpc_code(), 2, "a redirect is no success");
}

#[test]
fn a_status_without_a_body_has_none() {
    for status in [204, 205, 304] {
        let rendered = Answer::of(Cause::Fault).with_status(status).render("", false);
        assert_eq!(rendered.body, None);
        assert!(!written(&rendered.fields).iter().any(|line| line.starts_with("content-type")));
    }
}

#[test]
fn a_refused_method_comes_with_those_that_are_not() {
    assert!(
        written(&Answer::of(Cause::MethodRefused).fields("")).iter().any(|line| line.starts_with("allow: "))
    );
}

#[test]
fn a_page_of_another_origin_may_read_why_it_failed() {
    let cors = Cors { origins: vec!["https://shop.example".into()], ..Cors::default() };
    let response_headers = vec![HeaderChange::Add("x-endpoint".into(), "1".into())];
    let actions = Actions { cors: Some(cors), response_headers, ..Actions::default() };
    let policy = Policy { actions, ..Policy::default() };
    let changes = Scene::get("/").with("origin", "https://shop.example").pass(&policy).unwrap();
    let answer = Answer::of(Cause::NoEndpoint).with_cors(&changes);
    assert_eq!(
        written(&answer.headers),
        ["access-control-allow-origin: https://shop.example", "vary: Origin"]
    );
}

/// What a gRPC client makes of a message.
fn decoded(encoded: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), encoded.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at(2);
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn a_grpc_message_comes_back(text in ".*|[%\r\n\t\0 ~\u{7f}]*") {
        let encoded = percent_encoded(&text);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{encoded}");
        prop_assert_eq!(decoded(&encoded), text);
    }
}
