//! What the echo server answers over HTTP.
//!
//! In: a request. Out: what its path asks for, or who called, and where this runs.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200, or 503 once told to end |
//! | `/status/CODE` | that code |
//! | `/delay/TIME` | as any other path, after that time |
//! | `/bytes/N` | N bytes, in pieces |
//! | `/echo` | the request's body, as it comes |
//! | `/` | who and where, with the answers of the servers that this one calls |
//! | any other | who and where |

use crate::{
    answer::Answer,
    arguments::{Connect, Serve, duration},
    client::Client,
};
use anyhow::Result;
use bytes::Bytes;
use futures::{future::join_all, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    http::request::Parts,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a server that this one calls may take.
const CALL: Duration = Duration::from_secs(5);
/// How many bytes a piece of `/bytes` has: no more than this is in memory, however many are asked for.
const PIECE: u64 = 64 * 1024;
/// The bytes themselves.
static BYTES: [u8; PIECE as usize] = [b'w'; PIECE as usize];

type Body = BoxBody<Bytes, hyper::Error>;

/// What the server knows.
pub struct Site {
    /// What it says of itself.
    pub me: Answer,
    /// What it calls when `/` is asked for.
    calls: Vec<(String, Client)>,
    draining: AtomicBool,
}

impl Site {
    /// By the settings.
    pub fn new(arguments: &Serve) -> Result<Self> {
        let Serve { name, pod, node, calls, .. } = arguments.clone();
        let client = |url: String| Ok((url.clone(), Client::new(&url, Connect::default(), CALL)?));
        let calls = calls.into_iter().filter(|url| !url.is_empty()).map(client).collect::<Result<_>>()?;
        let me = Answer { service: name, pod, node, ..Answer::default() };
        Ok(Self { me, calls, draining: AtomicBool::new(false) })
    }

    /// From now on it is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Answers a request of `peer`.
    pub async fn respond(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let trimmed = path.trim_start_matches('/');
        let (first, rest) = trimmed.split_once('/').unwrap_or((trimmed, ""));
        match first {
            "healthz" if self.draining.load(Ordering::Relaxed) => {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
            }
            "healthz" => return plain(StatusCode::OK, "ok\n"),
            "echo" => return Response::new(body.boxed()),
            "status" => {
                let code = rest.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
                let code = code.filter(|code| !code.is_informational()); // which could not be the last answer
                return plain(code.unwrap_or(StatusCode::BAD_REQUEST), "as asked\n");
            }
            "bytes" => {
                return match rest.parse() {
                    Ok(count) => Response::new(bytes(count)),
                    Err(error) => plain(StatusCode::BAD_REQUEST, format!("{rest:?}: {error}\n")),
                };
            }
            "delay" => match duration(rest) {
                Ok(time) => sleep(time).await,
                Err(error) => return plain(StatusCode::BAD_REQUEST, error + "\n"),
            },
            _ => {}
        }
        match count(body).await {
            Ok(count) => {
                let calls = if path == "/" { self.calls().await } else { Vec::new() };
                plain(StatusCode::OK, self.about(peer, &head, count, calls).line())
            }
            Err(error) => plain(StatusCode::BAD_REQUEST, error.to_string() + "\n"),
        }
    }

    fn about(&self, peer: SocketAddr, head: &Parts, body_bytes: usize, calls: Vec<Value>) -> Answer {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        Answer {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: headers.collect(),
            body_bytes,
            calls,
            ..self.me.to(peer)
        }
    }

    /// Calls the servers that this one depends on, all at once.
    async fn calls(&self) -> Vec<Value> {
        join_all(self.calls.iter().map(call)).await
    }
}

async fn call((url, client): &(String, Client)) -> Value {
    match client.send(Instant::now()).await.answer {
        Ok(answer) => json!(answer),
        Err(error) => json!({"url": url, "error": error}),
    }
}

/// Reads a body to its end, without keeping it.
async fn count(mut body: Incoming) -> hyper::Result<usize> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

fn bytes(count: u64) -> Body {
    let pieces = (0..count.div_ceil(PIECE)).map(move |piece| {
        let length = (count - piece * PIECE).min(PIECE);
        let length = usize::try_from(length).unwrap_or_default(); // at most PIECE
        Ok(Frame::data(Bytes::from_static(&BYTES[..length])))
    });
    BodyExt::boxed(StreamBody::new(stream::iter(pieces)))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}
