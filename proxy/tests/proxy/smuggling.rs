//! Requests that two programs could read differently go nowhere.
//!
//! Each case is sent with another request right behind it on the same connection. A request that is refused is answered
//! once, with `proxy-status`, and the connection ends: what stood behind it is never looked at. One that goes on reaches
//! the backend in one form that leaves nothing to interpret.

use crate::common::raw::{Raw, mesh, split, statuses, text, until_closed};

/// What stands behind each case; the backend must see it only where the case itself went on.
const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nhost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn raws(count: usize) -> Vec<Raw> {
    let mut backends = Vec::new();
    for _ in 0..count {
        backends.push(Raw::answering(OK).await);
    }
    backends
}

/// Sends each case and sees that it is refused with its status; a body that breaks off `may_begin` at the backend.
async fn refused(cases: &[(&str, &[u8], u16)], may_begin: bool) {
    let backends = raws(cases.len()).await;
    let (_mesh, ports) = mesh(&backends).await;
    let exchanges = cases.iter().zip(&ports).map(|((_, case, _), port)| {
        let request = [case, BEHIND].concat();
        async move { until_closed(*port, &request, false).await }
    });
    let answers = futures::future::join_all(exchanges).await;
    let mut wrong = Vec::new();
    for (((name, _, status), backend), came) in cases.iter().zip(&backends).zip(&answers) {
        let (answer, seen) = (text(came), text(&backend.bytes()));
        let lower = answer.to_ascii_lowercase();
        let refused = statuses(came) == [*status] && split(came).1.is_empty();
        let said = lower.contains("\r\nproxy-status: ") && lower.contains("\r\nconnection: close\r\n");
        let kept =
            (may_begin || seen.is_empty()) && backend.requests().is_empty() && !seen.contains("/behind");
        if !(refused && said && kept) {
            wrong.push(format!("{name}: not {status} but {answer:?}; the backend saw {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const LENGTHS: &[(&str, &[u8], u16)] = &[
    (
        "length, then coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "coding, then length",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "length 0 and coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "length and unknown coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: x\r\n\r\n",
        400,
    ),
    (
        "two equal lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        400,
    ),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 0\r\n\r\nok", 400),
    (
        "two lengths, spelled differently",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\ncontent-LENGTH: 0\r\n\r\nok",
        400,
    ),
    ("list of equal lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nok", 400),
    ("list of lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2,0\r\n\r\nok", 400),
    ("length +2", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nok", 400),
    ("length -2", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nok", 400),
    ("length with a space within", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2 0\r\n\r\nok", 400),
    ("length in base 16", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nok", 400),
    ("length in letters", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: a\r\n\r\nok", 400),
    ("length with a fraction", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2.0\r\n\r\nok", 400),
    ("length with an exponent", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2e0\r\n\r\nok", 400),
    ("length of other digits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa2\r\n\r\nok", 400),
    ("no length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nok", 400),
    ("length in quotes", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"2\"\r\n\r\nok", 400),
    (
        "length above 64 bits",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551618\r\n\r\nok",
        400,
    ),
    (
        "length above 32 digits",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00000000000000000000000000000002\r\n\r\nok",
        400,
    ),
];

const CODINGS: &[(&str, &[u8], u16)] = &[
    ("chunked twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked on two lines", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked and identity on two lines", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501),
    ("identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    ("identity, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501),
    ("gzip, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked, gzip", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 501),
    ("xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("chunkedx", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 501),
    ("a comma before", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n", 501),
    ("a comma behind", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 501),
    ("chunked with a parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501),
    ("chunked in quotes", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501),
    ("no coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 501),
    ("chunked with a vertical tab before", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked with a vertical tab behind", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n", 400),
    ("chunked with a form feed", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0cchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked with a byte above ASCII", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n", 501),
    ("chunked in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked in HTTP/1.0 with keep-alive", b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a space before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("a tab before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a byte of zeroes before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a space before the name", b"POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("folded", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("a carriage return before the name", b"POST / HTTP/1.1\r\nHost: a\r\n\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("hidden behind a line feed", b"POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("hidden behind a carriage return", b"POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
];

const LINES: &[(&str, &[u8], u16)] = &[
    ("folded field", b"GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\n\r\n", 400),
    ("folded by a tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n\ttwo\r\n\r\n", 400),
    ("folded first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("folded to an empty line", b"GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n \r\n\r\n", 400),
    ("line feeds alone", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("a line feed alone behind the first line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("a line feed alone behind a field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    ("a line feed alone at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("a line feed before", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a carriage return alone in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: one\rtwo\r\n\r\n", 400),
    ("a carriage return alone in the target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("carriage returns at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400),
    ("two carriage returns", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    ("zero in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", 400),
    ("zero in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n", 400),
    ("zero in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a control character in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x01: y\r\n\r\n", 400),
    ("a control character in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x08z\r\n\r\n", 400),
    ("delete in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x7f\r\n\r\n", 400),
    ("a byte above ASCII in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n", 400),
    ("a space in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n", 400),
    ("an empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
    ("a parenthesis in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX(: y\r\n\r\n", 400),
    ("two spaces in the first line", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab in the first line", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("a space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a space before the method", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a method that is no token", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
];

const FIRST_LINES: &[(&str, &[u8], u16)] = &[
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("two equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    ("two Hosts behind a URL", b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("Host with a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("URL with a user", b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("URL without a host", b"GET http:///path HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("URL with a fragment", b"GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("URL of another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("fragment", b"GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a path that does not begin with one", b"GET path HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("* with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("HTTP/0.9", b"GET /\r\n\r\n", 400),
    ("HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("http/1.1", b"GET / http/1.1\r\nHost: a\r\n\r\n", 505),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    ("CONNECT with a body", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 2\r\n\r\nok", 405),
];

macro_rules! chunked {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

const CHUNKS: &[(&str, &[u8], u16)] = &[
    ("no size", chunked!("\r\nok\r\n0\r\n\r\n"), 400),
    ("size in letters", chunked!("g\r\nok\r\n0\r\n\r\n"), 400),
    ("size 0x2", chunked!("0x2\r\nok\r\n0\r\n\r\n"), 400),
    ("size +2", chunked!("+2\r\nok\r\n0\r\n\r\n"), 400),
    ("size -2", chunked!("-2\r\nok\r\n0\r\n\r\n"), 400),
    ("a space before the size", chunked!(" 2\r\nok\r\n0\r\n\r\n"), 400),
    ("a form feed behind the size", chunked!("2\x0c\r\nok\r\n0\r\n\r\n"), 400),
    ("something behind the size", chunked!("2 x\r\nok\r\n0\r\n\r\n"), 400),
    ("size above 64 bits", chunked!("10000000000000002\r\nok\r\n0\r\n\r\n"), 400),
    ("size of 64 ones", chunked!("ffffffffffffffff\r\nok\r\n0\r\n\r\n"), 400),
    ("size line ends with a line feed", chunked!("2\nok\r\n0\r\n\r\n"), 400),
    ("size line ends with a carriage return", chunked!("2\rok\r\n0\r\n\r\n"), 400),
    ("chunk ends with a line feed", chunked!("2\r\nok\n0\r\n\r\n"), 400),
    ("chunk longer than its size", chunked!("2\r\nokay\r\n0\r\n\r\n"), 400),
    ("chunk shorter than its size", chunked!("5\r\nok\r\n0\r\n\r\n"), 400),
    ("nothing behind a chunk", chunked!("2\r\nok0\r\n\r\n"), 400),
    ("zero in an extension", chunked!("2;a=\0\r\nok\r\n0\r\n\r\n"), 400),
    ("a carriage return in an extension", chunked!("2;a=\rb\r\nok\r\n0\r\n\r\n"), 400),
    ("a line feed in an extension", chunked!("2;a=\nb\r\nok\r\n0\r\n\r\n"), 400),
    ("end with a line feed", chunked!("2\r\nok\r\n0\n\r\n"), 400),
    ("folded trailer", chunked!("2\r\nok\r\n0\r\nx: y\r\n z\r\n\r\n"), 400),
    ("a space before a trailer's colon", chunked!("2\r\nok\r\n0\r\nx : y\r\n\r\n"), 400),
    ("a trailer that is none", chunked!("2\r\nok\r\n0\r\nGET / HTTP/1.1\r\n\r\n"), 400),
    ("a trailer ends with a line feed", chunked!("2\r\nok\r\n0\r\nx: y\n\r\n"), 400),
];

#[tokio::test]
async fn lengths_that_can_be_read_in_two_ways_are_refused() {
    refused(LENGTHS, false).await;
}

#[tokio::test]
async fn codings_that_can_be_read_in_two_ways_are_refused() {
    refused(CODINGS, false).await;
}

#[tokio::test]
async fn lines_that_can_be_read_in_two_ways_are_refused() {
    refused(LINES, false).await;
}

#[tokio::test]
async fn first_lines_and_hosts_that_can_be_read_in_two_ways_are_refused() {
    refused(FIRST_LINES, false).await;
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_break_the_request_off() {
    refused(CHUNKS, true).await;
    let bomb = [chunked!("2;"), "x".repeat(2000).as_bytes(), b"\r\nok\r\n0\r\n\r\n"].concat();
    let trailers = [chunked!("2\r\nok\r\n0\r\nx: "), "y".repeat(20_000).as_bytes(), b"\r\n\r\n"].concat();
    let many = [chunked!("2\r\nok\r\n0\r\n"), "x: y\r\n".repeat(100).as_bytes(), b"\r\n"].concat();
    refused(&[("extension", &bomb, 400), ("trailers", &trailers, 400), ("many trailers", &many, 400)], true)
        .await;
}

/// A name, what is sent, and how it looks at the backend: parts that are there, and parts that are not.
type Forwarded = (&'static str, &'static [u8], &'static [&'static str], &'static [&'static str]);

/// What goes on; what stands behind it goes on too.
const FORWARDED: &[Forwarded] = &[
    ("another host in a URL", b"GET http://b:8/p?q HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /p?q HTTP/1.1\r\n", "\r\nHost: b:8\r\n"], &["Host: a"]),
    ("a URL without a path", b"GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n", &["GET /?q HTTP/1.1\r\nHost: b\r\n"], &[]),
    ("* with OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["OPTIONS * HTTP/1.1\r\n"], &[]),
    ("lower-case method", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", &["get / HTTP/1.1\r\n"], &[]),
    ("unknown method", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", &["BREW / HTTP/1.1\r\n"], &[]),
    ("GET with a body", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok", &["Content-Length: 2\r\n", "\r\n\r\nok"], &[]),
    ("a body that looks like a request", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\nGET /x HTTP/1.1\n", &["\r\n\r\nGET /x HTTP/1.1\n"], &[]),
    ("length with zeroes before", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 002\r\n\r\nok", &["\r\n\r\nok"], &[]),
    ("length named as one of the connection's", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\nContent-Length: 2\r\n\r\nok", &["Host: a", "Content-Length: 2", "\r\n\r\nok"], &["onnection"]),
    ("coding named as one of the connection's", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", &["\r\nTransfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"], &["onnection"]),
    ("what the proxy adds named as the connection's", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n", &["x-forwarded-for: 127.0.0.1"], &["6.6.6.6"]),
    ("chunked spelled otherwise", b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING:\t CHUNKED \t\r\n\r\n2\r\nok\r\n0\r\n\r\n", &["\r\nTransfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"], &["CHUNKED"]),
    ("extensions and spaces of chunks", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n002 ;a=\"b\"\r\nok\r\n0;c\r\n\r\n", &["\r\n\r\n2\r\nok\r\n0\r\n\r\n"], &[";"]),
    ("underscores", b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nok", &["Content_Length: 9", "\r\n\r\nok"], &[]),
    ("HTTP/1.0 with keep-alive", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n", &["GET / HTTP/1.1\r\n"], &["onnection"]),
    ("an empty line before", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / HTTP/1.1\r\n"], &[]),
    ("an expectation of another kind", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", &["Expect: 200-ok\r\n"], &[]),
    ("TE is the connection's", b"GET / HTTP/1.1\r\nHost: a\r\nTE: chunked, trailers;q=0\r\nConnection: TE\r\n\r\n", &[], &["chunked", "TE:"]),
    ("h2c without settings", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", &[], &["h2c", "pgrade"]),
    ("h2c with another request behind it", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n", &[], &["h2c", "pgrade", "HTTP2"]),
    ("h2c with a body", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\nContent-Length: 2\r\n\r\nok", &["\r\n\r\nok"], &["h2c", "pgrade", "HTTP2"]),
    ("trailers", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\nTransfer-Encoding: x\r\nHost: b\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: y\r\nCookie: z\r\n\r\n", &["2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"], &["ontent-", "Host: b", "host: b", "lose", "6.6.6.6", "uthorization", "ookie"]),
    ("trailers that all go", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 7\r\n\r\n", &["2\r\nok\r\n0\r\n\r\n"], &["ontent-"]),
];

#[tokio::test]
async fn what_goes_on_has_one_meaning() {
    let backends = raws(FORWARDED.len()).await;
    let (_mesh, ports) = mesh(&backends).await;
    let exchanges = FORWARDED.iter().zip(&ports).map(|((_, case, _, _), port)| {
        let request = [case, BEHIND].concat();
        async move { until_closed(*port, &request, true).await }
    });
    let answers = futures::future::join_all(exchanges).await;
    let mut wrong = Vec::new();
    for (((name, _, there, not_there), backend), came) in FORWARDED.iter().zip(&backends).zip(&answers) {
        let requests = backend.requests();
        let seen = text(&backend.bytes());
        let first = requests.first().cloned().unwrap_or_default();
        let right = statuses(came) == [200, 200]
            && requests.len() == 2
            && requests[1].starts_with("GET /behind HTTP/1.1\r\n")
            && there.iter().all(|part| first.contains(part))
            && !not_there.iter().any(|part| first.contains(part));
        if !right {
            wrong.push(format!("{name}: {:?}; the backend saw {seen:?}", text(came)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
