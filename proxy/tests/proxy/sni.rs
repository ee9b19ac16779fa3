//! TLS is passed on by the server name that a client asks for, byte for byte.

use crate::common::{
    Mesh,
    backend::Backend,
    connect, free_port,
    message::Message,
    server_names::{behind, gate},
    within,
};
use crate::fixture::{Sketch, asking, records};
use std::io::ErrorKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A backend that says its name, then keeps all that it is sent.
async fn named(name: &'static str) -> Backend {
    Backend::connections(move |mut stream, _, noted| async move {
        let mut body = vec![0; 1];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(name.as_bytes()).await.unwrap();
        stream.read_to_end(&mut body).await.unwrap();
        noted.lock().unwrap().push(Message { head: String::new(), body });
        stream.shutdown().await.unwrap();
    })
    .await
}

struct Gate {
    mesh: Mesh,
    port: u16,
    own: Backend,
    exact: Backend,
    wild: Backend,
}

/// `gate` with routes to `exact`, `wild` and, where there is to be a default, itself.
async fn start(default: bool) -> Gate {
    let (own, exact, wild) = (named("own").await, named("exact").await, named("wild").await);
    let port = free_port();
    let mut hosts = vec![("a.b.example.com", "exact"), ("*.b.example.com", "wild")];
    hosts.extend(default.then_some(("*", "gate")));
    let services = vec![
        gate(port, own.address, &hosts),
        behind("exact", &[exact.address]),
        behind("wild", &[wild.address]),
    ];
    Gate { mesh: Mesh::with(services).await, port, own, exact, wild }
}

/// Sends all, and gets who answered.
async fn ask(port: u16, bytes: &[u8]) -> String {
    let mut client = connect(port).await;
    within(client.write_all(bytes)).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn end(client: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut answer = Vec::new();
    let ended = within(client.read_to_end(&mut answer)).await;
    (answer, ended.err().map(|error| error.kind()))
}

#[tokio::test]
async fn each_name_has_its_backend_which_gets_what_the_client_sent() {
    let gate = start(true).await;
    let early = [asking("A.b.example.com").bytes(), vec![9; 300_000]].concat();
    assert_eq!(ask(gate.port, &early).await, "exact");
    assert_eq!(gate.exact.requests()[0].body, early);
    let grown = records(&asking("c.b.example.com").with(21, vec![0; 5000]).message(), 700);
    assert_eq!(ask(gate.port, &grown).await, "wild");
    assert_eq!(gate.wild.requests()[0].body, grown);
    let nameless = Sketch { version: [3, 1], extensions: None, ..asking("") }.bytes();
    for (number, bytes) in
        [asking("example.com").bytes(), nameless, b"\x80\x2e\x01\x03\x01".to_vec(), b"EHLO".to_vec()]
            .iter()
            .enumerate()
    {
        assert_eq!(ask(gate.port, bytes).await, "own");
        assert_eq!(&gate.own.requests()[number].body, bytes);
    }
}

#[tokio::test]
async fn a_hello_that_comes_byte_by_byte_is_waited_for() {
    let gate = start(false).await;
    let bytes = records(&asking("a.b.example.com").message(), 11);
    let mut client = connect(gate.port).await;
    client.set_nodelay(true).unwrap();
    let (last, before) = bytes.split_last().unwrap();
    for byte in before {
        within(client.write_all(&[*byte])).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.exact.opened(), 0, "nobody knows yet where it goes");
    within(client.write_all(&[*last])).await.unwrap();
    let mut answer = [0; 5];
    within(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"exact");
    client.shutdown().await.unwrap();
    assert_eq!(end(&mut client).await, (vec![], None));
    assert_eq!(gate.exact.requests()[0].body, bytes);
}

#[tokio::test]
async fn a_name_that_fits_nothing_gets_an_alert_and_is_counted() {
    let gate = start(false).await;
    for (number, (name, version, minor)) in
        [("b.example.com", [3, 3], 3), ("example.org", [3, 4], 3), ("example.org", [3, 1], 1)]
            .iter()
            .enumerate()
    {
        let mut client = connect(gate.port).await;
        let sketch = Sketch { version: *version, ..asking(name) };
        // More than is read to learn the name: the alert must come through all the same.
        within(client.write_all(&[sketch.bytes(), vec![0; 20_000]].concat())).await.unwrap();
        assert_eq!(end(&mut client).await, (vec![21, 3, *minor, 0, 2, 2, 112], None), "{name}");
        gate.mesh.refused("gate", "unknown_server_name", number as u64 + 1).await;
    }
    assert_eq!(gate.own.opened() + gate.exact.opened() + gate.wild.opened(), 0);
}

#[tokio::test]
async fn without_a_default_what_is_not_tls_is_reset_and_counted() {
    let gate = start(false).await;
    let mut client = connect(gate.port).await;
    within(client.write_all(b"GET / HTTP/1.1\r\n\r\n")).await.unwrap();
    assert_eq!(end(&mut client).await, (vec![], Some(ErrorKind::ConnectionReset)));
    gate.mesh.refused("gate", "not_tls", 1).await;
}

#[tokio::test]
async fn what_is_broken_or_too_large_is_refused_and_counted() {
    let gate = start(true).await;
    let twice =
        asking("a.b.example.com").with(0, crate::fixture::server_name(&[(0, b"c.b.example.com")])).bytes();
    let large = records(&asking("a.b.example.com").with(21, vec![0; 60_000]).message(), 1);
    for (bytes, alert, flag) in [(twice, 47, "bad_request"), (large, 50, "head_too_large")] {
        let mut client = connect(gate.port).await;
        // The end of what is too large may meet a closed connection.
        let _ = within(client.write_all(&bytes)).await;
        let mut answer = [0; 7];
        within(client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[6], alert, "{flag}");
        gate.mesh.refused("gate", flag, 1).await;
    }
    assert_eq!(gate.own.opened() + gate.exact.opened(), 0, "not even to the default");
}
