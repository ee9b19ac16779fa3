//! Listeners come and go with the configuration; what did not change is not touched.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, content, free_port, http,
    message::{exchange, read},
    tcp, within,
};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

#[tokio::test]
async fn listeners_open_and_close_while_others_keep_their_connections() {
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let (stays, goes) = (free_port(), free_port());
    let staying = || http("stays", stays, &[one.address]);
    let mut mesh = Mesh::with(vec![staying()]).await;
    let mut client = connect(stays).await;
    assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "one");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, goes)).await.is_err());

    for _ in 0..3 {
        mesh.apply(vec![staying(), http("goes", goes, &[other.address])]).await;
        let mut idle = connect(goes).await;
        assert_eq!(exchange(&mut idle, GET.as_bytes()).await.text(), "other");
        assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "one", "the same connection");

        mesh.apply(vec![staying()]).await;
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, goes)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(
            within(read(&mut idle, false)).await.unwrap().is_none(),
            "idle connections are closed at once"
        );
    }
    assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "one", "the same connection");
}

#[tokio::test]
async fn a_request_in_flight_finishes_when_its_listener_goes() {
    let backend = Backend::slow(Duration::from_millis(500), |_| ok(b"finished")).await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    while backend.requests().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    mesh.apply(vec![]).await;
    let answer = within(read(&mut client, false)).await.unwrap().unwrap();
    assert_eq!((answer.status(), answer.text()), (200, "finished"));
    assert_eq!(answer.header("connection"), Some("close"), "or the client would lose its next request");
    assert!(within(read(&mut client, false)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_tcp_connection_outlives_changes_of_its_endpoints_and_its_listener() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    for services in [vec![tcp("store", port, &[])], vec![]] {
        client.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        within(client.read_exact(&mut echo)).await.unwrap();
        mesh.apply(services).await;
    }
    client.write_all(b"still").await.unwrap();
    let mut echo = [0; 5];
    within(client.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"still");
}

#[tokio::test]
async fn a_port_that_goes_to_another_service_never_takes_the_clients_of_the_first_along() {
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let port = free_port();
    let mut mesh = Mesh::with(vec![http("one", port, &[one.address])]).await;
    let mut old = connect(port).await;
    assert_eq!(exchange(&mut old, GET.as_bytes()).await.text(), "one");
    mesh.apply(vec![http("other", port, &[other.address])]).await;
    assert!(within(read(&mut old, false)).await.unwrap().is_none(), "the old connection ends");
    assert_eq!(ask(port, GET).await.text(), "other");
}

#[tokio::test]
async fn another_protocol_is_spoken_with_new_connections() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(&greeting).await.unwrap();
    })
    .await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![http("web", port, &[])]).await;
    assert_eq!(ask(port, GET).await.status(), 503);
    mesh.apply(vec![tcp("web", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    client.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    within(client.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"hello");
}

#[tokio::test]
async fn a_port_that_is_taken_is_reported_and_opened_once_it_is_free() {
    let backend = Backend::named("hello").await;
    let (taken, free) = (free_port(), free_port());
    let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, taken)).unwrap();
    let services = vec![http("one", taken, &[backend.address]), http("two", free, &[backend.address])];
    let mut mesh = Mesh::with(services.clone()).await;
    assert_eq!(ask(free, GET).await.status(), 200, "the others are served");
    let failed = mesh.proxy.status.confirmation().failed_listeners;
    assert_eq!(failed.iter().map(|failure| failure.port).collect::<Vec<_>>(), [taken]);
    assert!(mesh.admin("/readyz").await.text().contains("listeners: ok"), "one taken port is not the end");
    drop(holder);
    within(mesh.proxy.status.wait_for(|now| now.failed_listeners.is_empty())).await;
    assert_eq!(ask(taken, GET).await.status(), 200);
    mesh.apply(vec![]).await;
}

#[tokio::test]
async fn clients_of_both_families_are_served() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let _mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    assert_eq!(ask(port, GET).await.status(), 200);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return; // this machine has no IPv6, which the proxy stood
    }
    let mut client = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
    assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 200);
    assert_eq!(backend.requests()[1].header("x-forwarded-for"), Some("::1"));
}

#[tokio::test]
async fn no_request_fails_while_endpoints_and_other_services_change() {
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let (port, changing) = (free_port(), free_port());
    let mut mesh = Mesh::with(vec![http("web", port, &[one.address])]).await;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = connect(port).await;
                for _ in 0..100 {
                    assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 200);
                }
            })
        })
        .collect();
    let mut turn = 0;
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        turn += 1;
        let (one, other) = (one.address, other.address);
        let endpoints = [vec![one], vec![other], vec![one, other]][turn % 3].clone();
        let mut services = vec![http("web", port, &endpoints)];
        if turn % 2 == 0 {
            services.push(http("changing", changing, &endpoints));
        }
        let (revision, content) = content(services);
        mesh.proxy.take(&content);
        mesh.in_force(&revision).await;
    }
    for client in clients {
        client.await.unwrap();
    }
}
