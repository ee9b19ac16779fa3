//! Backends that remember what they were sent.

use super::message::{self, Message};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub struct Backend {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<Mutex<Vec<Message>>>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Serves each connection by `serve`, which gets its number, from 1.
    pub async fn connections<F>(
        serve: impl Fn(TcpStream, usize, Arc<Mutex<Vec<Message>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::connections_at(1, serve).await
    }

    /// The same at another address of this machine, by its last byte: another pod.
    pub async fn connections_at<F>(
        last_byte: u8,
        serve: impl Fn(TcpStream, usize, Arc<Mutex<Vec<Message>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last_byte), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (counted, noted) = (Arc::clone(&connections), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(serve(stream, number, Arc::clone(&noted)));
            }
        });
        Self { address, connections, requests, task }
    }

    /// Answers each request by `answer`, with keep-alive.
    pub async fn http(answer: impl Fn(&Message) -> Vec<u8> + Clone + Send + Sync + 'static) -> Self {
        Self::slow_at(1, Duration::ZERO, answer).await
    }

    /// The same after a pause.
    pub async fn slow(
        pause: Duration,
        answer: impl Fn(&Message) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::slow_at(1, pause, answer).await
    }

    async fn slow_at(
        last_byte: u8,
        pause: Duration,
        answer: impl Fn(&Message) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::connections_at(last_byte, move |mut stream, _, noted| {
            let answer = answer.clone();
            async move {
                while let Ok(Some(head)) = message::head(&mut stream).await {
                    let mut request = Message { head, body: Vec::new() };
                    if request.header("expect").is_some() {
                        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                    }
                    let Ok(body) = message::body(&mut stream, &request).await else { return };
                    request.body = body;
                    noted.lock().unwrap().push(request.clone());
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    if stream.write_all(&answer(&request)).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Answers each request with `name`.
    pub async fn named(name: &'static str) -> Self {
        Self::named_at(1, name).await
    }

    /// The same at another address of this machine, by its last byte: another pod.
    pub async fn named_at(last_byte: u8, name: &'static str) -> Self {
        Self::slow_at(last_byte, Duration::ZERO, move |_| ok(name.as_bytes())).await
    }

    pub fn opened(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }
}

pub fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}
