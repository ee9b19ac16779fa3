//! What the echo server answers over HTTP.
//!
//! In: a request. Out: what its path asks for, or who called, and where this runs.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200, or 503 once told to end |
//! | `POST /admin/fail?status=503&percent=50&delay=1s` | from now on other requests, and those of gRPC, fail so |
//! | `POST /admin/heal` | takes that back |
//! | `/status/CODE` | that code |
//! | `/fail?percent=50&status=503` | that status to so many of all requests of this path, 200 to the others |
//! | `/delay/TIME` | as any other path, after that time |
//! | `/bytes/N` | N bytes, in pieces |
//! | `/stream?count=10&interval=100ms` | so many lines, one at a time |
//! | `/headers` | the request's header fields, as JSON |
//! | `/trailers` | the request's body, and how many bytes it had in a trailer |
//! | `/echo` | the request's body and trailers, as they come |
//! | `/ws` | a WebSocket that echoes |
//! | `/` | who and where, with the answers of the servers that this one calls |
//! | any other | who and where |

use crate::{
    answer::Answer,
    arguments::duration,
    body::{self, Body, plain},
    client::{Client, fields},
    fault::{Fault, Share},
    query::Query,
    site::{Phase, Site},
    websocket,
};
use futures::future::join_all;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    http::request::Parts,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::time::{Instant, sleep};

/// The requests of `/fail`, of all connections.
static FAILING: Share = Share::new();

/// Answers a request of `peer`.
pub async fn respond(site: Arc<Site>, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    match answer(&site, peer, request).await {
        Ok(response) => response,
        Err(text) => plain(StatusCode::BAD_REQUEST, text),
    }
}

/// The answer, or why the request cannot be understood.
async fn answer(
    site: &Arc<Site>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, String> {
    let path = request.uri().path().to_owned();
    let trimmed = path.trim_start_matches('/');
    let (first, rest) = trimmed.split_once('/').unwrap_or((trimmed, ""));
    let query = Query::of(request.uri());
    match first {
        "healthz" if site.phase() != Phase::Serving => {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"));
        }
        "healthz" => return Ok(plain(StatusCode::OK, "ok\n")),
        "admin" => return switch(site, request.method(), rest, &query),
        _ => {}
    }
    if let Some(status) = site.switch.pass().await {
        return Ok(plain(status, "as switched\n"));
    }
    match first {
        "ws" => return Ok(websocket::serve(site, peer, request)),
        "echo" => return Ok(Response::new(request.into_body().boxed())),
        "status" => return status(rest),
        "fail" => {
            let status: Option<StatusCode> = query.number("status")?;
            if FAILING.next(query.number("percent")?.unwrap_or(100)) {
                return Ok(plain(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), "as asked\n"));
            }
        }
        "bytes" => return Ok(body::bytes(rest.parse().map_err(|error| format!("{rest:?}: {error}\n"))?)),
        "stream" => return Ok(body::lines(query.number("count")?.unwrap_or(10), query.time("interval")?)),
        "headers" => {
            return Ok(plain(StatusCode::OK, json!(fields(request.headers())).to_string() + "\n"));
        }
        "trailers" => return Ok(body::counted(request.into_body())),
        "delay" => sleep(duration(rest).map_err(|error| error + "\n")?).await,
        _ => {}
    }
    let (head, body) = request.into_parts();
    let end = read(body).await.map_err(|error| error.to_string() + "\n")?;
    let calls = if path == "/" { join_all(site.calls.iter().map(call)).await } else { Vec::new() };
    Ok(plain(StatusCode::OK, about(site, peer, &head, end, calls).line()))
}

/// Turns the switch.
fn switch(site: &Site, method: &Method, what: &str, query: &Query) -> Result<Response<Body>, String> {
    if method != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "POST it\n"));
    }
    match what {
        "fail" => site.switch.turn(Fault::read(query)?),
        "heal" => site.switch.turn(Fault::default()),
        _ => return Ok(plain(StatusCode::NOT_FOUND, "fail or heal\n")),
    }
    Ok(plain(StatusCode::OK, "switched\n"))
}

fn status(code: &str) -> Result<Response<Body>, String> {
    let code = code.parse::<StatusCode>().ok();
    let code = code.filter(|code| !code.is_informational()); // which could not be the last answer
    Ok(plain(code.ok_or("this is not a status\n")?, "as asked\n"))
}

fn about(site: &Site, peer: SocketAddr, head: &Parts, end: (usize, HeaderMap), calls: Vec<Value>) -> Answer {
    let (body_bytes, trailers) = end;
    Answer {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers: fields(&head.headers),
        trailers: fields(&trailers),
        body_bytes,
        calls,
        ..site.me.to(peer)
    }
}

/// Calls a server that this one depends on.
async fn call((url, client): &(String, Client)) -> Value {
    match client.send(Instant::now()).await.answer {
        Ok(answer) => json!(answer),
        Err(error) => json!({"url": url, "error": error}),
    }
}

/// Reads a body to its end, without keeping it: how long it is, and its trailers.
async fn read(mut body: Incoming) -> hyper::Result<(usize, HeaderMap)> {
    let (mut bytes, mut trailers) = (0, HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        bytes += frame.data_ref().map_or(0, Bytes::len);
        trailers.extend(frame.into_trailers().unwrap_or_default());
    }
    Ok((bytes, trailers))
}
