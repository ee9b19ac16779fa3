//! The echo server.
//!
//! In: requests. Out: answers that say who called and where this runs. When told to end it says that it is not ready, takes
//! connections for a while still, finishes what is under way, and ends.

use crate::{answer::Answer, arguments::Serve, arguments::duration, client::Client, raw};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::{Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout},
};

/// How long requests under way may still take.
const FINISH: Duration = Duration::from_secs(10);
/// How long a server that this one calls may take.
const CALL: Duration = Duration::from_secs(5);
/// The most bytes that `/bytes/N` answers.
const MOST_BYTES: usize = 64 * 1024 * 1024;

struct Server {
    arguments: Serve,
    draining: AtomicBool,
}

/// Serves until told to end.
pub async fn serve(arguments: Serve) -> Result<()> {
    let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let http = TcpListener::bind(any(arguments.http_port)).await.context("HTTP port")?;
    let tcp = TcpListener::bind(any(arguments.tcp_port)).await.context("TCP port")?;
    let udp = UdpSocket::bind(any(arguments.udp_port)).await.context("UDP port")?;
    let server = Arc::new(Server { arguments, draining: AtomicBool::new(false) });
    let raw_tcp = tokio::spawn(raw::tcp(tcp, server.me()));
    let raw_udp = tokio::spawn(raw::udp(udp));
    let connections = GracefulShutdown::new();
    tokio::select! {
        ended = accept(&server, &http, &connections) => ended?,
        told = drain(&server) => told?,
    }
    drop(http);
    raw_tcp.abort();
    raw_udp.abort();
    let _ = timeout(FINISH, connections.shutdown()).await; // what takes longer is cut off
    Ok(())
}

/// Returns when told to end.
pub async fn until_told() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn drain(server: &Server) -> Result<()> {
    until_told().await?;
    server.draining.store(true, Ordering::Relaxed);
    sleep(server.arguments.drain).await;
    Ok(())
}

async fn accept(server: &Arc<Server>, http: &TcpListener, connections: &GracefulShutdown) -> Result<()> {
    loop {
        let (stream, peer) = http.accept().await?;
        stream.set_nodelay(true)?;
        let server = Arc::clone(server);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(peer, request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connections.watch(connection));
    }
}

impl Server {
    fn me(&self) -> Answer {
        let Serve { name, pod, node, .. } = self.arguments.clone();
        Answer { service: name, pod, node, ..Answer::default() }
    }

    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let path = head.uri.path().to_owned();
        let mut segments = path.trim_start_matches('/').splitn(2, '/');
        match (segments.next().unwrap_or_default(), segments.next().unwrap_or_default()) {
            ("healthz", _) if self.draining.load(Ordering::Relaxed) => {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
            }
            ("healthz", _) => return plain(StatusCode::OK, "ok\n"),
            ("echo", _) => return Response::new(Full::new(body)),
            ("status", code) => {
                let code = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
                return plain(code.unwrap_or(StatusCode::BAD_REQUEST), "as asked\n");
            }
            ("delay", time) => sleep(duration(time).unwrap_or_default()).await,
            ("bytes", count) => {
                let count = count.parse().unwrap_or(0).min(MOST_BYTES);
                return Response::new(Full::new(Bytes::from(vec![b'w'; count])));
            }
            _ => {}
        }
        let calls = if path == "/" { self.calls().await } else { Vec::new() };
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        // An IPv4 peer of a dual-stack socket is shown as IPv4.
        let answer = Answer {
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string(),
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: headers.collect(),
            body_bytes: body.len(),
            calls,
            ..self.me()
        };
        let text = serde_json::to_string(&answer).unwrap_or_default(); // plain data always serializes
        Response::new(Full::new(Bytes::from(text + "\n")))
    }

    /// Calls the servers that this one depends on.
    async fn calls(&self) -> Vec<Value> {
        let call = |url: &String| {
            let client = Client::new(url, true, CALL);
            let url = url.clone();
            async move {
                match client {
                    Ok(client) => match client.send(Instant::now()).await.answer {
                        Ok(answer) => json!(answer),
                        Err(error) => json!({"url": url, "error": error}),
                    },
                    Err(error) => json!({"url": url, "error": error.to_string()}),
                }
            }
        };
        futures::future::join_all(self.arguments.calls.iter().map(call)).await
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
