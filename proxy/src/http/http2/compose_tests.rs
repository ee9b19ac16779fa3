//! Heads on their way to HTTP/2 and back.

use super::*;
use crate::http::{
    head::{
        parse::{self, Bounds},
        strategies::{request_head, response_head},
    },
    http2::{fields, hpack::Decoder},
};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 256 };

fn http1(head: &[u8]) -> (RequestHead, Hop) {
    let request = parse::request(&mut BytesMut::from(head), BOUNDS).unwrap().unwrap();
    let hop = hygiene::hop(&request.head, request.version);
    (request, hop)
}

/// What an endpoint of HTTP/2 reads of a request.
fn sent(head: &[u8], edits: &[Edit], protocol: Option<&str>) -> Result<RequestHead, Unspeakable> {
    let (request, hop) = http1(head);
    let translated = Request::new(&request, &request.target, &Scheme::HTTP, &hop, edits, protocol)?;
    let mut out = BytesMut::new();
    translated.write(&mut out);
    Ok(fields::request(&mut Decoder::new(4096), &out, 256 * 1024).unwrap().unwrap().0)
}

fn lines(head: &Head) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines: Vec<_> =
        head.fields().map(|(name, value, _)| (text(name).to_ascii_lowercase(), text(value))).collect();
    lines.retain(|(name, _)| name != "host");
    lines
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_goes_to_http_2_has_nothing_of_the_connection() {
    let head = b"POST /x?y HTTP/1.1\r\nHost: a:8\r\nConnection: close, z\r\nZ: 1\r\nTE: gzip, trailers\r\n\
        Transfer-Encoding: chunked\r\nUpgrade: x\r\nX-A: 1\r\nx-a: 2\r\n\r\n";
    let edits = [Edit::Set(HeaderName::from_static("x-b"), HeaderValue::from_static("3"))];
    let request = sent(head, &edits, None).unwrap();
    assert_eq!((request.host.as_deref(), &request.target[..]), (Some(&b"a:8"[..]), &b"/x?y"[..]));
    let expected = [("x-a", "1"), ("x-a", "2"), ("x-b", "3"), ("te", "trailers")];
    assert_eq!(lines(&request.head), pairs(&expected));
    let host = [Edit::Set(header::HOST, HeaderValue::from_static("b"))];
    let request = sent(head, &host, None).unwrap();
    assert_eq!((request.host.as_deref(), request.head.get("host")), (Some(&b"b"[..]), None));
}

#[test]
fn what_is_no_authority_is_not_sent() {
    for wrong in ["a\"b", "[", "[::1", "a]b", "a[b]"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {wrong}\r\n\r\n");
        assert_eq!(sent(head.as_bytes(), &[], None).unwrap_err(), Unspeakable, "{wrong}");
    }
    for fine in ["a", "a:8", "[::1]", "[::1]:8", "a_b.c"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {fine}\r\n\r\n");
        let request = sent(head.as_bytes(), &[], None).unwrap();
        assert_eq!(request.host.as_deref(), Some(fine.as_bytes()));
    }
    assert_eq!(sent(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &[], None).unwrap().host, None);
}

#[test]
fn a_websocket_is_asked_for_by_an_extended_connect_without_its_key() {
    let head = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let key = [Edit::Set(HeaderName::from_static("sec-websocket-key"), HeaderValue::from_static("y"))];
    for edits in [&key[..], &[]] {
        let request = sent(head, edits, Some("websocket")).unwrap();
        assert_eq!((request.method, request.protocol.as_deref()), (Method::CONNECT, Some(&b"websocket"[..])));
        assert_eq!(lines(&request.head), pairs(&[("sec-websocket-version", "13")]));
    }
}

#[test]
fn an_agreement_is_a_200_without_the_proof() {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    let response = parse::response(&mut BytesMut::from(&head[..]), BOUNDS).unwrap().unwrap();
    let hop = hygiene::hop(&response.head, response.version);
    let mut out = BytesMut::new();
    agreement(&mut out, &response, &hop, &[]);
    let (came, _) = fields::response(&mut Decoder::new(4096), &out, 4096).unwrap().unwrap();
    assert_eq!((came.status, lines(&came.head)), (200, pairs(&[("sec-websocket-protocol", "chat")])));
}

#[test]
fn what_has_no_body_by_its_status_says_no_length() {
    for (status, length) in [(103, None), (204, None), (304, Some(&b"5"[..])), (200, Some(b"5"))] {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
        let sent = parse::response(&mut BytesMut::from(head.as_str()), BOUNDS).unwrap().unwrap();
        let mut out = BytesMut::new();
        response(&mut out, &sent, &Hop::default(), &[]);
        let (came, _) = fields::response(&mut Decoder::new(4096), &out, 4096).unwrap().unwrap();
        assert_eq!(came.head.get("content-length"), length, "{status}");
    }
}

proptest! {
    #[test]
    fn a_request_comes_back_from_http_2(head in request_head()) {
        let (request, _) = http1(&head);
        let came = sent(&head, &[], None).unwrap();
        prop_assert_eq!(&came.method, &request.method);
        prop_assert_eq!(&came.target, &request.target);
        prop_assert_eq!(&came.host, &request.host);
        let sorted = |head: &Head| {
            let mut lines = lines(head);
            lines.sort_by(|one, other| one.0.cmp(&other.0)); // cookies move to the end
            lines
        };
        prop_assert_eq!(sorted(&came.head), sorted(&request.head));
    }

    #[test]
    fn an_answer_comes_back_from_http_2(head in response_head()) {
        let sent = parse::response(&mut BytesMut::from(&head[..]), BOUNDS).unwrap().unwrap();
        prop_assume!(sent.status != 101); // which HTTP/2 does not have
        let mut out = BytesMut::new();
        response(&mut out, &sent, &Hop::default(), &[]);
        let (came, _) = fields::response(&mut Decoder::new(4096), &out, 256 * 1024).unwrap().unwrap();
        let mut expected = lines(&sent.head);
        expected.retain(|(name, _)| name != "content-length" || !matches!(sent.status, 100..=199 | 204));
        prop_assert_eq!((came.status, lines(&came.head)), (sent.status, expected));
    }
}
