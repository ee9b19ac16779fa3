//! The server of WebSockets.
//!
//! In: a request for one. Out: the answer of the handshake, and a task that echoes until either side closes.

use super::{NODE, PEER, POD, SERVICE};
use crate::{
    body::{Body, plain},
    site::Site,
};
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, header::HeaderValue, upgrade};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::server::create_response_with_body,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

/// How long a client may take to answer a Close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// Answers a request of `peer` for a WebSocket.
pub fn serve(site: &Arc<Site>, peer: SocketAddr, mut request: Request<Incoming>) -> Response<Body> {
    let empty = || Empty::new().map_err(|never| match never {}).boxed();
    let mut response = match create_response_with_body(&request, empty) {
        Ok(response) => response,
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let me = site.me.to(peer);
    for (name, text) in [(SERVICE, me.service), (POD, me.pod), (NODE, me.node), (PEER, me.peer)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().insert(name, value);
        }
    }
    let (upgraded, closing) = (upgrade::on(&mut request), site.closing());
    site.tasks.spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            echo(TokioIo::new(upgraded), closing).await;
        }
    });
    response
}

/// Echoes until the client closes or breaks off, or the server closes: then it says 1001, "going away".
async fn echo(stream: TokioIo<upgrade::Upgraded>, closing: impl Future<Output = ()>) {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let mut closing = std::pin::pin!(closing);
    loop {
        let message = tokio::select! {
            biased; // what came before the end is answered
            message = socket.next() => message,
            () = &mut closing => break,
        };
        let sent = match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => socket.send(message).await,
            Some(Ok(_)) => Ok(()), // pings and closes are answered inside
            Some(Err(_)) | None => return,
        };
        if sent.is_err() {
            return;
        }
    }
    let away = CloseFrame { code: CloseCode::Away, reason: "the server is closing".into() };
    if socket.close(Some(away)).await.is_ok() {
        let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }
}
