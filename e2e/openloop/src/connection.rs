//! Exchanges one request for its answer, over a connection that rests or a new one.
//!
//! In: an address and a path. Out: whether the answer came whole, with status 200.

use anyhow::{Context, Result, ensure};
use std::{cell::RefCell, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More than any answer's head here.
const HEAD: usize = 8 * 1024;

/// Whom to ask, and for what.
pub struct Target {
    address: SocketAddr,
    request: Vec<u8>,
    /// Connections that rest, the warmest last.
    resting: RefCell<Vec<TcpStream>>,
}

impl Target {
    /// A target without connections.
    pub fn new(address: SocketAddr, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        Self { address, request, resting: RefCell::default() }
    }

    /// Sends the request and reads the answer to its end.
    pub async fn exchange(&self) -> Result<()> {
        let resting = self.resting.borrow_mut().pop();
        let mut stream = match resting {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await.context("connect")?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(&self.request).await.context("write")?;
        read(&mut stream).await?;
        self.resting.borrow_mut().push(stream);
        Ok(())
    }
}

/// Reads one answer.
async fn read(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = vec![0; HEAD];
    let mut filled = 0;
    let (head, body) = loop {
        let count = stream.read(&mut buffer[filled..]).await.context("read")?;
        ensure!(count > 0, "the answer ended early");
        filled += count;
        if let Some(sizes) = sizes(&buffer[..filled])? {
            break sizes;
        }
        ensure!(filled < buffer.len(), "the head is too long");
    };
    let mut rest = (head + body).checked_sub(filled).context("more came than was asked for")?;
    while rest > 0 {
        let wanted = rest.min(buffer.len());
        let count = stream.read(&mut buffer[..wanted]).await.context("read")?;
        ensure!(count > 0, "the body ended early");
        rest -= count;
    }
    Ok(())
}

/// The bytes of a head and of the body that it announces, once the head is whole.
fn sizes(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    ensure!(response.code == Some(200), "status {}", response.code.unwrap_or_default());
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("an answer without content-length")?.value;
    Ok(Some((head, std::str::from_utf8(length)?.trim().parse()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_an_answer_is_in_its_head() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
        assert_eq!(sizes(whole).unwrap(), Some((38, 5)));
        assert_eq!(sizes(&whole[..30]).unwrap(), None);
        assert!(sizes(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(sizes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
