//! A backend that keeps every byte it was sent, and messages told apart in bytes.

use super::{Mesh, free_port, http};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What each connection brought, in the order in which they were opened.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

/// The backend. It answers each whole request, and nothing else.
pub struct Raw {
    pub address: SocketAddr,
    seen: Seen,
    task: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    /// Answers each request with these bytes, and keeps the connection.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), false).await
    }

    /// Answers the first request of each connection with these bytes, and closes it.
    pub async fn closing(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), true).await
    }

    async fn start(answer: Vec<u8>, close: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), close, Arc::clone(&noted)));
            }
        });
        Self { address, seen, task }
    }

    /// All that came, over all connections.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().concat()
    }

    /// The whole requests among it, as they came.
    pub fn requests(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let text = |request: &[u8]| String::from_utf8_lossy(request).into_owned();
        seen.iter().flat_map(|bytes| split(bytes).0).map(|request| text(&request)).collect()
    }
}

async fn serve(mut stream: TcpStream, answer: Vec<u8>, close: bool, seen: Seen) {
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(Vec::new());
        seen.len() - 1
    };
    let mut answered = 0;
    let mut read = [0; 4096];
    loop {
        let Ok(count @ 1..) = stream.read(&mut read).await else { return };
        let whole = {
            let mut seen = seen.lock().unwrap();
            seen[number].extend_from_slice(&read[..count]);
            split(&seen[number]).0.len()
        };
        while answered < whole {
            answered += 1;
            if stream.write_all(&answer).await.is_err() || close {
                return;
            }
        }
    }
}

/// The whole messages at the front of `bytes`, and what is left.
pub fn split(mut bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut messages = Vec::new();
    while let Some(size) = size(bytes) {
        messages.push(bytes[..size].to_vec());
        bytes = &bytes[size..];
    }
    (messages, bytes.to_vec())
}

/// How long the message is that `bytes` begin with; none where it is not whole.
fn size(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned()))
    };
    let bodyless = ["http/1.1 1", "http/1.1 204", "http/1.1 304"].iter().any(|line| text.starts_with(line));
    if bodyless {
        return Some(head);
    }
    if field("transfer-encoding").is_some() {
        let mut place = head;
        loop {
            let line = place + find(&bytes[place..], b"\r\n")?;
            let digits = std::str::from_utf8(&bytes[place..line]).ok()?;
            let chunk = usize::from_str_radix(digits.split(';').next()?, 16).ok()?;
            if chunk == 0 {
                // Behind it trailers, or nothing but the empty line.
                return Some(line + find(&bytes[line..], b"\r\n\r\n")? + 4);
            }
            place = line + 2 + chunk + 2;
            if place > bytes.len() {
                return None;
            }
        }
    }
    let length = field("content-length").map_or(0, |length| length.parse().unwrap_or(usize::MAX));
    let size = head.checked_add(length)?;
    (size <= bytes.len()).then_some(size)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Sends `request` and reads until the proxy closes; with `half_close` the client says that nothing more comes. One that
/// is not closed ends with `HANGS`, which is no answer.
pub async fn until_closed(port: u16, request: &[u8], half_close: bool) -> Vec<u8> {
    let mut stream = super::connect(port).await;
    let mut came = Vec::new();
    let ended = tokio::time::timeout(super::PATIENCE, async {
        let _ = stream.write_all(request).await; // it may be refused before all of it is sent
        if half_close {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut came).await; // a reset ends it as well
    })
    .await;
    if ended.is_err() {
        came.extend_from_slice(b"HANGS");
    }
    came
}

/// The statuses of whole answers, interim ones included.
pub fn statuses(came: &[u8]) -> Vec<u16> {
    split(came).0.iter().map(|answer| String::from_utf8_lossy(&answer[9..12]).parse().unwrap()).collect()
}

/// A Service for each case, so that each has a backend of its own.
pub async fn mesh(backends: &[Raw]) -> (Mesh, Vec<u16>) {
    let ports: Vec<u16> = backends.iter().map(|_| free_port()).collect();
    let services = ports.iter().zip(backends).enumerate();
    let services =
        services.map(|(number, (port, backend))| http(&format!("s{number}"), *port, &[backend.address]));
    (Mesh::with(services.collect()).await, ports)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
