//! TCP and UDP, byte for byte.
//!
//! In: connections and datagrams, or a place to call. Out: a line that says who called whom, and then the same bytes; the
//! client demands them.

use crate::{answer::Answer, arguments::Tcp, lookup, server::next, site::Site};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

/// The largest datagram of UDP.
const DATAGRAM: usize = 65_535;

/// Echoes TCP for ever. Connections are among what the server finishes when it goes.
pub async fn tcp(listener: TcpListener, site: Arc<Site>) {
    loop {
        let (stream, peer) = next(&listener).await;
        let line = site.me.to(peer).line();
        site.tasks.spawn(async move { drop(echo(stream, line).await) }); // it fails where the client is gone
    }
}

async fn echo(mut stream: TcpStream, line: String) -> std::io::Result<()> {
    stream.write_all(line.as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

/// Echoes UDP for ever: each datagram comes back with the line before it.
pub async fn udp(socket: UdpSocket, me: Answer) {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        // Errors are those of earlier datagrams, such as a client that is gone.
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else { continue };
        let mut answer = me.to(peer).line().into_bytes();
        answer.extend_from_slice(&datagram[..length]);
        let _ = socket.send_to(&answer, peer).await; // one that grew too long is lost, as datagrams are
    }
}

/// Sends bytes and demands the same back; the server's line, and how many they were.
pub async fn call(arguments: &Tcp) -> Result<(String, usize)> {
    let (host, port) = arguments.place.rsplit_once(':').context("HOST:PORT is needed")?;
    let port = port.parse().context("the port is not a number")?;
    timeout(arguments.timeout, exchange(host, port, arguments.bytes)).await.context("timeout")?
}

async fn exchange(host: &str, port: u16, count: usize) -> Result<(String, usize)> {
    let place = lookup::place(host, port, None).await?;
    let stream = TcpStream::connect(place).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    reader.read_line(&mut line).await.context("the server's line")?;
    let sent = noise(count);
    let expected = sent.clone();
    // At the same time as the bytes back are read: neither side has room for all of them.
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    });
    let mut received = Vec::with_capacity(count);
    reader.read_to_end(&mut received).await.context("bytes back")?;
    sending.await?.context("bytes out")?;
    ensure!(received.len() == count, "{} of {count} bytes came back", received.len());
    ensure!(received == expected, "other bytes came back");
    Ok((line.trim_end().to_owned(), count))
}

/// Bytes that repeat late (xorshift, Marsaglia 2003), so that a piece missing or twice shows.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(count).collect()
}
