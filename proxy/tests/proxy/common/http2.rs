//! Clients and backends that speak HTTP/2, by the `h2` library.

use super::within;
use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest, ext::Protocol, server::SendResponse};
use http::{HeaderMap, Request, Response, request::Parts};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a client of HTTP/2 was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// Connects by prior knowledge.
pub async fn connect(port: u16) -> SendRequest<Bytes> {
    let stream = super::connect(port).await;
    let (send, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    within(send.ready()).await.unwrap()
}

pub fn get(path: &str) -> Request<()> {
    Request::get(format!("http://web.shop.mesh{path}")).body(()).unwrap()
}

pub fn post(path: &str) -> Request<()> {
    Request::post(format!("http://web.shop.mesh{path}")).body(()).unwrap()
}

/// Asks for another protocol on a stream, as RFC 8441 does.
pub async fn open(
    client: &mut SendRequest<Bytes>,
    protocol: &'static str,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    // The setting that allows it comes with the first answer, at the latest.
    within(async {
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut request = Request::connect("http://web.shop.mesh/chat?room=1").body(()).unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
    request.headers_mut().insert("origin", "http://web.shop".parse().unwrap());
    let (answer, send) = client.send_request(request, false).unwrap();
    (within(answer).await.unwrap(), send)
}

/// Sends a request without a body.
pub async fn ask(client: &SendRequest<Bytes>, request: Request<()>) -> Result<Answer, h2::Error> {
    let mut client = within(client.clone().ready()).await?;
    let (answer, _) = client.send_request(request, true)?;
    let answer = within(answer).await?;
    read(answer).await
}

/// Reads an answer to its end.
pub async fn read(answer: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut body) = answer.into_parts();
    let (body, trailers) = read_body(&mut body).await?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

pub async fn read_body(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut whole = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok((whole, within(body.trailers()).await?))
}

/// Sends data as fast as it is taken.
pub async fn send(stream: &mut h2::SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = within(std::future::poll_fn(|context| stream.poll_capacity(context))).await;
        let room = room.ok_or_else(|| h2::Error::from(h2::Reason::CANCEL))??;
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, end && data.is_empty())?;
    }
    Ok(())
}

/// One stream at a backend.
pub struct Stream {
    pub request: Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

/// A backend of HTTP/2.
pub struct Backend {
    pub address: SocketAddr,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Parts>>>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Serves each stream by `serve`.
    pub async fn streams<F>(serve: impl Fn(Stream) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), serve).await
    }

    /// The same with settings of its own.
    pub async fn with<F>(
        settings: h2::server::Builder,
        serve: impl Fn(Stream) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Parts>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let mut backend = Self::connections(move |stream, _| {
            let (settings, serve, noted) = (settings.clone(), serve.clone(), Arc::clone(&noted));
            async move { drive(stream, &settings, serve, &noted).await }
        })
        .await;
        backend.seen = seen;
        backend
    }

    /// Serves each connection by `serve`, which gets its number, from 1.
    pub async fn connections<F>(serve: impl Fn(TcpStream, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, closed): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (counted, ended) = (Arc::clone(&opened), Arc::clone(&closed));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = serve(stream, counted.fetch_add(1, Ordering::SeqCst) + 1);
                let ended = Arc::clone(&ended);
                tokio::spawn(async move {
                    served.await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, opened, closed, seen: Arc::default(), task }
    }

    /// Answers each request with `name`.
    pub async fn named(name: &'static str) -> Self {
        Self::streams(move |stream| async move { stream.answer(name.as_bytes()).await }).await
    }

    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// The heads of the requests that have come.
    pub fn requests(&self) -> Vec<Parts> {
        self.seen.lock().unwrap().clone()
    }
}

/// Serves a connection to its end, each stream on a task of its own.
pub async fn drive<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    settings: &h2::server::Builder,
    serve: impl Fn(Stream) -> F + Clone + Send + 'static,
    seen: &Mutex<Vec<Parts>>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = settings.handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (request, body) = request.into_parts();
        seen.lock().unwrap().push(request.clone());
        tokio::spawn(serve(Stream { request, body, respond }));
    }
}

impl Stream {
    /// Reads the request away and answers 200.
    pub async fn answer(mut self, body: &[u8]) {
        // Whether the client is still there is not the backend's matter.
        let _ = read_body(&mut self.body).await;
        let Ok(mut send) = self.respond.send_response(Response::new(()), false) else { return };
        let _ = send.send_data(Bytes::copy_from_slice(body), true);
    }

    /// Begins an answer of 200.
    pub fn begin(&mut self) -> h2::SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).unwrap()
    }
}
