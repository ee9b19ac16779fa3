//! WebSockets to endpoints that speak HTTP/2 alone (RFC 8441), whatever their clients speak.

use crate::common::{
    self, Mesh, connect, free_port, http,
    http2::{self, Backend, Stream},
    message, within,
};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{Response, StatusCode, Version};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use weft_contract::policy::Scheme;
use weft_proxy::drain::Patience;

const UPGRADE: &str = "GET /chat?room=1 HTTP/1.1\r\nhost: web.shop.mesh\r\nupgrade: WebSocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: chat\r\n\r\n";

async fn mesh(endpoints: &[SocketAddr]) -> (Mesh, u16) {
    let port = free_port();
    let mut service = http("web", port, endpoints);
    service.ports[0].scheme = Scheme::H2c;
    (Mesh::with(vec![service]).await, port)
}

/// A backend that knows extended CONNECT.
async fn knowing<F>(serve: impl Fn(Stream) -> F + Clone + Send + 'static) -> Backend
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut settings = h2::server::Builder::new();
    settings.enable_connect_protocol();
    Backend::with(settings, serve).await
}

/// Agrees, and sends everything back until the end, then says so and ends too.
async fn echo() -> Backend {
    knowing(|mut stream| async move {
        if stream.request.extensions.get::<Protocol>().is_none() {
            return stream.answer(b"no WebSocket").await;
        }
        let agreed = Response::builder().header("sec-websocket-protocol", "chat").body(()).unwrap();
        let mut send = stream.respond.send_response(agreed, false).unwrap();
        while let Some(Ok(data)) = stream.body.data().await {
            stream.body.flow_control().release_capacity(data.len()).unwrap();
            if http2::send(&mut send, data, false).await.is_err() {
                return;
            }
        }
        let _ = send.send_data(Bytes::from_static(b"bye"), true); // the client may have gone
    })
    .await
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    within(stream.read_exact(&mut came)).await.unwrap();
    assert_eq!(came, bytes);
}

/// What the endpoint has seen of a handshake.
fn assert_asked(backend: &Backend) {
    let seen = backend.requests().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.version), ("CONNECT", Version::HTTP_2));
    assert_eq!(seen.uri, "http://web.shop.mesh/chat?room=1");
    assert_eq!(seen.extensions.get::<Protocol>().unwrap().as_str(), "websocket");
    assert_eq!(seen.headers["sec-websocket-version"], "13");
    assert_eq!(seen.headers["sec-websocket-protocol"], "chat");
    for gone in ["sec-websocket-key", "upgrade", "connection", "host", "content-length"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_handshake_of_http1_becomes_an_extended_connect() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    // The first opens the connection, the others find it.
    for _ in 0..3 {
        let mut client = connect(port).await;
        client.write_all(format!("{UPGRADE}early").as_bytes()).await.unwrap();
        let head = within(message::head(&mut client)).await.unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        for line in [
            "upgrade: websocket\r\n",
            "connection: upgrade\r\n",
            "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
            "sec-websocket-protocol: chat\r\n",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
        expect(&mut client, b"early").await;
        client.write_all(b"late").await.unwrap();
        expect(&mut client, b"late").await;
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        within(client.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"bye", "what the endpoint says after the client's end arrives");
        assert_asked(&backend);
    }
}

#[tokio::test]
async fn over_http2_on_both_sides_it_stays_one() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = http2::connect(port).await;
    for _ in 0..2 {
        let (answer, mut send) = http2::open(&mut client, "websocket").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        let mut body = answer.into_body();
        send.send_data("one".into(), false).unwrap();
        assert_eq!(within(body.data()).await.unwrap().unwrap(), "one");
        send.send_data("end".into(), true).unwrap();
        assert_eq!(http2::read_body(&mut body).await.unwrap().0, b"endbye");
        assert_asked(&backend);
    }
    let answer = http2::ask(&client, http2::get("/")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"no WebSocket"[..]), "and others are none");
}

#[tokio::test]
async fn much_passes_both_ways_at_once() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = connect(port).await;
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    let (mut read, mut write) = client.into_split();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let expected = [&sent[..], b"bye"].concat();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
        write
    });
    let mut came = Vec::new();
    within(read.read_to_end(&mut came)).await.unwrap();
    assert!(came == expected, "{} bytes", came.len());
    sending.await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_does_not_know_how_is_not_asked() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    for _ in 0..2 {
        assert_eq!(common::ask(port, UPGRADE).await.status(), 501);
    }
    let mut client = http2::connect(port).await;
    let (answer, _send) = http2::open(&mut client, "websocket").await;
    assert_eq!(answer.status(), 501);
    assert_eq!(backend.requests().len(), 0);
    assert_eq!(common::ask(port, common::GET).await.text(), "hello");
}

#[tokio::test]
async fn other_protocols_and_bodies_have_no_place_in_it() {
    let backend = echo().await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let other = UPGRADE.replace("upgrade: WebSocket", "upgrade: something");
    let body = UPGRADE.replace("host:", "content-length: 1\r\nhost:") + "x";
    for request in [other, body] {
        assert_eq!(common::ask(port, &request).await.status(), 501);
    }
    assert_eq!(backend.requests().len(), 0);
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any_other() {
    let backend = knowing(|mut stream| async move {
        let mut refused = Response::new(());
        *refused.status_mut() = StatusCode::FORBIDDEN;
        let mut send = stream.respond.send_response(refused, false).unwrap();
        send.send_data(Bytes::from_static(b"no"), true).unwrap();
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = connect(port).await;
    for _ in 0..2 {
        let answer = message::exchange(&mut client, UPGRADE.as_bytes()).await;
        assert_eq!((answer.status(), answer.text()), (403, "no"));
    }
    let mut client = http2::connect(port).await;
    let (answer, _send) = http2::open(&mut client, "websocket").await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn an_endpoint_that_never_sends_its_settings_is_too_late() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_mesh, port) = mesh(&[silent.local_addr().unwrap()]).await;
    assert_eq!(common::ask(port, UPGRADE).await.status(), 504);
}

#[tokio::test]
async fn the_end_of_one_side_reaches_the_other() {
    let (told, mut ended) = mpsc::unbounded_channel();
    let backend = knowing(move |mut stream| {
        let told = told.clone();
        async move {
            let mut send = stream.begin();
            send.send_data(Bytes::from_static(b"hello"), false).unwrap();
            let reset = std::future::poll_fn(|context| send.poll_reset(context)).await;
            told.send(reset.unwrap()).unwrap();
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = connect(port).await;
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    expect(&mut client, b"hello").await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(within(ended.recv()).await.unwrap(), h2::Reason::CANCEL);

    let backend = knowing(|mut stream| async move {
        let mut send = stream.begin();
        stream.body.data().await.unwrap().unwrap();
        send.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address]).await;
    let mut client = connect(port).await;
    client.write_all(format!("{UPGRADE}x").as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    let mut rest = Vec::new();
    let _ = within(client.read_to_end(&mut rest)).await; // by whichever end
}

#[tokio::test]
async fn a_proxy_that_goes_says_so_to_both_sides() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let backend = knowing(move |mut stream| {
        let told = told.clone();
        async move {
            let (mut send, mut all) = (stream.begin(), Vec::new());
            while let Some(Ok(data)) = stream.body.data().await {
                all.extend_from_slice(&data);
                let _ = send.send_data(data, false); // the proxy may have gone
            }
            told.send(all).unwrap();
        }
    })
    .await;
    let (mesh, port) = mesh(&[backend.address]).await;
    let mut client = connect(port).await;
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    within(message::head(&mut client)).await.unwrap().unwrap();
    for _ in 0..5 {
        client.write_all(b".").await.unwrap();
        expect(&mut client, b".").await;
    }
    let patience = Patience { quiet: Duration::from_millis(100), deadline: Duration::from_secs(20) };
    let gone = tokio::spawn(mesh.proxy.drain(patience));
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, [0x88, 2, 0x03, 0xe9]);
    assert_eq!(
        within(heard.recv()).await.unwrap(),
        [&b"....."[..], &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]].concat()
    );
    assert!(within(gone).await.unwrap(), "and then nothing is left");
}
