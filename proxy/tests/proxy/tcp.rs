//! TCP through the proxy is what it would be without it.

use crate::common::{self, Mesh, backend::Backend, connect, dead, free_port, tcp, within};
use std::{io::ErrorKind, net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::TcpStream,
};

async fn echo() -> Backend {
    Backend::connections(|mut stream, _, _| async move {
        let (mut from, mut to) = stream.split();
        let _ = copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    within(stream.read_to_end(&mut all)).await.unwrap();
    all
}

#[tokio::test]
async fn bytes_pass_unchanged_both_ways() {
    let backend = echo().await;
    let port = free_port();
    let mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let sent: Vec<u8> = (0..10 * 1024 * 1024_usize).map(|index| (index * 31 % 251) as u8).collect();
    let (mut reading, mut writing) = connect(port).await.into_split();
    let writer = {
        let sent = sent.clone();
        tokio::spawn(async move {
            writing.write_all(&sent).await.unwrap();
            writing.shutdown().await.unwrap();
        })
    };
    let mut back = Vec::new();
    within(reading.read_to_end(&mut back)).await.unwrap();
    within(writer).await.unwrap();
    assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    let metrics = mesh.admin("/metrics").await;
    for direction in ["received", "sent"] {
        let line = format!(
            "weft_tcp_bytes_total{{namespace=\"shop\",service=\"store\",port=\"80\",direction=\"{direction}\"}} {}",
            sent.len()
        );
        assert!(metrics.text().contains(&line), "{}", metrics.text());
    }
}

#[tokio::test]
async fn each_side_may_close_its_direction_first() {
    // The backend says everything and closes, then listens on.
    let backend = Backend::connections(|mut stream, _, noted| async move {
        stream.write_all(b"all I have to say").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        noted.lock().unwrap().push(common::message::Message { head: String::new(), body: heard });
    })
    .await;
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    assert_eq!(read_to_end(&mut client).await, b"all I have to say");
    client.write_all(b"and I still send").await.unwrap();
    drop(client);
    let heard = async {
        while backend.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(heard).await;
    assert_eq!(backend.requests()[0].body, b"and I still send");
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let mut client = connect(port).await;
    client.write_all(b"x").await.unwrap();
    let error = within(client.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn without_an_endpoint_the_client_is_reset() {
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[])]).await;
    // The reset may come before the connection is told to be there.
    let error = match within(TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
        Ok(mut client) => within(client.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over() {
    let backend = echo().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[dead(), backend.address, dead()])]).await;
    for _ in 0..20 {
        let mut client = connect(port).await;
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut client).await, b"hello");
    }
}
