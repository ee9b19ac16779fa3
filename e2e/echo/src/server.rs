//! The echo server's sockets, and how it ends.
//!
//! In: connections. Out: each is served. When told to end it says that it is not ready, takes connections for a while
//! still, finishes what is under way, and ends.

use crate::{
    arguments::Serve,
    grpc, raw, respond,
    site::{Phase, Site},
};
use anyhow::{Context, Result};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use std::{
    convert::Infallible,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::{sleep, timeout},
};

/// How long what is under way may still take after the last connection was taken.
const FINISH: Duration = Duration::from_secs(10);
/// How long to wait where a connection cannot be taken: without it, a lack of file descriptors would be a busy loop.
const PAUSE: Duration = Duration::from_millis(50);

/// A server with its ports open.
pub struct Server {
    http: TcpListener,
    grpc: TcpListener,
    tcp: TcpListener,
    udp: UdpSocket,
    site: Arc<Site>,
    drain: Duration,
}

impl Server {
    /// Opens the ports.
    pub fn bind(arguments: Serve) -> Result<Self> {
        let site = Arc::new(Site::new(&arguments)?);
        let Serve { http_port, grpc_port, tcp_port, udp_port, drain, .. } = arguments;
        let listen = |port| -> Result<TcpListener> { Ok(TcpListener::from_std(any(port, listen)?)?) };
        Ok(Self {
            http: listen(http_port).context("the port for HTTP")?,
            grpc: listen(grpc_port).context("the port for gRPC")?,
            tcp: listen(tcp_port).context("the port for TCP")?,
            udp: UdpSocket::from_std(any(udp_port, datagrams)?).context("the port for UDP")?,
            site,
            drain,
        })
    }

    /// Where HTTP, gRPC, TCP and UDP are served, for a server of port 0.
    #[cfg(test)]
    pub fn ports(&self) -> [u16; 4] {
        let ports =
            [self.http.local_addr(), self.grpc.local_addr(), self.tcp.local_addr(), self.udp.local_addr()];
        ports.map(|address| address.unwrap().port())
    }

    /// Serves until told to end, and then as long as it takes to end well.
    pub async fn run(self, told: impl Future<Output = ()>) {
        let Self { http, grpc, tcp, udp, site, drain } = self;
        let tcp = tokio::spawn(raw::tcp(tcp, Arc::clone(&site)));
        let udp = tokio::spawn(raw::udp(udp, site.me.clone()));
        let connections = GracefulShutdown::new();
        let end = async {
            told.await;
            site.enter(Phase::Draining);
            sleep(drain).await;
        };
        tokio::select! {
            () = accept(&site, &http, &connections, respond::respond) => {}
            () = accept(&site, &grpc, &connections, grpc::respond) => {}
            () = end => {}
        }
        drop((http, grpc));
        tcp.abort();
        udp.abort();
        site.enter(Phase::Closing);
        site.tasks.close();
        let ended = async {
            connections.shutdown().await;
            site.tasks.wait().await;
        };
        let _ = timeout(FINISH, ended).await; // what takes longer is cut off
    }
}

/// The next connection; what cannot be taken is told and left.
pub async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true); // fails where the client is gone already
                return (stream, peer);
            }
            Err(error) => {
                eprintln!("weft-echo: a connection could not be taken: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Serves connections for ever.
async fn accept<Responding, Content>(
    site: &Arc<Site>,
    listener: &TcpListener,
    connections: &GracefulShutdown,
    respond: impl Fn(Arc<Site>, SocketAddr, Request<Incoming>) -> Responding + Copy + Send + Sync + 'static,
) where
    Responding: Future<Output = Response<Content>> + Send + 'static,
    Content: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (stream, peer) = next(listener).await;
        let site = Arc::clone(site);
        let service = service_fn(move |request| {
            let responding = respond(Arc::clone(&site), peer, request);
            async { Ok::<_, Infallible>(responding.await) }
        });
        // HTTP/1.1 or HTTP/2, by the first bytes.
        let builder = Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        tokio::spawn(connections.watch(connection));
    }
}

/// Opens a port of every address: of IPv6, which takes IPv4 too, or of IPv4 where the node has no IPv6.
fn any<Socket>(port: u16, open: impl Fn(SocketAddr) -> io::Result<Socket>) -> io::Result<Socket> {
    let at = |address: IpAddr| open(SocketAddr::new(address, port));
    at(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| at(Ipv4Addr::UNSPECIFIED.into()))
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn datagrams(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
