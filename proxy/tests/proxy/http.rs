//! HTTP/1 through the proxy is what it would be without it.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, dead, free_port, http,
    message::{self, exchange, read},
    within,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_contract::policy::Forwarding;

const MIB: usize = 1024 * 1024;

async fn mesh(backend: &Backend) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![http("web", port, &[backend.address])]).await, port)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn connections_are_kept_alive_on_both_sides() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    for _ in 0..20 {
        let answer = exchange(&mut client, GET.as_bytes()).await;
        assert_eq!((answer.status(), answer.text()), (200, "hello"));
    }
    assert_eq!(backend.opened(), 1);
    assert_eq!(backend.requests().len(), 20);
    assert!(backend.requests()[0].head.starts_with("GET /path?query=1 HTTP/1.1\r\n"));
    assert_eq!(backend.requests()[0].header("host"), Some("web.shop.mesh"), "passed on unchanged");
}

#[tokio::test]
async fn what_a_client_forged_is_dropped_unless_the_service_trusts_it() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    let forged = "GET / HTTP/1.1\r\nhost: a\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\n\
        X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_Proto: https\r\n\r\n";
    assert_eq!(ask(port, forged).await.status(), 200);
    let seen = &backend.requests()[0];
    assert_eq!(seen.headers("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(seen.headers("x-forwarded-proto").collect::<Vec<_>>(), ["http"]);
    assert_eq!(seen.header("x-forwarded-host"), Some("a"));
    assert!(!seen.head.contains("6.6.6.6") && !seen.head.contains("https"), "{}", seen.head);

    let mut trusting = http("web", port, &[backend.address]);
    trusting.policy.forwarding = Forwarding::Trust;
    mesh.apply(vec![trusting]).await;
    assert_eq!(ask(port, forged).await.status(), 200);
    let seen = &backend.requests()[1];
    assert_eq!(seen.headers("x-forwarded-for").collect::<Vec<_>>(), ["6.6.6.6, 7.7.7.7, 127.0.0.1"]);
}

#[tokio::test]
async fn headers_between_two_hops_stay_there() {
    let backend = Backend::http(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\n\r\n"
            .to_vec()
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 9\r\nx-end: 2\r\n\r\n";
    let mut client = connect(port).await;
    let answer = exchange(&mut client, request.as_bytes()).await;
    assert_eq!(answer.header("connection"), Some("close"), "as the client asked");
    assert!(within(read(&mut client, false)).await.unwrap().is_none(), "and closed");
    let seen = &backend.requests()[0];
    assert_eq!((seen.header("x-hop"), seen.header("keep-alive")), (None, None));
    assert_eq!(seen.header("x-end"), Some("2"));
}

#[tokio::test]
async fn chunked_bodies_pass_both_ways() {
    let backend = Backend::http(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for part in request.body.chunks(3) {
            answer.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            answer.extend_from_slice(part);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in ["5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", "0\r\n\r\n"] {
        let answer = exchange(&mut client, format!("{head}{body}").as_bytes()).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(backend.requests()[0].body, b"hello, world");
    assert_eq!(backend.requests()[1].body, b"");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let backend = Backend::http(|request| match request.head.split(' ').nth(1) {
        Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        Some("/304") => b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n".to_vec(),
        Some("/empty") => ok(b""),
        Some("/head") => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(),
        _ => ok(b"last"),
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    for (line, status) in [("HEAD /head", 200), ("GET /204", 204), ("GET /304", 304), ("GET /empty", 200)] {
        let answer = exchange(&mut client, format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
        assert_eq!((answer.status(), answer.body.len()), (status, 0), "{line}");
        if line == "HEAD /head" {
            assert_eq!(answer.header("content-length"), Some("1000"));
        }
    }
    assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "last");
    assert_eq!(backend.opened(), 1);
}

#[tokio::test]
async fn a_client_may_wait_for_100_continue() {
    let backend = Backend::named("thanks").await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(exchange(&mut client, head.as_bytes()).await.status(), 100);
    assert_eq!(exchange(&mut client, b"hello").await.text(), "thanks");
    assert_eq!(backend.requests()[0].body, b"hello");
}

#[tokio::test]
async fn a_client_that_closed_its_sending_side_gets_its_answer() {
    let backend = Backend::slow(Duration::from_millis(200), |_| ok(b"late")).await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(within(read(&mut client, false)).await.unwrap().unwrap().text(), "late");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let backend = Backend::http(|request| ok(&request.body)).await;
    let (_mesh, port) = mesh(&backend).await;
    let (mut reading, mut writing) = connect(port).await.into_split();
    let body = bytes(10 * MIB);
    let sent = body.clone();
    let writer = tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            sent.len()
        );
        writing.write_all(head.as_bytes()).await.unwrap();
        writing.write_all(&sent).await.unwrap();
        writing
    });
    let mut answer = Vec::new();
    within(reading.read_to_end(&mut answer)).await.unwrap();
    within(writer).await.unwrap();
    assert!(answer.ends_with(&body), "{} bytes came back", answer.len());
    assert!(backend.requests()[0].body == body);
}

#[tokio::test]
async fn http_1_1_without_a_host_is_refused_and_http_1_0_gets_one() {
    let backend = Backend::http(|_| {
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let refused = ask(port, "GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(refused.status(), 400, "{}", refused.text());
    let answer = ask(port, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(backend.requests()[0].header("host"), Some("web.shop"));
    assert_eq!(answer.header("transfer-encoding"), None, "HTTP/1.0 has no chunks: {}", answer.head);
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&backend).await;
    let request = |size: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n", "x".repeat(size));
    assert_eq!(ask(port, &request(60 * 1024)).await.status(), 200);
    assert_eq!(ask(port, &request(65 * 1024)).await.status(), 431);
    assert_eq!(ask(port, "nonsense\r\n\r\n").await.status(), 400);
}

#[tokio::test]
async fn without_an_endpoint_the_answer_is_503_and_the_connection_lives_on() {
    let port = free_port();
    let mut mesh = Mesh::with(vec![http("web", port, &[])]).await;
    let mut client = connect(port).await;
    for _ in 0..2 {
        let answer = exchange(&mut client, GET.as_bytes()).await;
        assert_eq!((answer.status(), answer.text()), (503, "weft: no endpoint of shop/web:80 is ready\n"));
    }
    let backend = Backend::named("there").await;
    mesh.apply(vec![http("web", port, &[backend.address])]).await;
    assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "there");
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_request_not_even_a_post() {
    let backend = Backend::named("alive").await;
    let port = free_port();
    let mesh = Mesh::with(vec![http("web", port, &[dead(), backend.address, dead()])]).await;
    let mut client = connect(port).await;
    for _ in 0..30 {
        let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(exchange(&mut client, post).await.status(), 200);
    }
    assert_eq!(backend.requests().len(), 30);
    let metrics = mesh.admin("/metrics").await;
    let failures =
        r#"weft_upstream_failures_total{namespace="shop",service="web",port="80",reason="connect_failed"}"#;
    assert!(metrics.text().contains(failures), "{}", metrics.text());
}

#[tokio::test]
async fn when_all_endpoints_are_dead_the_answer_is_502() {
    let port = free_port();
    let _mesh = Mesh::with(vec![http("web", port, &[dead(), dead()])]).await;
    assert_eq!(ask(port, GET).await.status(), 502);
}

/// Answers the first request of each connection, and closes at the second without a word.
async fn forgetful() -> Backend {
    Backend::connections(|mut stream, _, noted| async move {
        for turn in 0..2 {
            let Ok(Some(request)) = message::read(&mut stream, false).await else { return };
            noted.lock().unwrap().push(request);
            if turn == 0 {
                stream.write_all(&ok(b"once")).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_get_on_a_connection_that_went_stale_is_sent_again() {
    let backend = forgetful().await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    for _ in 0..4 {
        assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 200);
    }
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_never_sent_again() {
    let backend = forgetful().await;
    let (_mesh, port) = mesh(&backend).await;
    let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    let mut client = connect(port).await;
    assert_eq!(exchange(&mut client, post).await.status(), 200);
    assert_eq!(exchange(&mut client, post).await.status(), 502);
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_websocket_passes() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let request = message::read(&mut stream, true).await.unwrap().unwrap();
        assert_eq!(request.header("upgrade"), Some("websocket"));
        let accepted =
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(exchange(&mut client, request.as_bytes()).await.status(), 101);
    for _ in 0..3 {
        client.write_all(b"echo").await.unwrap();
        let mut echo = [0; 4];
        within(client.read_exact(&mut echo)).await.unwrap();
        assert_eq!(&echo, b"echo");
    }
}

#[tokio::test]
async fn a_request_sent_before_the_answer_to_the_last_is_answered_too() {
    let backend = Backend::slow(Duration::from_millis(200), |_| ok(b"hello")).await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(within(read(&mut client, false)).await.unwrap().unwrap().text(), "hello");
    }
}

#[tokio::test]
async fn an_answer_given_before_the_request_was_read_reaches_the_client() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        message::head(&mut stream).await.unwrap();
        let answer = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let (reading, mut writing) = connect(port).await.into_split();
    let writer = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 64 * MIB);
        writing.write_all(head.as_bytes()).await.unwrap();
        // It may fail at any time, for the answer is there.
        for _ in 0..64 {
            if writing.write_all(&vec![0; MIB]).await.is_err() {
                return writing;
            }
        }
        writing
    });
    let mut line = [0; 12];
    let mut reading = reading;
    within(reading.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 413");
    within(writer).await.unwrap();
}

#[tokio::test]
async fn half_an_answer_is_never_taken_for_a_whole_one() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let request = message::read(&mut stream, false).await.unwrap().unwrap();
        let head = match request.head.split(' ').nth(1) {
            Some("/length") => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
            Some("/chunked") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            _ => "HTTP/1.1 200 OK\r\n\r\nhalf",
        };
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    for path in ["/length", "/chunked", "/until-the-end"] {
        let mut client = connect(port).await;
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let answer = within(read(&mut client, false)).await;
        assert!(answer.is_err(), "{path}: {answer:?}");
    }
}
