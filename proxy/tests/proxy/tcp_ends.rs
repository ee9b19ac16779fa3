//! How a TCP connection ends on one side is how it ends on the other.

use crate::common::{
    Mesh,
    backend::Backend,
    connect, free_port,
    streams::{note, pattern, read, read_to_end, read_to_reset, reset, until_reset},
    tcp, within,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LARGE: usize = 8 * 1024 * 1024;

/// A proxy before a backend, and the port to it.
async fn before(backend: &Backend, splice: bool) -> (Mesh, u16) {
    let port = free_port();
    let mut mesh = Mesh::start_with(tempfile::tempdir().unwrap(), splice);
    mesh.apply(vec![tcp("store", port, &[backend.address])]).await;
    (mesh, port)
}

#[tokio::test]
async fn a_client_that_shuts_its_side_gets_the_whole_answer() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let question = read_to_end(&mut stream).await;
        stream.write_all(&question).await.unwrap();
        stream.write_all(&pattern(LARGE)).await.unwrap();
    })
    .await;
    for splice in [true, false] {
        let (_mesh, port) = before(&backend, splice).await;
        let mut client = connect(port).await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer == [b"question".as_slice(), &pattern(LARGE)].concat(), "{} bytes", answer.len());
    }
}

#[tokio::test]
async fn an_endpoint_that_shuts_its_side_hears_everything() {
    let backend = Backend::connections(|mut stream, _, noted| async move {
        stream.shutdown().await.unwrap();
        let heard = read_to_end(&mut stream).await;
        note(&noted, &heard);
    })
    .await;
    for (number, splice) in [true, false].into_iter().enumerate() {
        let (_mesh, port) = before(&backend, splice).await;
        let mut client = connect(port).await;
        assert!(read_to_end(&mut client).await.is_empty());
        client.write_all(&pattern(LARGE)).await.unwrap();
        drop(client);
        assert!(backend.noted(number + 1).await[number] == pattern(LARGE));
    }
}

#[tokio::test]
async fn a_clients_reset_reaches_the_endpoint() {
    let backend = Backend::connections(|mut stream, _, noted| async move {
        let heard = read_to_reset(&mut stream).await;
        note(&noted, &heard);
    })
    .await;
    let (_mesh, port) = before(&backend, true).await;
    let mut client = connect(port).await;
    client.write_all(b"half of a mess").await.unwrap();
    // Not before the endpoint has all of it: a reset overtakes what the kernel has not sent yet.
    backend_has(&backend).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    reset(client);
    assert_eq!(backend.noted(1).await, [b"half of a mess"]);
}

async fn backend_has(backend: &Backend) {
    let connected = async {
        while backend.opened() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(connected).await;
}

#[tokio::test]
async fn an_endpoints_reset_in_the_middle_is_no_end() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let mut byte = [0];
        stream.write_all(&pattern(LARGE)).await.unwrap();
        // The client has seen a part of it.
        stream.read_exact(&mut byte).await.unwrap();
        reset(stream);
    })
    .await;
    for splice in [true, false] {
        let (mesh, port) = before(&backend, splice).await;
        let mut client = connect(port).await;
        let start = read(&mut client, 1024).await;
        client.write_all(b"x").await.unwrap();
        let rest = read_to_reset(&mut client).await;
        assert!(pattern(LARGE).starts_with(&[start, rest].concat()));
        mesh.shows("upstream_failures_total", "store", "reason=\"endpoint_reset\"", 1).await;
        mesh.shows("connections", "store", "", 0).await;
    }
}

#[tokio::test]
async fn a_reset_after_a_half_close_reaches_the_other_side() {
    let backend = Backend::connections(|mut stream, _, noted| async move {
        read_to_end(&mut stream).await;
        note(&noted, b"the client has shut its side");
        until_reset(&stream).await;
        note(&noted, b"reset");
    })
    .await;
    let (_mesh, port) = before(&backend, true).await;
    let mut client = connect(port).await;
    client.shutdown().await.unwrap();
    backend.noted(1).await;
    reset(client);
    assert_eq!(backend.noted(2).await[1], b"reset");
}

#[tokio::test]
async fn a_reset_reaches_an_endpoint_that_does_not_read() {
    let backend = Backend::connections(|stream, _, noted| async move {
        until_reset(&stream).await;
        note(&noted, b"reset");
    })
    .await;
    for (number, splice) in [true, false].into_iter().enumerate() {
        let (mesh, port) = before(&backend, splice).await;
        let client = connect(port).await;
        fill(&client).await;
        reset(client);
        backend.noted(number + 1).await;
        mesh.shows("connections", "store", "", 0).await;
    }
}

/// Writes until nothing more goes in, for as long as it takes to be sure.
async fn fill(stream: &TcpStream) {
    let bytes = vec![0; 64 * 1024];
    let full = async {
        while tokio::time::timeout(Duration::from_millis(300), stream.writable()).await.is_ok() {
            let _ = stream.try_write(&bytes);
        }
    };
    within(full).await;
}

#[tokio::test]
async fn what_an_endpoint_said_before_it_broke_arrives() {
    // It closes with something unread, which the kernel makes a reset of.
    let backend = Backend::connections(|mut stream, _, _| async move {
        stream.write_all(b"too large").await.unwrap();
        stream.readable().await.unwrap();
    })
    .await;
    for splice in [true, false] {
        for _ in 0..20 {
            let (_mesh, port) = before(&backend, splice).await;
            let mut client = connect(port).await;
            let _ = client.write_all(&pattern(1024 * 1024)).await;
            let mut answer = [0; 9];
            within(client.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"too large");
            let _ = client.read(&mut answer).await;
        }
    }
}
