//! Which endpoint a TCP connection goes to, and what that endpoint is told.

use crate::common::{
    Mesh,
    backend::Backend,
    connect, dead, free_port,
    policy::eventually,
    streams::{greeting, note, raw, read, read_to_reset, reset, resetting},
    tcp, within,
};
use socket2::{Domain, Socket, Type};
use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn an_endpoint_may_speak_first() {
    let backend = greeting().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    assert_eq!(read(&mut connect(port).await, 5).await, b"hello");
}

#[tokio::test]
async fn an_endpoint_that_breaks_before_the_first_byte_is_passed_over_and_then_set_aside() {
    let (good, bad) = (greeting().await, resetting().await);
    let port = free_port();
    let mesh = Mesh::with(vec![tcp("store", port, &[good.address, bad.address])]).await;
    let mut open = Vec::new();
    for _ in 0..30 {
        let mut client = connect(port).await;
        assert_eq!(read(&mut client, 5).await, b"hello");
        open.push(client);
    }
    assert_eq!(good.opened(), 30);
    // The bad one always has fewer connections, so that it is asked until it is set aside, and then to probe it.
    assert!(bad.opened() >= 5, "{}", bad.opened());
    let retries = mesh.metric("retries_total", "store", "").await;
    assert_eq!(retries, bad.opened() as u64);
    // Some are faster than the word that the connection is there.
    let mut failures = 0;
    for reason in ["reason=\"endpoint_reset\"", "reason=\"connect_failed\""] {
        failures += mesh.metric("upstream_failures_total", "store", reason).await;
    }
    assert_eq!(failures, retries);
    assert!(bad.opened() < 30, "it was set aside");
}

#[tokio::test]
async fn an_endpoint_that_breaks_after_the_first_byte_is_not_passed_over() {
    let breaking = || {
        Backend::connections(|mut stream, _, _| async move {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            reset(stream);
        })
    };
    let (one, other) = (breaking().await, breaking().await);
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[one.address, other.address])]).await;
    let mut client = connect(port).await;
    client.write_all(b"x").await.unwrap();
    assert!(read_to_reset(&mut client).await.is_empty());
    assert_eq!(one.opened() + other.opened(), 1, "the byte is gone, and may have done something");
}

#[tokio::test]
async fn where_every_endpoint_breaks_the_client_is_reset() {
    let bad = resetting().await;
    let port = free_port();
    let mesh = Mesh::with(vec![tcp("store", port, &[bad.address, dead()])]).await;
    let error = match within(TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
        Ok(mut client) => within(client.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let refused = async || {
        let reset = mesh.metric("tcp_refused_total", "store", "flag=\"endpoint_reset\"").await;
        reset + mesh.metric("tcp_refused_total", "store", "flag=\"connect_failed\"").await == 1
    };
    eventually("it is counted", refused).await;
}

/// An endpoint that nobody accepts at, and whose queue of connections is full, so that the kernel answers no more.
async fn silent() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn an_endpoint_that_does_not_accept_in_time_is_passed_over() {
    let (address, _listener, _waiting) = silent().await;
    let good = greeting().await;
    let port = free_port();
    let service = raw("store", port, &[address, good.address], |policy| {
        policy.timeouts.connect = Some(Duration::from_millis(100));
    });
    let mesh = Mesh::with(vec![service]).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut client = connect(port).await;
        assert_eq!(read(&mut client, 5).await, b"hello");
        open.push(client);
    }
    assert!(mesh.metric("upstream_failures_total", "store", "reason=\"connect_timeout\"").await > 0);
}

#[tokio::test]
async fn connections_go_where_fewest_are() {
    let (one, other) = (greeting().await, greeting().await);
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[one.address, other.address])]).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut client = connect(port).await;
        assert_eq!(read(&mut client, 5).await, b"hello");
        open.push(client);
    }
    assert_eq!((one.opened(), other.opened()), (10, 10));
}

/// Notes the first bytes of each connection, as many as a PROXY header has, and one more.
async fn introduced(length: usize) -> Backend {
    Backend::connections(move |mut stream, _, noted| async move {
        let start = read(&mut stream, length + 1).await;
        note(&noted, &start);
    })
    .await
}

#[tokio::test]
async fn an_endpoint_is_told_of_its_client_by_proxy_protocol() {
    let backend = introduced(28).await;
    let port = free_port();
    let asking = || raw("store", port, &[backend.address], |policy| policy.connections.proxy_protocol = true);
    let mut mesh = Mesh::with(vec![asking()]).await;
    let mut ports = Vec::new();
    for addresses in [vec![], vec!["fd00::9".parse().unwrap(), IpAddr::from([10, 96, 0, 9])]] {
        let mut service = asking();
        service.addresses = addresses;
        mesh.apply(vec![service]).await;
        let mut client = connect(port).await;
        ports.push(client.local_addr().unwrap().port());
        client.write_all(b"x").await.unwrap();
        backend.noted(ports.len()).await;
    }
    let header = |destination: [u8; 4], client: u16, port: u16| {
        let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01".as_slice();
        [start, &destination, &client.to_be_bytes(), &port.to_be_bytes(), b"x"].concat()
    };
    let noted = backend.noted(2).await;
    assert_eq!(noted[0], header([127, 0, 0, 1], ports[0], port), "where it was accepted");
    assert_eq!(noted[1], header([10, 96, 0, 9], ports[1], 80), "what its name in the mesh stands for");
}

#[tokio::test]
async fn proxy_protocol_over_ipv6() {
    let backend = introduced(52).await;
    let port = free_port();
    let asking = raw("store", port, &[backend.address], |policy| policy.connections.proxy_protocol = true);
    let _mesh = Mesh::with(vec![asking]).await;
    let mut client = within(TcpStream::connect((Ipv6Addr::LOCALHOST, port))).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".as_slice();
    let loopback = Ipv6Addr::LOCALHOST.octets();
    let ports = [client.local_addr().unwrap().port().to_be_bytes(), port.to_be_bytes()].concat();
    assert_eq!(backend.noted(1).await[0], [start, &loopback, &loopback, &ports, b"x"].concat());
}
