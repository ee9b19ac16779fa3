//! How the proxy goes without losing a request.

use crate::common::{
    GET, Mesh,
    backend::{Backend, ok},
    connect, free_port, http,
    message::{exchange, head, read},
    tcp, within,
};
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use weft_proxy::drain::{Patience, Phase};

const PATIENCE: Patience = Patience { quiet: Duration::from_millis(300), deadline: Duration::from_secs(20) };

async fn reach(mesh: &Mesh, phase: Phase) {
    let reached = async {
        while mesh.proxy.status.drain.phase() < phase {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(reached).await;
}

#[tokio::test]
async fn a_retiring_proxy_serves_and_sends_its_clients_elsewhere() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    let ready = async {
        while mesh.admin("/readyz").await.status() != 200 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(ready).await;
    let (mut known, idle) = (connect(port).await, connect(port).await);
    assert_eq!(exchange(&mut known, GET.as_bytes()).await.header("connection"), None);

    let patience = Patience { quiet: Duration::from_secs(2), ..PATIENCE };
    let gone = tokio::spawn(mesh.proxy.drain(patience));
    reach(&mesh, Phase::Retiring).await;
    let readiness = mesh.admin("/readyz").await;
    assert_eq!(readiness.status(), 503);
    assert!(readiness.text().contains("not-draining: missing"), "{}", readiness.text());
    for mut client in [known, connect(port).await] {
        let answer = exchange(&mut client, GET.as_bytes()).await;
        assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
        assert!(within(read(&mut client, false)).await.unwrap().is_none());
    }

    reach(&mesh, Phase::Closing).await;
    let mut idle = idle;
    assert!(within(read(&mut idle, false)).await.unwrap().is_none(), "idle connections are closed");
    assert!(within(gone).await.unwrap(), "and nothing is left");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err());
}

#[tokio::test]
async fn what_is_in_flight_finishes_while_closing() {
    let backend = Backend::slow(Duration::from_millis(1000), |_| ok(b"finished")).await;
    let port = free_port();
    let mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    while backend.requests().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    let gone = tokio::spawn(mesh.proxy.drain(PATIENCE));
    reach(&mesh, Phase::Closing).await;
    let answer = within(read(&mut client, false)).await.unwrap().unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("finished", Some("close")));
    assert!(within(gone).await.unwrap());
}

#[tokio::test]
async fn what_never_ends_is_cut_at_the_deadline() {
    let backend = Backend::connections(|stream, _, _| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let port = free_port();
    let mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let _client = connect(port).await;
    while mesh.proxy.connections() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let patience = Patience { quiet: Duration::ZERO, deadline: Duration::from_millis(500) };
    assert!(!within(mesh.proxy.drain(patience)).await);
}

#[tokio::test]
async fn a_websocket_that_rests_is_told_that_the_proxy_goes() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        head(&mut stream).await.unwrap();
        let agreed = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        stream.write_all(agreed.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    let port = free_port();
    let mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(exchange(&mut client, request.as_bytes()).await.status(), 101);
    client.write_all(b"echo").await.unwrap();
    let mut echo = [0; 4];
    within(client.read_exact(&mut echo)).await.unwrap();
    let gone = tokio::spawn(mesh.proxy.drain(PATIENCE));
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, [0x88, 2, 0x03, 0xe9], "a Close frame, going away, and then the end");
    drop(client);
    assert!(within(gone).await.unwrap());
}
