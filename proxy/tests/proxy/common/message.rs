//! Reads HTTP/1 messages from a socket.

use super::within;
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[derive(Clone, Debug, Default)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a request and reads the answer.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Message {
    within(stream.write_all(request)).await.unwrap();
    let is_head = request.starts_with(b"HEAD ");
    within(read(stream, is_head)).await.unwrap().expect("an answer")
}

/// Reads one message; none at the end of the connection.
pub async fn read(stream: &mut TcpStream, without_body: bool) -> io::Result<Option<Message>> {
    let Some(head) = head(stream).await? else { return Ok(None) };
    let mut message = Message { head, body: Vec::new() };
    if !without_body {
        message.body = body(stream, &message).await?;
    }
    Ok(Some(message))
}

/// Reads one head, byte by byte so that nothing behind it is taken.
pub async fn head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8(head).unwrap()))
}

pub async fn body(stream: &mut TcpStream, message: &Message) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if message.header("transfer-encoding").is_some() {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await?);
            }
            let size = std::str::from_utf8(&line).unwrap().trim();
            let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    let is_response = message.head.starts_with("HTTP/");
    if let Some(length) = message.header("content-length") {
        body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await?;
    } else if is_response && !matches!(message.status(), 100..=199 | 204 | 304) {
        stream.read_to_end(&mut body).await?;
    }
    Ok(body)
}
