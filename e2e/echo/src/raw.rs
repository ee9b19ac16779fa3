//! TCP and UDP, byte for byte.
//!
//! In: connections and datagrams, or a place to call. Out: the same bytes back, after a line (over TCP) that says who
//! called whom; the client demands them.

use crate::{answer::Answer, arguments::Tcp, lookup};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

/// The largest datagram of UDP.
const DATAGRAM: usize = 65_535;

/// Echoes TCP for ever.
pub async fn tcp(listener: TcpListener, me: Answer) -> Result<()> {
    loop {
        let (mut stream, peer) = listener.accept().await?;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port()); // IPv4 is shown as IPv4
        let me = Answer { peer: peer.to_string(), ..me.clone() };
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            stream.write_all(format!("{}\n", serde_json::to_string(&me)?).as_bytes()).await?;
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
            anyhow::Ok(writer.shutdown().await?)
        });
    }
}

/// Echoes UDP for ever.
pub async fn udp(socket: UdpSocket) -> Result<()> {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (length, peer) = socket.recv_from(&mut datagram).await?;
        socket.send_to(&datagram[..length], peer).await?;
    }
}

/// Sends bytes and demands the same back; prints the server's line.
pub async fn call(arguments: Tcp) -> Result<()> {
    let (host, port) = arguments.place.rsplit_once(':').context("HOST:PORT is needed")?;
    let port = port.parse().context("the port is not a number")?;
    timeout(arguments.timeout, exchange(host, port, arguments.bytes)).await.context("timeout")?
}

async fn exchange(host: &str, port: u16, count: usize) -> Result<()> {
    let place = lookup::place(&lookup::resolver()?, host, port).await?;
    let stream = TcpStream::connect(place).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    reader.read_line(&mut line).await.context("the server's line")?;
    print!("{line}");
    let sent = noise(count);
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    });
    let mut received = Vec::with_capacity(count);
    reader.read_to_end(&mut received).await.context("bytes back")?;
    sending.await?.context("bytes out")?;
    ensure!(received.len() == count, "{} of {count} bytes came back", received.len());
    ensure!(received == expected, "other bytes came back");
    println!("{count} bytes sent and received");
    Ok(())
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
