//! HTTP/2 from clients and to endpoints: connections, streams and their ends.

use crate::common::{
    self, GET, Mesh, connect,
    frames::{self, END_HEADERS, END_STREAM, HEADERS, Outcome, PREFACE, Raw, SETTINGS},
    free_port, http,
    http2::{self, Backend, Stream, ask, get, post},
    message, within,
};
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Barrier,
};
use weft_contract::{Service, policy::Scheme};

fn h2c(port: u16, endpoints: &[SocketAddr]) -> Service {
    let mut service = http("web", port, endpoints);
    service.ports[0].scheme = Scheme::H2c;
    service
}

async fn mesh(endpoints: &[SocketAddr]) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![h2c(port, endpoints)]).await, port)
}

#[tokio::test]
async fn one_port_speaks_every_version() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    assert_eq!(common::ask(port, GET).await.text(), "hello");
    assert_eq!(ask(&http2::connect(port).await, get("/")).await.unwrap().body, b"hello");
}

/// Asks to go on with HTTP/2, with `early` right behind the request.
async fn upgraded(port: u16, early: &[u8]) -> Raw {
    let mut stream = connect(port).await;
    let request = "GET /path HTTP/1.1\r\nhost: web.shop.mesh\r\nx-own: 1\r\n\
        connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAAAA\r\n\r\n";
    stream.write_all(&[request.as_bytes(), early].concat()).await.unwrap();
    let head = within(message::head(&mut stream)).await.unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: h2c"), "{head}");
    Raw { stream }
}

#[tokio::test]
async fn http1_can_be_upgraded_to_http2() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let hello = [PREFACE, &frames::frame(SETTINGS, 0, 0, &[])].concat();
    // The client's preface comes after the agreement, before it, or in two parts.
    for early in [0, hello.len(), 10, PREFACE.len()] {
        let mut raw = upgraded(port, &hello[..early]).await;
        raw.stream.write_all(&hello[early..]).await.unwrap();
        assert_eq!(raw.outcome(1).await, Outcome::Answer(200), "{early} bytes early");
        raw.ask(3, &frames::FINE).await;
        assert_eq!(raw.outcome(3).await, Outcome::Answer(200), "{early} bytes early");
    }
    let seen = &backend.requests()[0];
    assert_eq!(seen.uri.path(), "/path");
    assert_eq!(seen.uri.authority().unwrap(), "web.shop.mesh");
    assert_eq!(seen.headers["x-own"], "1");
    assert!(!seen.headers.contains_key("http2-settings") && !seen.headers.contains_key("upgrade"));
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_is_answered_by_http1() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    for lines in [
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: !\r\n",
        "upgrade: h2c\r\nhttp2-settings: AAEAAAAA\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2\r\nhttp2-settings: AAEAAAAA\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
        let answer = common::ask(port, &request).await;
        // `h2` by name is TLS's alone, and an endpoint of HTTP/2 cannot be asked to change the protocol.
        assert!(matches!(answer.status(), 200 | 501), "{lines}: {answer:?}");
    }
    let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
        http2-settings: AAEAAAAA\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(common::ask(port, post).await.status(), 200);
}

#[tokio::test]
async fn clients_share_connections_to_an_endpoint() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    for _ in 0..6 {
        assert_eq!(ask(&http2::connect(port).await, get("/")).await.unwrap().status, 200);
        assert_eq!(common::ask(port, GET).await.status(), 200);
    }
    assert!(backend.opened() <= 2, "one for each worker, not {}", backend.opened());
}

#[tokio::test]
async fn requests_side_by_side_are_balanced_one_by_one() {
    let both = Arc::new(Barrier::new(20));
    let gathered = Arc::clone(&both);
    let gather = move |stream: Stream| {
        let both = Arc::clone(&gathered);
        async move {
            both.wait().await; // none is answered before all have come
            stream.answer(b"hello").await;
        }
    };
    let (one, two) = (Backend::streams(gather.clone()).await, Backend::streams(gather).await);
    let (_mesh, port) = mesh(&[one.address, two.address]).await;
    let client = http2::connect(port).await;
    let asked = (0..20).map(|_| ask(&client, get("/")));
    for answer in within(futures::future::join_all(asked)).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    let counts = (one.requests().len(), two.requests().len());
    assert!(counts.0 >= 5 && counts.1 >= 5, "{counts:?}");
}

#[tokio::test]
async fn what_an_endpoint_has_no_room_for_goes_over_another_connection() {
    let all = Arc::new(Barrier::new(6));
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1);
    let backend = Backend::with(settings, move |stream: Stream| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await; // none is answered before all have come
            stream.answer(b"hello").await;
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let client = http2::connect(port).await;
    let asked = (0..6).map(|_| ask(&client, get("/")));
    for answer in within(futures::future::join_all(asked)).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(backend.opened(), 6);
}

#[tokio::test]
async fn connections_that_an_endpoint_ends_in_order_lose_nothing() {
    let backend = Backend::connections(|stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut count = 0;
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (request, body) = request.into_parts();
            tokio::spawn(Stream { request, body, respond }.answer(b"hello"));
            count += 1;
            if count == 5 {
                connection.graceful_shutdown();
            }
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let client = http2::connect(port).await;
    for turn in 0..20 {
        let asked = (0..10).map(|_| ask(&client, post("/")));
        for answer in within(futures::future::join_all(asked)).await {
            assert_eq!(answer.unwrap().status, 200, "turn {turn}");
        }
    }
    assert!(backend.opened() > 5, "{}", backend.opened());
}

#[tokio::test]
async fn what_an_endpoint_refuses_is_tried_elsewhere() {
    let refuses = Backend::streams(|mut stream: Stream| async move {
        stream.respond.send_reset(h2::Reason::REFUSED_STREAM);
    })
    .await;
    let takes = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[refuses.address, takes.address]).await;
    let client = http2::connect(port).await;
    for _ in 0..20 {
        let mut client = client.clone();
        let (answer, mut send) = client.send_request(post("/"), false).unwrap();
        send.send_data("body".into(), true).unwrap();
        let answer = http2::read(within(answer).await.unwrap()).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    }
    assert!(!refuses.requests().is_empty());
    assert_eq!(takes.requests().len(), 20, "each once");
}

#[tokio::test]
async fn a_connection_that_dies_takes_down_only_what_has_begun() {
    let backend = Backend::connections(|stream, number| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (request, body) = request.into_parts();
            let dies = request.uri.path() == "/dies" && number <= 2;
            let mut stream = Stream { request, body, respond };
            if dies {
                let mut send = stream.begin();
                send.send_data("half".into(), false).unwrap();
                let soon = tokio::time::sleep(Duration::from_millis(50));
                tokio::select! { _ = connection.accept() => {}, () = soon => {} }
                return; // with all its streams
            }
            tokio::spawn(async move {
                if stream.request.uri.path() == "/waits" {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                stream.answer(b"hello").await;
            });
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let client = http2::connect(port).await;
    let waits = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, post("/waits")).await }
    });
    while backend.opened() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let half = ask(&client, post("/dies")).await.unwrap_err();
    assert_eq!(half.reason(), Some(h2::Reason::INTERNAL_ERROR), "half of an answer is not a whole one");
    assert_eq!(within(waits).await.unwrap().unwrap().status, 502, "it may have arrived");
    for _ in 0..5 {
        assert_eq!(ask(&client, post("/")).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn connections_to_an_endpoint_that_is_gone_are_closed() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let (mut mesh, port) = mesh(&[one.address]).await;
    let client = http2::connect(port).await;
    assert_eq!(ask(&client, get("/")).await.unwrap().body, b"one");
    mesh.apply(vec![h2c(port, &[two.address])]).await;
    assert_eq!(ask(&client, get("/")).await.unwrap().body, b"two", "on the same connection of the client");
    within(async {
        while one.closed() < one.opened() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(two.closed(), 0);
}

#[tokio::test]
async fn an_endpoint_that_answers_early_and_stops_the_upload_is_heard() {
    let backend = Backend::streams(|mut stream: Stream| async move {
        let head = http::Response::builder().status(413).body(()).unwrap();
        let mut send = stream.respond.send_response(head, false).unwrap();
        send.send_data("too large".into(), true).unwrap();
        // Dropped with the rest of the request unread, which resets the stream with NO_ERROR.
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = http2::connect(port).await;
    for _ in 0..10 {
        let (answer, mut send) = client.send_request(post("/"), false).unwrap();
        send.send_data(Bytes::from_static(&[0; 10_000]), false).unwrap();
        let answer = http2::read(within(answer).await.unwrap()).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (413, &b"too large"[..]));
    }
}

#[tokio::test]
async fn a_client_of_http1_that_goes_cancels_its_stream() {
    let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::streams(move |mut stream: Stream| {
        let told = told.clone();
        async move {
            let mut send = stream.begin();
            send.send_data("x".into(), false).unwrap();
            let reset = std::future::poll_fn(|context| send.poll_reset(context)).await;
            told.send(reset.unwrap()).unwrap();
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = connect(port).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    within(client.read_u8()).await.unwrap();
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(within(ended.recv()).await.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn frames_by_hand_are_understood() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut raw = Raw::connect(port).await;
    raw.send(HEADERS, END_HEADERS | END_STREAM, 1, &frames::block(&frames::FINE)).await;
    assert_eq!(raw.outcome(1).await, Outcome::Answer(200));
}
