//! What is written is what was read, but for what the way changes.

use super::*;
use crate::http::head::{
    parse::{self, Bounds},
    strategies::{request_head, response_head},
};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 256 };

fn read(bytes: &[u8]) -> RequestHead {
    parse::request(&mut BytesMut::from(bytes), BOUNDS).unwrap().unwrap()
}

/// What a request looks like when it was written.
fn written(bytes: &[u8], edits: &[Edit], own: Own<'_>) -> String {
    let head = read(bytes);
    let hop = hygiene::hop(&head.head, head.version);
    let mut out = BytesMut::new();
    request(&mut out, &head, &head.target.clone(), &hop, edits, own);
    String::from_utf8(out.to_vec()).unwrap()
}

fn fields(head: &Head) -> Vec<(Vec<u8>, Vec<u8>)> {
    head.fields().map(|(name, value, _)| (name.to_vec(), value.to_vec())).collect()
}

#[test]
fn lines_that_stay_are_copied_to_the_byte() {
    let head = b"GET /x HTTP/1.1\r\nhOST:  web\r\nX-a:1\r\nCookie:\tb \r\nEmpty:\r\n\r\n";
    assert_eq!(written(head, &[], Own::default()).as_bytes(), head);
}

#[test]
fn fields_of_the_connection_are_replaced_by_our_own() {
    let head =
        b"POST / HTTP/1.1\r\nHost: a\r\nA: 1\r\nConnection: close, b\r\nB: 2\r\nKeep-Alive: 5\r\nC: 3\r\n\
        Proxy-Connection: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nD: 4\r\n\r\n";
    let lines = "POST / HTTP/1.1\r\nHost: a\r\nA: 1\r\nC: 3\r\nD: 4\r\n";
    let cases = [
        (Own::default(), ""),
        (Own { close: true, ..Own::default() }, "Connection: close\r\n"),
        (Own { keep_alive: true, ..Own::default() }, "Connection: keep-alive\r\n"),
        (Own { chunked: true, ..Own::default() }, "Transfer-Encoding: chunked\r\n"),
        (Own { length: Some(0), ..Own::default() }, "Content-Length: 0\r\n"),
        (Own { length: Some(u64::MAX), ..Own::default() }, "Content-Length: 18446744073709551615\r\n"),
        (Own { trailers: true, ..Own::default() }, "TE: trailers\r\nConnection: TE\r\n"),
        (Own { trailers: true, close: true, ..Own::default() }, "TE: trailers\r\nConnection: close, TE\r\n"),
        (
            Own { upgrade: Some(b"websocket"), ..Own::default() },
            "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        ),
    ];
    for (own, expected) in cases {
        assert_eq!(written(head, &[], own), format!("{lines}{expected}\r\n"), "{own:?}");
    }
}

#[test]
fn a_length_goes_where_it_does_not_say_what_is_sent() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let has = |own| written(head, &[], own).matches("Content-Length").count();
    assert_eq!(has(Own::default()), 1);
    assert_eq!(has(Own { chunked: true, ..Own::default() }), 0);
    assert_eq!(has(Own { without_length: true, ..Own::default() }), 0);
    assert_eq!(has(Own { length: Some(7), ..Own::default() }), 1);
}

#[test]
fn there_is_one_host_whatever_was_sent() {
    let set = [Edit::Set(http::header::HOST, HeaderValue::from_static("c"))];
    for (head, expected) in [
        (&b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"[..], "b"),
        (b"GET http://b/ HTTP/1.1\r\n\r\n", "b"),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a"),
    ] {
        for (edits, expected) in [(&[][..], expected), (&set[..], "c")] {
            let again = read(written(head, edits, Own::default()).as_bytes());
            assert_eq!(again.head.of_kind(Kind::Host).collect::<Vec<_>>(), [expected.as_bytes()]);
        }
    }
}

#[test]
fn edits_act_in_their_order() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nX_Two: 3\r\nY: 4\r\n\r\n";
    let one = HeaderName::from_static("x-one");
    let value = HeaderValue::from_static;
    let cases = [
        (vec![Edit::Set(one.clone(), value("9"))], "Host: a\r\nX_Two: 3\r\nY: 4\r\nx-one: 9\r\n"),
        (
            vec![Edit::Add(one.clone(), value("9"))],
            "Host: a\r\nX-One: 1\r\nx-one: 2\r\nX_Two: 3\r\nY: 4\r\nx-one: 9\r\n",
        ),
        (vec![Edit::RemovePrefix("x-")], "Host: a\r\nY: 4\r\n"),
        (
            vec![Edit::Add(one.clone(), value("9")), Edit::Remove(one.clone())],
            "Host: a\r\nX_Two: 3\r\nY: 4\r\n",
        ),
        (
            vec![Edit::Remove(one.clone()), Edit::Add(one, value("9"))],
            "Host: a\r\nX_Two: 3\r\nY: 4\r\nx-one: 9\r\n",
        ),
    ];
    for (edits, lines) in cases {
        assert_eq!(
            written(head, &edits, Own::default()),
            format!("GET / HTTP/1.1\r\n{lines}\r\n"),
            "{edits:?}"
        );
    }
}

#[test]
fn a_status_line_has_a_reason_where_one_is_known() {
    for (status, reason, line) in [
        (200, "", "HTTP/1.1 200 OK\r\n\r\n"),
        (200, "OK", "HTTP/1.1 200 OK\r\n\r\n"),
        (200, "Fine", "HTTP/1.1 200 Fine\r\n\r\n"),
        (404, "", "HTTP/1.1 404 Not Found\r\n\r\n"),
        (599, "", "HTTP/1.1 599 \r\n\r\n"),
    ] {
        let (version, head) = (http::Version::HTTP_11, Head::default());
        let answer = ResponseHead { status, reason: reason.into(), version, head };
        let mut out = BytesMut::new();
        response(&mut out, &answer, &Hop::default(), &[], Own::default());
        assert_eq!(&out[..], line.as_bytes());
    }
}

proptest! {
    #[test]
    fn a_request_parses_back_to_the_same(head in request_head()) {
        let first = read(&head);
        let again = read(written(&head, &[], Own::default()).as_bytes());
        prop_assert_eq!(&first.method, &again.method);
        prop_assert_eq!(&first.target, &again.target);
        prop_assert_eq!(&first.host, &again.host);
        let others = |head: &RequestHead| {
            fields(&head.head).into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"host")).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&first), others(&again));
    }

    #[test]
    fn an_answer_parses_back_to_the_same(head in response_head()) {
        let first = parse::response(&mut BytesMut::from(&head[..]), BOUNDS).unwrap().unwrap();
        let mut out = BytesMut::new();
        response(&mut out, &first, &hygiene::hop(&first.head, first.version), &[], Own::default());
        let again = parse::response(&mut out, BOUNDS).unwrap().unwrap();
        prop_assert_eq!(first.status, again.status);
        prop_assert!(first.reason.is_empty() || first.reason == again.reason);
        prop_assert_eq!(fields(&first.head), fields(&again.head));
    }

    #[test]
    fn numbers_are_decimal(number in any::<u64>()) {
        let mut out = BytesMut::new();
        decimal(&mut out, number);
        prop_assert_eq!(std::str::from_utf8(&out).unwrap(), number.to_string());
    }
}
