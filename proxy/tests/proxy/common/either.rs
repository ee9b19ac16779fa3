//! A client and a backend for each version of HTTP that say the same, so that a test can be run over every pair of them.

use super::{backend, http2, within};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_contract::policy::Scheme;

/// A request or an answer.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The method; an answer has none.
    pub method: String,
    pub path: String,
    pub host: String,
    /// The status; a request has none.
    pub status: u16,
    pub headers: HeaderMap,
    /// None is a message that ends with its head.
    pub body: Option<Vec<u8>>,
    pub trailers: HeaderMap,
}

impl Said {
    pub fn get(path: &str) -> Self {
        Self { method: "GET".into(), path: path.into(), host: "web.shop.mesh".into(), ..Self::default() }
    }

    pub fn post(path: &str, body: &[u8]) -> Self {
        Self { method: "POST".into(), body: Some(body.to_vec()), ..Self::get(path) }
    }

    pub fn answer(status: u16, body: &[u8]) -> Self {
        Self { status, body: Some(body.to_vec()), ..Self::default() }
    }

    pub fn head(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    #[must_use]
    pub fn trailer(mut self, name: &'static str, value: &str) -> Self {
        self.trailers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_deref().unwrap_or_default()).unwrap()
    }

    /// The lines behind the first one, and the body, as HTTP/1 writes them.
    fn lines(&self) -> Vec<u8> {
        let mut out = Vec::new();
        line_up(&mut out, &self.headers);
        let has_length = self.headers.contains_key("content-length");
        let Some(body) = &self.body else {
            let must_say = !has_length && self.status >= 200 && !matches!(self.status, 204 | 304);
            out.extend_from_slice(if must_say { b"content-length: 0\r\n\r\n" } else { b"\r\n" });
            return out;
        };
        if has_length {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(body);
            return out;
        }
        out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        for piece in body.chunks(50_000) {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        line_up(&mut out, &self.trailers);
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn line_up(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// What a client or a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
}

pub const PAIRS: [(Speaks, Speaks); 4] = [
    (Speaks::Http1, Speaks::Http1),
    (Speaks::Http1, Speaks::Http2),
    (Speaks::Http2, Speaks::Http1),
    (Speaks::Http2, Speaks::Http2),
];

impl Speaks {
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Http1 => Scheme::Http,
            Self::Http2 => Scheme::H2c,
        }
    }

    /// Asks once, on a connection of its own.
    pub async fn ask(self, port: u16, request: &Said) -> Said {
        match self {
            Self::Http1 => ask_http1(port, request).await,
            Self::Http2 => ask_http2(port, request).await,
        }
    }
}

async fn ask_http1(port: u16, request: &Said) -> Said {
    let mut stream = super::connect(port).await;
    let first = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.path, request.host);
    let (mut reading, mut writing) = stream.split();
    let bytes = [first.as_bytes(), &request.lines()].concat();
    let is_head = request.method == "HEAD";
    let (written, answer) =
        tokio::join!(within(writing.write_all(&bytes)), within(read_http1(&mut reading, is_head)));
    written.unwrap();
    answer.expect("an answer")
}

async fn ask_http2(port: u16, request: &Said) -> Said {
    let mut client = http2::connect(port).await;
    let mut head = Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{}{}", request.host, request.path))
        .body(())
        .unwrap();
    *head.headers_mut() = request.headers.clone();
    let (answer, mut send) = client.send_request(head, request.body.is_none()).unwrap();
    let upload = async {
        if let Some(body) = &request.body {
            http2::send(&mut send, Bytes::copy_from_slice(body), false).await.unwrap();
            if request.trailers.is_empty() {
                send.send_data(Bytes::new(), true).unwrap();
            } else {
                send.send_trailers(request.trailers.clone()).unwrap();
            }
        }
    };
    let (answer, ()) = tokio::join!(async { http2::read(within(answer).await.unwrap()).await }, upload);
    let http2::Answer { status, headers, body, trailers } = answer.unwrap();
    Said { status, headers, body: Some(body), trailers: trailers.unwrap_or_default(), ..Said::default() }
}

/// A backend of either version that remembers what it was asked.
pub struct Backend {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Said>>>,
    _alive: Alive,
}

enum Alive {
    Http1 { _backend: backend::Backend },
    Http2 { _backend: http2::Backend },
}

impl Backend {
    pub async fn answering(
        speaks: Speaks,
        answer: impl Fn(&Said) -> Said + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked: Arc<Mutex<Vec<Said>>> = Arc::default();
        let noted = Arc::clone(&asked);
        match speaks {
            Speaks::Http1 => {
                let backend = backend::Backend::connections(move |stream, _, _| {
                    serve_http1(stream, Arc::clone(&noted), answer.clone())
                })
                .await;
                Self { address: backend.address, asked, _alive: Alive::Http1 { _backend: backend } }
            }
            Speaks::Http2 => {
                let backend = http2::Backend::streams(move |stream| {
                    serve_http2(stream, Arc::clone(&noted), answer.clone())
                })
                .await;
                Self { address: backend.address, asked, _alive: Alive::Http2 { _backend: backend } }
            }
        }
    }

    pub fn asked(&self) -> Vec<Said> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve_http1(mut stream: TcpStream, noted: Arc<Mutex<Vec<Said>>>, answer: impl Fn(&Said) -> Said) {
    while let Some(request) = read_http1(&mut stream, false).await {
        let said = answer(&request);
        noted.lock().unwrap().push(request);
        let bytes = [format!("HTTP/1.1 {} X\r\n", said.status).as_bytes(), &said.lines()].concat();
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn serve_http2(
    mut stream: http2::Stream,
    noted: Arc<Mutex<Vec<Said>>>,
    answer: impl Fn(&Said) -> Said,
) {
    let ended = stream.body.is_end_stream();
    let Ok((body, trailers)) = http2::read_body(&mut stream.body).await else { return };
    let request = Said {
        method: stream.request.method.to_string(),
        path: stream.request.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        host: stream.request.uri.authority().map(ToString::to_string).unwrap_or_default(),
        status: 0,
        headers: stream.request.headers,
        body: (!ended).then_some(body),
        trailers: trailers.unwrap_or_default(),
    };
    let said = answer(&request);
    noted.lock().unwrap().push(request);
    let mut head = Response::new(());
    *head.status_mut() = said.status.try_into().unwrap();
    *head.headers_mut() = said.headers.clone();
    let Ok(mut send) = stream.respond.send_response(head, said.body.is_none()) else { return };
    let Some(body) = said.body else { return };
    let ends = said.trailers.is_empty();
    let _ = http2::send(&mut send, body.into(), false).await; // the client may be gone
    let _ = if ends { send.send_data(Bytes::new(), true) } else { send.send_trailers(said.trailers) };
}

/// Reads one message of HTTP/1, trailers included; none at the end of the connection.
async fn read_http1(stream: &mut (impl AsyncReadExt + Unpin), without_body: bool) -> Option<Said> {
    let mut said = Said::default();
    let first = line(stream).await?;
    let words: Vec<&str> = first.splitn(3, ' ').collect();
    if words[0].starts_with("HTTP/") {
        said.status = words[1].parse().unwrap();
    } else {
        (said.method, said.path) = (words[0].into(), words[1].into());
    }
    said.headers = fields(stream).await?;
    said.host = said.header("host").unwrap_or_default().into();
    if without_body || matches!(said.status, 100..=199 | 204 | 304) {
        return Some(said);
    }
    if said.headers.contains_key("transfer-encoding") {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&line(stream).await?, 16).unwrap();
            if size == 0 {
                break;
            }
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            body.extend_from_slice(&chunk[..size]);
        }
        said.body = Some(body);
        said.trailers = fields(stream).await?;
    } else if let Some(length) = said.header("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.ok()?;
        said.body = Some(body);
    }
    Some(said)
}

async fn fields(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { return Some(fields) };
        fields.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
}

async fn line(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    line.truncate(line.len() - 2);
    Some(String::from_utf8(line).unwrap())
}
