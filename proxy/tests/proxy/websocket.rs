//! WebSockets, over HTTP/1 and over HTTP/2 (RFC 8441), and what else a connection may be upgraded to.

use crate::common::{
    self, Mesh,
    backend::{Backend, ok},
    connect, free_port, http, http2, message, within,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Request;
use std::collections::BTreeSet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: key\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n";

async fn mesh(backend: &Backend) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![http("web", port, &[backend.address])]).await, port)
}

/// Agrees, and sends everything back until the end, then says so and ends too.
async fn echo() -> Backend {
    Backend::connections(|mut stream, _, noted| async move {
        let Ok(Some(head)) = message::head(&mut stream).await else { return };
        noted.lock().unwrap().push(message::Message { head, body: vec![] });
        stream.write_all(AGREED.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
        to.write_all(b"bye").await.unwrap();
        to.shutdown().await.unwrap();
    })
    .await
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    within(stream.read_exact(&mut came)).await.unwrap();
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn bytes_right_behind_the_request_and_right_behind_the_agreement_pass() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        message::head(&mut stream).await.unwrap();
        stream.write_all(format!("{AGREED}at once").as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    client.write_all(format!("{UPGRADE}early").as_bytes()).await.unwrap();
    let head = within(message::head(&mut client)).await.unwrap().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in ["upgrade: websocket\r\n", "connection: upgrade\r\n", "sec-websocket-accept: key\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    expect(&mut client, b"at onceearly").await;
}

#[tokio::test]
async fn each_direction_ends_for_itself() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"last wordsbye", "what the endpoint says after the client's end arrives");
}

#[tokio::test]
async fn the_end_of_one_side_reaches_the_other() {
    let (told, mut gone) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::connections(move |mut stream, number, _| {
        let told = told.clone();
        async move {
            message::head(&mut stream).await.unwrap();
            stream.write_all(AGREED.as_bytes()).await.unwrap();
            if number == 2 {
                return; // the endpoint ends
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            told.send(rest).unwrap();
        }
    })
    .await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    client.write_all(format!("{UPGRADE}x").as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    drop(client);
    assert_eq!(within(gone.recv()).await.unwrap(), b"x");
    let mut client = connect(port).await;
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    assert_eq!(within(client.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any_other() {
    let backend = Backend::http(|_| b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno".to_vec()).await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = connect(port).await;
    for _ in 0..2 {
        let answer = message::exchange(&mut client, UPGRADE.as_bytes()).await;
        assert_eq!((answer.status(), answer.text()), (403, "no"));
    }
}

#[tokio::test]
async fn an_agreement_that_nobody_asked_for_is_a_bad_answer() {
    let backend = Backend::http(|_| AGREED.as_bytes().to_vec()).await;
    let (_mesh, port) = mesh(&backend).await;
    assert_eq!(common::ask(port, common::GET).await.status(), 502);
}

#[tokio::test]
async fn over_http2_it_becomes_a_handshake_of_http1() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = http2::connect(port).await;
    let mut keys = BTreeSet::new();
    for turn in 0..3 {
        let (answer, mut send) = http2::open(&mut client, "websocket").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        for gone in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!answer.headers().contains_key(gone), "{gone}");
        }
        let mut body = answer.into_body();
        for text in ["one", "two"] {
            send.send_data(text.into(), false).unwrap();
            assert_eq!(within(body.data()).await.unwrap().unwrap(), text);
        }
        send.send_data("end".into(), true).unwrap();
        assert_eq!(http2::read_body(&mut body).await.unwrap().0, b"endbye");

        let seen = &backend.requests()[turn];
        assert!(seen.head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{}", seen.head);
        assert_eq!(seen.headers("host").collect::<Vec<_>>(), ["web.shop.mesh"]);
        assert_eq!(seen.headers("upgrade").collect::<Vec<_>>(), ["websocket"]);
        assert_eq!(seen.headers("connection").collect::<Vec<_>>(), ["Upgrade"]);
        assert_eq!(seen.header("sec-websocket-version"), Some("13"));
        assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (None, None));
        let key = seen.header("sec-websocket-key").unwrap().to_owned();
        assert_eq!(STANDARD.decode(&key).unwrap().len(), 16);
        keys.insert(key);
    }
    assert_eq!(keys.len(), 3, "each has a key of its own");
}

#[tokio::test]
async fn over_http2_several_share_a_connection_and_end_alone() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = http2::connect(port).await;
    let (one, mut one_send) = http2::open(&mut client, "websocket").await;
    let (two, mut two_send) = http2::open(&mut client, "websocket").await;
    one_send.send_reset(h2::Reason::CANCEL);
    drop((one, one_send));
    two_send.send_data("still there".into(), true).unwrap();
    assert_eq!(http2::read_body(&mut two.into_body()).await.unwrap().0, b"still therebye");
}

#[tokio::test]
async fn over_http2_only_an_agreement_is_one() {
    for (answer, status) in
        [(ok(b"a page"), 502), (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec(), 403)]
    {
        let backend = Backend::http(move |_| answer.clone()).await;
        let (_mesh, port) = mesh(&backend).await;
        let mut client = http2::connect(port).await;
        let (answer, _send) = http2::open(&mut client, "websocket").await;
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn over_http2_nothing_else_is_tunnelled() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&backend).await;
    let mut client = http2::connect(port).await;
    let (answer, _send) = http2::open(&mut client, "connect-udp").await;
    assert_eq!(answer.status(), 501);
    let connect = Request::connect("web.shop.mesh:80").body(()).unwrap();
    let (answer, _send) = client.send_request(connect, false).unwrap();
    assert_eq!(within(answer).await.unwrap().status(), 405);
    assert_eq!(backend.opened(), 0);
}
