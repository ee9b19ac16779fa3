//! TCP connections without a protocol: what tests of raw traffic need.

use super::{backend::Backend, message::Message, tcp, within};
use socket2::SockRef;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::TcpStream,
};
use weft_contract::{Policy, Service};

/// What a backend notes.
pub type Noted = Arc<Mutex<Vec<Message>>>;

/// Says the same back, and ends when the client does.
pub async fn echo() -> Backend {
    Backend::connections(|mut stream, _, _| async move {
        let (mut from, mut to) = stream.split();
        let _ = copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await
}

/// Says hello at once, and then the same back.
pub async fn greeting() -> Backend {
    Backend::connections(|mut stream, _, _| async move {
        stream.write_all(b"hello").await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = copy(&mut from, &mut to).await;
    })
    .await
}

/// Resets each connection as soon as it is there.
pub async fn resetting() -> Backend {
    Backend::connections(|stream, _, _| async move { reset(stream) }).await
}

/// A TCP Service whose policy is the default but for what `change` does.
pub fn raw(name: &str, listener: u16, endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> Service {
    let mut service = tcp(name, listener, endpoints);
    change(&mut service.policy);
    service
}

/// Closes a connection by a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// So many bytes, no two parts of which are alike.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251 + index / 65_521) as u8).collect()
}

/// Reads so many bytes.
pub async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Reads up to the end.
pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    within(stream.read_to_end(&mut all)).await.unwrap();
    all
}

/// Reads up to a reset, and fails where the end comes instead.
pub async fn read_to_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let error = within(stream.read_to_end(&mut all)).await.expect_err("a clean end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    all
}

/// Ends when the other side has reset the connection, whether or not anything is read from it.
pub async fn until_reset(stream: &TcpStream) {
    within(stream.ready(tokio::io::Interest::ERROR)).await.unwrap();
}

/// Whether a connection still carries bytes to an [`echo`] and back.
pub async fn is_alive(client: &mut TcpStream) -> bool {
    let mut echo = [0; 4];
    client.write_all(b"ping").await.is_ok()
        && within(client.read_exact(&mut echo)).await.is_ok()
        && echo == *b"ping"
}

pub fn note(noted: &Noted, body: &[u8]) {
    noted.lock().unwrap().push(Message { head: String::new(), body: body.to_vec() });
}

impl Backend {
    /// Waits until it has noted so many things; the bodies of all.
    pub async fn noted(&self, number: usize) -> Vec<Vec<u8>> {
        let enough = async {
            while self.requests().len() < number {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(enough).await;
        self.requests().into_iter().map(|message| message.body).collect()
    }
}
