//! What a client may send, and how slowly; and the corners of HTTP/1 in which connections end or go on.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, free_port, http,
    message::{self, exchange, read},
    raw::{Raw, statuses, until_closed},
    within,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_contract::policy::RequestLimits;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SHORT: Duration = Duration::from_millis(100);

/// A Service with these limits.
async fn limited(backend: SocketAddr, limits: RequestLimits) -> (Mesh, u16) {
    let port = free_port();
    let mut service = http("web", port, &[backend]);
    service.policy.limits = limits;
    (Mesh::with(vec![service]).await, port)
}

async fn mesh(backend: SocketAddr) -> (Mesh, u16) {
    limited(backend, RequestLimits::default()).await
}

/// Reads an answer of the proxy's own, after which the connection ends.
async fn refusal(client: &mut TcpStream) -> (u16, String) {
    let answer = within(read(client, false)).await.unwrap().expect("an answer");
    assert_eq!(answer.header("connection"), Some("close"), "{}", answer.head);
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0, "it ends");
    (answer.status(), answer.header("proxy-status").unwrap().to_owned())
}

#[tokio::test]
async fn a_head_is_bounded_in_fields_and_bytes_whole_or_not() {
    let backend = Raw::answering(OK).await;
    let limits = RequestLimits { head_bytes: 2000, header_count: 60, ..RequestLimits::default() };
    let (_mesh, port) = limited(backend.address, limits).await;
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert_eq!(ask(port, &fields(59)).await.status(), 200);
    let large = |size: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(size));
    assert_eq!(ask(port, &large(1900)).await.status(), 200);
    let without_end = "GET / HTTP/1.1\r\nhost: a\r\nx: ".to_owned() + &"y".repeat(3000);
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(3000));
    for request in [fields(60), large(2000), without_end, target, "\r\n".repeat(1500), "y".repeat(3000)] {
        let mut client = connect(port).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let (status, reason) = refusal(&mut client).await;
        assert_eq!(status, 431);
        assert!(reason.contains("head_too_large"), "{reason}");
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_slow_head_is_given_up_and_a_connection_at_rest_is_not() {
    let backend = Raw::answering(OK).await;
    let limits = RequestLimits { head_timeout: SHORT, ..RequestLimits::default() };
    let (_mesh, port) = limited(backend.address, limits).await;
    let mut client = connect(port).await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nhost: a\r\n", "PRI * HT"] {
        assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 200);
        tokio::time::sleep(2 * SHORT).await; // nothing has begun
        let mut slow = connect(port).await;
        if begun.is_empty() {
            continue;
        }
        slow.write_all(begun.as_bytes()).await.unwrap();
        let (status, reason) = refusal(&mut slow).await;
        assert_eq!(status, 408, "{begun}");
        assert!(reason.contains("request_timeout"), "{reason}");
    }
    client.write_all(b"GET / ").await.unwrap();
    assert_eq!(refusal(&mut client).await.0, 408, "also behind other requests");
}

#[tokio::test]
async fn a_slow_body_is_given_up_unless_it_moves() {
    let backend = Raw::answering(OK).await;
    let limits = RequestLimits { body_timeout: 15 * SHORT, ..RequestLimits::default() };
    let (_mesh, port) = limited(backend.address, limits).await;
    for head in ["content-length: 10\r\n\r\nab", "transfer-encoding: chunked\r\n\r\n5\r\nab"] {
        let mut client = connect(port).await;
        client.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}").as_bytes()).await.unwrap();
        let (status, reason) = refusal(&mut client).await;
        assert_eq!(status, 408);
        assert!(reason.contains("request_timeout"), "{reason}");
    }
    assert!(backend.requests().is_empty());
    let mut client = connect(port).await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await.unwrap();
    for _ in 0..9 {
        client.write_all(b"x").await.unwrap();
        tokio::time::sleep(2 * SHORT).await; // longer than the timeout in all
    }
    assert_eq!(exchange(&mut client, b"x").await.status(), 200);
}

#[tokio::test]
async fn a_body_is_bounded_by_what_it_says_and_by_what_it_is() {
    let backend = Raw::answering(OK).await;
    let limits = RequestLimits { body_bytes: 10, ..RequestLimits::default() };
    let (_mesh, port) = limited(backend.address, limits).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\n";
    for fits in [
        "content-length: 10\r\n\r\n0123456789",
        "transfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
    ] {
        assert_eq!(ask(port, &format!("{head}{fits}")).await.status(), 200);
    }
    for large in [
        "content-length: 11\r\n\r\n",
        "content-length: 9999999999999999999\r\n\r\n",
        "content-length: 11\r\nexpect: 100-continue\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n56789a",
    ] {
        let mut client = connect(port).await;
        client.write_all(format!("{head}{large}").as_bytes()).await.unwrap();
        let (status, reason) = refusal(&mut client).await;
        assert_eq!(status, 413, "{large}");
        assert!(reason.contains("body_too_large"), "{reason}");
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let backend = Raw::answering(OK).await;
    let (_mesh, port) = mesh(backend.address).await;
    let mut client = connect(port).await;
    client.set_nodelay(true).unwrap();
    let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;a\r\nok\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n";
    for byte in request.bytes() {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(within(read(&mut client, false)).await.unwrap().unwrap().text(), "ok");
    let seen = &backend.requests()[0];
    assert!(seen.ends_with("0\r\nx: y\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn a_connection_of_http_1_0_ends_unless_it_is_to_be_kept() {
    let backend = Raw::answering(OK).await;
    let (_mesh, port) = mesh(backend.address).await;
    let came = until_closed(port, b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", false).await;
    assert_eq!(statuses(&came), [200], "it ends by itself");
    let kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    let came = until_closed(port, kept, false).await;
    assert_eq!(statuses(&came), [200, 200]);
    assert!(String::from_utf8_lossy(&came).contains("Connection: keep-alive\r\n"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::http(|request| ok(request.head.split(' ').nth(1).unwrap().as_bytes())).await;
    let (_mesh, port) = mesh(backend.address).await;
    let one = |number: usize| match number % 3 {
        0 => format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
        1 => format!("POST /{number} HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"),
        _ => format!(
            "POST /{number} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        ),
    };
    let all: String = (0..60).map(one).collect();
    let came = until_closed(port, all.as_bytes(), true).await;
    let text = String::from_utf8_lossy(&came);
    let bodies: Vec<_> =
        text.split("\r\n\r\n/").skip(1).map(|part| part.split('H').next().unwrap()).collect();
    assert_eq!(bodies, (0..60).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn odd_framing_of_answers_without_a_body_does_no_harm() {
    let cases: &[(&str, &str, u16)] = &[
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304),
        ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304),
    ];
    for (method, answer, status) in cases {
        let backend = Raw::answering(*answer).await;
        let (_mesh, port) = mesh(backend.address).await;
        let mut client = connect(port).await;
        for _ in 0..3 {
            let request = format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let answer = within(read(&mut client, true)).await.unwrap().unwrap();
            assert_eq!(answer.status(), *status, "{method}: {answer:?}");
            assert_eq!(answer.header("transfer-encoding"), None, "{method}: {answer:?}");
        }
        assert_eq!(backend.requests().len(), 3);
    }
}

#[tokio::test]
async fn trailers_come_back_but_for_those_that_would_frame() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\n\
        X-Sum: 1\r\nContent-Length: 99\r\nSet-Cookie: a=b\r\nTransfer-Encoding: x\r\n\r\n";
    let backend = Raw::answering(answer).await;
    let (_mesh, port) = mesh(backend.address).await;
    let came = until_closed(port, GET.as_bytes(), true).await;
    let came = String::from_utf8(came).unwrap();
    assert!(came.contains("\r\nTrailer: x-sum\r\n"), "{came}");
    assert!(came.ends_with("\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"), "{came}");
    let old = until_closed(port, b"GET / HTTP/1.0\r\n\r\n", false).await;
    assert!(
        String::from_utf8(old).unwrap().ends_with("\r\n\r\nok"),
        "HTTP/1.0 has neither chunks nor trailers"
    );
}

#[tokio::test]
async fn interim_answers_pass_to_those_who_know_them() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: x\r\nX: y\r\n\r\n";
    let backend = Raw::answering([early.as_bytes(), early.as_bytes(), OK].concat()).await;
    let (_mesh, port) = mesh(backend.address).await;
    let came = until_closed(port, GET.as_bytes(), true).await;
    assert_eq!(statuses(&came), [103, 103, 200]);
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    assert!(came.starts_with(hint.as_bytes()), "{}", String::from_utf8_lossy(&came));
    let old = until_closed(port, b"GET / HTTP/1.0\r\n\r\n", false).await;
    assert_eq!(statuses(&old), [200]);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_chunked_for_the_client() {
    let backend = Raw::closing("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    let (_mesh, port) = mesh(backend.address).await;
    let mut client = connect(port).await;
    for _ in 0..3 {
        assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "until the end");
    }
}

#[tokio::test]
async fn an_early_answer_to_a_large_upload_arrives_and_the_next_request_is_not_lost_in_it() {
    let backend = Backend::connections(|mut stream, _, noted| async move {
        let head = message::head(&mut stream).await.unwrap().unwrap();
        noted.lock().unwrap().push(message::Message { head, body: vec![] });
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let (_mesh, port) = mesh(backend.address).await;
    for head in ["content-length: 10000000", "transfer-encoding: chunked"] {
        let mut client = connect(port).await;
        client.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
        let answer = within(read(&mut client, false)).await.unwrap().unwrap();
        assert_eq!(answer.status(), 413);
        let _ = client.write_all(b"GET /body HTTP/1.1\r\nhost: a\r\n\r\n").await; // it belongs to the body
        let mut rest = Vec::new();
        let _ = within(client.read_to_end(&mut rest)).await; // its end may be a reset
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(backend.requests().len(), 2);
}
