//! When the proxy refuses or ends a TCP connection, and when it does not.

use crate::common::{
    Mesh,
    backend::Backend,
    connect, free_port,
    policy::{connect_from, eventually},
    streams::{echo, greeting, is_alive, note, pattern, raw, read, read_to_reset, until_reset},
    tcp, within,
};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, sleep},
};
use weft_contract::Service;
use weft_proxy::drain::{Patience, Phase};

/// Whether a connection is reset; that may come before it is told to be there.
async fn is_refused(last_byte: u8, port: u16) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last_byte), 0).into()).unwrap();
    let error = match within(socket.connect((Ipv4Addr::LOCALHOST, port).into())).await {
        Ok(mut client) => within(client.read_u8()).await.err(),
        Err(error) => Some(error),
    };
    error.is_some_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_service_has_only_so_many_connections() {
    let backend = greeting().await;
    let port = free_port();
    let service = raw("store", port, &[backend.address], |policy| policy.connections.service = 2);
    let mesh = Mesh::with(vec![service]).await;
    let (mut one, mut other) = (connect(port).await, connect(port).await);
    for client in [&mut one, &mut other] {
        assert_eq!(read(client, 5).await, b"hello");
    }
    assert!(is_refused(1, port).await);
    assert_eq!(backend.opened(), 2, "it never came to an endpoint");
    mesh.shows("tcp_refused_total", "store", "flag=\"overloaded\"", 1).await;
    drop(one);
    eventually("there is room again", async || !is_refused(1, port).await).await;
    assert!(is_alive(&mut other).await);
}

#[tokio::test]
async fn a_source_has_only_so_many_connections() {
    let backend = greeting().await;
    let port = free_port();
    let service = raw("store", port, &[backend.address], |policy| policy.connections.source = 1);
    let _mesh = Mesh::with(vec![service]).await;
    let mut first = connect_from(2, port).await;
    assert_eq!(read(&mut first, 5).await, b"hello");
    assert!(is_refused(2, port).await);
    assert_eq!(read(&mut connect_from(3, port).await, 5).await, b"hello");
    assert!(is_alive(&mut first).await);
}

#[tokio::test]
async fn a_connection_that_rests_too_long_is_reset_on_both_sides() {
    let backend = Backend::connections(|stream, _, noted| async move {
        until_reset(&stream).await;
        note(&noted, b"reset");
    })
    .await;
    let port = free_port();
    let service = raw("store", port, &[backend.address], |policy| {
        policy.connections.idle = Some(Duration::from_millis(200));
    });
    let mesh = Mesh::with(vec![service]).await;
    let mut client = connect(port).await;
    assert!(read_to_reset(&mut client).await.is_empty());
    backend.noted(1).await;
    mesh.shows("tcp_cut_total", "store", "flag=\"idle_timeout\"", 1).await;
}

#[tokio::test]
async fn a_connection_on_which_something_moves_does_not_rest() {
    let (backend, port) = (echo().await, free_port());
    let idle = Duration::from_secs(2);
    let service = raw("store", port, &[backend.address], |policy| policy.connections.idle = Some(idle));
    let _mesh = Mesh::with(vec![service]).await;
    let mut client = connect(port).await;
    let start = Instant::now();
    while start.elapsed() < idle * 2 {
        assert!(is_alive(&mut client).await);
        sleep(idle / 10).await;
    }
}

/// A Service that lets connections go on for so long after their endpoint has gone.
fn draining(port: u16, endpoints: &[SocketAddr], milliseconds: Option<u64>) -> Service {
    raw("store", port, endpoints, |policy| policy.connections.drain = milliseconds.map(Duration::from_millis))
}

#[tokio::test]
async fn the_connections_of_an_endpoint_that_goes_are_cut_after_their_time() {
    let goes = Backend::connections(|mut stream, _, noted| async move {
        stream.write_all(b"hello").await.unwrap();
        until_reset(&stream).await;
        note(&noted, b"reset");
    })
    .await;
    let (stays, port) = (echo().await, free_port());
    let mut mesh = Mesh::with(vec![draining(port, &[goes.address], None)]).await;
    let mut old = connect(port).await;
    assert_eq!(read(&mut old, 5).await, b"hello");

    mesh.apply(vec![draining(port, &[stays.address], Some(200))]).await;
    let mut new = connect(port).await;
    assert!(read_to_reset(&mut old).await.is_empty());
    goes.noted(1).await;
    mesh.shows("tcp_cut_total", "store", "flag=\"drained\"", 1).await;
    assert!(is_alive(&mut new).await);
}

#[tokio::test]
async fn without_a_drain_time_they_finish_and_with_one_also_where_the_whole_service_goes() {
    let (backend, port) = (echo().await, free_port());
    let mut mesh = Mesh::with(vec![draining(port, &[backend.address], None)]).await;
    let mut client = connect(port).await;
    assert!(is_alive(&mut client).await);
    mesh.apply(vec![draining(port, &[], None)]).await;
    assert!(is_alive(&mut client).await);
    // Set afterwards, it counts from when the endpoint went.
    mesh.apply(vec![draining(port, &[], Some(60_000))]).await;
    assert!(is_alive(&mut client).await);
    mesh.apply(vec![]).await;
    assert!(is_alive(&mut client).await);
    mesh.apply(vec![draining(port, &[], Some(1))]).await;
    assert!(read_to_reset(&mut client).await.is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_not_ready_for_a_while_keeps_its_connections() {
    let (backend, other, port) = (echo().await, echo().await, free_port());
    let both = [backend.address, other.address];
    let mut mesh = Mesh::with(vec![draining(port, &both[..1], Some(1))]).await;
    let mut client = connect(port).await;
    assert!(is_alive(&mut client).await);
    let mut unready = draining(port, &both, Some(1));
    for endpoint in &mut unready.ports[0].endpoints {
        endpoint.ready = endpoint.port != backend.address.port();
    }
    mesh.apply(vec![unready.clone()]).await;
    // A connection that is cut has been after this: another's, whose endpoint does go.
    let mut second = connect(port).await;
    assert!(is_alive(&mut second).await);
    unready.ports[0].endpoints.retain(|endpoint| !endpoint.ready);
    mesh.apply(vec![unready.clone()]).await;
    assert!(read_to_reset(&mut second).await.is_empty());
    assert!(is_alive(&mut client).await);
    unready.ports[0].endpoints[0].terminating = true;
    unready.ports[0].endpoints[0].serving = false;
    mesh.apply(vec![unready]).await;
    assert!(read_to_reset(&mut client).await.is_empty(), "but not when it goes");
}

#[tokio::test]
async fn changes_elsewhere_touch_no_connection() {
    let (backend, port) = (echo().await, free_port());
    let store = || draining(port, &[backend.address], Some(1));
    let mut mesh = Mesh::with(vec![store()]).await;
    let (mut reading, mut writing) = connect(port).await.into_split();
    let sent = pattern(16 * 1024 * 1024);
    let to_send = sent.clone();
    let writer = tokio::spawn(async move {
        writing.write_all(&to_send).await.unwrap();
        writing
    });
    let reader = tokio::spawn(async move {
        let mut back = vec![0; 16 * 1024 * 1024];
        reading.read_exact(&mut back).await.unwrap();
        (reading, back)
    });
    let others = [free_port(), free_port()];
    for number in 0..20 {
        mesh.apply(vec![store(), tcp("other", others[number % 2], &[backend.address])]).await;
        // Its own endpoints may become more or fewer, as long as this one is there.
        let more = SocketAddr::from(([127, 0, 0, 1], 1 + u16::try_from(number).unwrap()));
        mesh.apply(vec![draining(port, &[backend.address, more], Some(1))]).await;
    }
    let _writing = within(writer).await.unwrap();
    let (_reading, back) = within(reader).await.unwrap();
    assert!(back == sent);
    assert_eq!(mesh.metric("connections", "store", "").await, 1);
}

#[tokio::test]
async fn connections_get_the_whole_grace_and_are_then_reset() {
    let (backend, port) = (echo().await, free_port());
    let mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let mut old = connect(port).await;
    assert!(is_alive(&mut old).await);
    let patience = Patience { quiet: Duration::from_secs(1), deadline: Duration::from_secs(3) };
    let gone = tokio::spawn(mesh.proxy.drain(patience));
    let drained = async |state: &str| {
        let page = mesh.admin("/metrics").await;
        let series = format!("weft_drain_connections_total{{state=\"{state}\"}} ");
        let number = page.text().lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
        number.unwrap_or(0_u64)
    };
    eventually("the old one is counted", async || drained("established").await == 1).await;
    let mut new = connect(port).await;
    assert!(is_alive(&mut new).await);
    assert_eq!(drained("accepted").await, 1);
    let start = Instant::now();
    while mesh.proxy.status.drain.phase() < Phase::Cutting {
        let alive = is_alive(&mut old).await && is_alive(&mut new).await;
        assert!(alive || mesh.proxy.status.drain.phase() == Phase::Cutting, "after {:?}", start.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    for client in [&mut old, &mut new] {
        // A ping may have been under way.
        let mut rest = Vec::new();
        assert!(within(client.read_to_end(&mut rest)).await.is_err(), "a clean end");
    }
    assert_eq!(drained("cut").await, 2);
    assert!(!within(gone).await.unwrap());
}
