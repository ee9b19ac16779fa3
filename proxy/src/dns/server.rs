//! The sockets on which questions come.
//!
//! In: an address, and a way to get the current [`Names`]. Out: replies. Hickory reads and writes the messages;
//! the sockets are served here, because hickory's own server puts no bound on connections, starts a task for
//! each datagram and writes two lines of log for each query.

use super::{
    Error,
    message::{Carrier, Reply, reply},
    names::Names,
};
use crate::metrics::DnsQueries;
use hickory_proto::op::ResponseCode;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How many connections are served at once; further ones wait in the kernel's queue. Resolvers ask over TCP
/// only what was truncated, so that this bounds memory, not service.
const MOST_CONNECTIONS: usize = 256;
/// How long a connection may take for a question or to accept its reply. A stub resolver asks at once.
const IDLE: Duration = Duration::from_secs(5);
/// How many connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// Larger than any question; what is longer arrives cut and is answered as malformed.
const LARGEST_QUESTION: usize = 4096;
/// How long to rest after a socket failed, which it does when the process is out of files or memory.
const REST: Duration = Duration::from_millis(50);

/// The bound sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

/// What a reply is made from.
pub(super) struct Responder<F> {
    names: F,
    turn: AtomicUsize,
    queries: DnsQueries,
}

// === impl Sockets ===

impl Sockets {
    /// Binds UDP and TCP. `[::]` takes both families, and becomes `0.0.0.0` where the node has no IPv6.
    pub(super) fn bind(address: SocketAddr) -> Result<Self, Error> {
        match Self::bind_exactly(address) {
            Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                Self::bind_exactly(address).map_err(|source| Error::Bind { address, source })
            }
            bound => bound.map_err(|source| Error::Bind { address, source }),
        }
    }

    fn bind_exactly(address: SocketAddr) -> io::Result<Self> {
        let tcp = open(address, Type::STREAM, Protocol::TCP)?;
        tcp.set_reuse_address(true)?;
        tcp.bind(&address.into())?;
        tcp.listen(BACKLOG)?;
        let tcp = TcpListener::from_std(tcp.into())?;
        // The same port as TCP, also where the caller left the choice to the kernel.
        let address = SocketAddr::new(address.ip(), tcp.local_addr()?.port());
        let udp = open(address, Type::DGRAM, Protocol::UDP)?;
        udp.bind(&address.into())?;
        Ok(Self { udp: UdpSocket::from_std(udp.into())?, tcp })
    }

    /// Where the sockets are bound.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    /// Serves both sockets until dropped.
    pub(super) async fn serve<F>(self, names: F, queries: DnsQueries)
    where
        F: Fn() -> Option<Arc<Names>> + Send + Sync + 'static,
    {
        let Self { udp, tcp } = self;
        let responder = Arc::new(Responder { names, turn: AtomicUsize::new(0), queries });
        tokio::join!(serve_datagrams(&udp, &responder), serve_connections(&tcp, &responder));
    }
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn serve_datagrams<F>(socket: &UdpSocket, responder: &Responder<F>)
where
    F: Fn() -> Option<Arc<Names>>,
{
    let mut buffer = vec![0; LARGEST_QUESTION];
    loop {
        let (length, asker) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "receiving a DNS question failed");
                sleep(REST).await;
                continue;
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        let Some(reply) = responder.reply(packet, Carrier::Udp) else { continue };
        if let Err(error) = socket.send_to(&reply.bytes, asker).await {
            // The asker asks again; a firewall or a gone route is not ours to mend.
            tracing::debug!(%error, %asker, "sending a DNS reply failed");
        }
    }
}

async fn serve_connections<F>(listener: &TcpListener, responder: &Arc<Responder<F>>)
where
    F: Fn() -> Option<Arc<Names>> + Send + Sync + 'static,
{
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Never closed, so that this never fails.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let responder = Arc::clone(responder);
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &responder).await {
                        tracing::debug!(%error, "a DNS connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a DNS connection failed");
                sleep(REST).await;
            }
        }
    }
}

/// Answers question after question, until the asker closes, idles, or sends what deserves no reply.
async fn converse<F>(stream: TcpStream, responder: &Responder<F>) -> io::Result<()>
where
    F: Fn() -> Option<Arc<Names>>,
{
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(LARGEST_QUESTION, stream);
    let mut packet = Vec::new();
    loop {
        timeout(IDLE, async {
            let length = stream.read_u16().await?;
            packet.resize(usize::from(length), 0);
            stream.read_exact(&mut packet).await
        })
        .await??;
        let Some(Reply { bytes, .. }) = responder.reply(&packet, Carrier::Tcp) else { return Ok(()) };
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

// === impl Responder ===

impl<F> Responder<F>
where
    F: Fn() -> Option<Arc<Names>>,
{
    fn reply(&self, packet: &[u8], carrier: Carrier) -> Option<Reply> {
        let names = (self.names)();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // The reader of messages is not ours: a packet that makes it panic costs that packet's reply, not the
        // node its names.
        let made = catch_unwind(AssertUnwindSafe(|| reply(packet, names.as_deref(), carrier, turn)));
        let reply = made.unwrap_or_else(|_| {
            tracing::error!(?packet, "a DNS packet made its reader panic");
            None
        })?;
        self.queries.get_or_create(&[("code", label(reply.code))]).inc();
        Some(reply)
    }
}

/// The name of a code as `dig` shows it.
fn label(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::BADVERS => "BADVERS",
        _ => "OTHER", // hickory knows more codes than we send
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
