//! Numbered messages over TCP and UDP, of which each must come back before the next is sent.
//!
//! In: a place to send to. Out: the outcome of each message. A datagram that does not come back is sent again, as
//! clients of UDP do, from the same port; so a session that moves to another server shows, and not the loss on its way.

use crate::{
    answer::Answer,
    arguments::Messages,
    gather::gather,
    lookup::{self, Names},
    series::{End, Line, Place, Plan, exchange},
    summary::Summary,
};
use anyhow::{Context, Result, bail};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep_until, timeout},
};

/// After how long a datagram is sent again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the other side may take to end a connection that this one has ended.
const GOODBYE: Duration = Duration::from_secs(1);
/// The largest datagram of UDP.
const DATAGRAM: usize = 65_535;

/// Sends all messages; what it came to.
pub async fn run(arguments: Messages) -> Result<Summary> {
    let (scheme, rest) = arguments.place.split_once("://").unwrap_or_default();
    let (host, port) =
        rest.rsplit_once(':').context("a place such as tcp://HOST:PORT or udp://HOST:PORT is needed")?;
    let port = port.parse().context("the port is not a number")?;
    let address = Address { names: Names::of(host)?, host: host.to_owned(), port };
    match scheme {
        "tcp" => send(Connections(address), arguments).await,
        "udp" => send(Sockets(address), arguments).await,
        other => bail!("{other:?} is neither tcp nor udp"),
    }
}

async fn send<P: Place + 'static>(place: P, arguments: Messages) -> Result<Summary> {
    let Messages { place: _, per_line, series, summary } = arguments;
    let place = Arc::new(place);
    let lines = usize::from(series.connections.get());
    gather(series.count, lines, !summary, |_, messages, teller| {
        let place = Arc::clone(&place);
        let plan = Plan {
            messages,
            per_line,
            interval: series.interval,
            limit: series.timeout,
            reconnect: series.reconnect,
        };
        async move { exchange(&*place, plan, |outcome| drop(teller.send(outcome))).await }
    })
    .await
}

struct Address {
    names: Names,
    host: String,
    port: u16,
}

/// A place that connections are opened to.
struct Connections(Address);

/// A place that datagrams are sent to, from a port of one's own for each line.
struct Sockets(Address);

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// What has come of a line; kept where waiting for the rest is given up.
    line: Vec<u8>,
    /// Who is at its other end.
    answer: Answer,
}

struct Socket {
    socket: UdpSocket,
    /// What is under way, and when it is sent again.
    sent: Option<(u64, Instant)>,
    datagram: Vec<u8>,
}

fn broken(when: &str, error: &io::Error) -> End {
    End::Broken(format!("{when}: {error}"))
}

impl Address {
    async fn find(&self) -> Result<SocketAddr, End> {
        let place = lookup::place(&self.host, self.port, self.names.resolver()).await;
        place.map_err(|error| End::Broken(format!("{error:#}")))
    }
}

impl Place for Connections {
    type Line = Connection;

    async fn open(&self) -> Result<Connection, End> {
        let place = self.0.find().await?;
        let stream = TcpStream::connect(place).await.map_err(|error| broken("connect", &error))?;
        let _ = stream.set_nodelay(true); // fails where the server is gone already
        let (reader, writer) = stream.into_split();
        let (reader, answer) = (BufReader::new(reader), Answer::default());
        let mut connection = Connection { reader, writer, line: Vec::new(), answer };
        let line = connection.line().await?;
        connection.answer = serde_json::from_slice(&line)
            .map_err(|error| End::Broken(format!("the server's line: {error}")))?;
        Ok(connection)
    }
}

impl Connection {
    /// The next line that comes.
    async fn line(&mut self) -> Result<Vec<u8>, End> {
        let read = self.reader.read_until(b'\n', &mut self.line).await;
        match read.map_err(|error| broken("receive", &error))? {
            _ if self.line.ends_with(b"\n") => Ok(std::mem::take(&mut self.line)),
            _ if self.line.is_empty() => Err(End::Orderly("closed".to_owned())),
            _ => Err(End::Broken("closed within a line".to_owned())),
        }
    }
}

impl Line for Connection {
    async fn send(&mut self, number: u64) -> Result<(), End> {
        // What ended a connection is read next.
        let _ = self.writer.write_all(format!("{number}\n").as_bytes()).await;
        Ok(())
    }

    async fn receive(&mut self) -> Result<(u64, Answer), End> {
        let line = self.line().await?;
        Ok((number(&line)?, self.answer.clone()))
    }

    async fn close(mut self) {
        // Where the other side does not end it too, it is cut.
        let _ = self.writer.shutdown().await;
        let _ = timeout(GOODBYE, self.reader.read_to_end(&mut self.line)).await;
    }
}

fn number(text: &[u8]) -> Result<u64, End> {
    let text = String::from_utf8_lossy(text);
    text.trim_end().parse().map_err(|_| End::Broken(format!("{text:?} came back")))
}

impl Place for Sockets {
    type Line = Socket;

    async fn open(&self) -> Result<Socket, End> {
        let place = self.0.find().await?;
        let any = if place.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await.map_err(|error| broken("bind", &error))?;
        // Only answers from where it sends to are taken.
        socket.connect(place).await.map_err(|error| broken("connect", &error))?;
        Ok(Socket { socket, sent: None, datagram: vec![0; DATAGRAM] })
    }
}

impl Socket {
    async fn transmit(&mut self, number: u64) {
        self.sent = Some((number, Instant::now() + AGAIN));
        // Errors are those of earlier datagrams, such as a server that is gone.
        let _ = self.socket.send(number.to_string().as_bytes()).await;
    }

    /// The answer to what is under way, if that is what came; others are those to what was sent more than once.
    fn take(&mut self, length: usize) -> Result<Option<(u64, Answer)>, End> {
        let datagram = self.datagram.get(..length).unwrap_or_default();
        let mut parts = datagram.splitn(2, |byte| *byte == b'\n');
        let (Some(line), Some(rest)) = (parts.next(), parts.next()) else {
            return Err(End::Broken("a datagram without the server's line".to_owned()));
        };
        let number = number(rest)?;
        if self.sent.is_none_or(|(sent, _)| sent != number) {
            return Ok(None);
        }
        let answer = serde_json::from_slice(line)
            .map_err(|error| End::Broken(format!("the server's line: {error}")))?;
        self.sent = None;
        Ok(Some((number, answer)))
    }
}

impl Line for Socket {
    async fn send(&mut self, number: u64) -> Result<(), End> {
        self.transmit(number).await;
        Ok(())
    }

    async fn receive(&mut self) -> Result<(u64, Answer), End> {
        loop {
            let sent = self.sent;
            let again = async {
                match sent {
                    Some((number, at)) => {
                        sleep_until(at).await;
                        number
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.socket.recv(&mut self.datagram) => {
                    // An error tells of a datagram that nobody took; it is sent again in its time.
                    let Ok(length) = received else { continue };
                    if let Some(answered) = self.take(length)? {
                        return Ok(answered);
                    }
                }
                number = again => self.transmit(number).await,
            }
        }
    }

    async fn close(self) {}
}
