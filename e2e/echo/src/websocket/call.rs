//! The client of WebSockets.
//!
//! In: a URL. Out: the outcome of each message.

use super::{NODE, PEER, POD, SERVICE};
use crate::{
    answer::Answer,
    arguments::WebSocket,
    client::root_cause,
    gather::gather,
    lookup::{self, Names},
    series::{End, Line, Place, Plan, exchange},
    summary::Summary,
};
use anyhow::{Context, Result};
use futures::{SinkExt, StreamExt};
use hyper::{HeaderMap, Uri};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        ClientRequestBuilder, Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// Sends all messages; what it came to.
pub async fn run(arguments: WebSocket) -> Result<Summary> {
    let WebSocket { url, series, summary } = arguments;
    let url: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
    let host = url.host().filter(|_| url.scheme_str() == Some("ws"));
    let host = host.with_context(|| format!("{url} is not a URL such as ws://HOST/ws"))?.to_owned();
    let port = url.port_u16().unwrap_or(80);
    let place = Arc::new(Url { names: Names::of(&host)?, url, host, port });
    let connections = usize::from(series.connections.get());
    gather(series.count, connections, !summary, |_, messages, teller| {
        let (place, series) = (Arc::clone(&place), series);
        let plan = Plan {
            messages,
            per_line: None,
            interval: series.interval,
            limit: series.timeout,
            reconnect: series.reconnect,
        };
        async move { exchange(&*place, plan, |outcome| drop(teller.send(outcome))).await }
    })
    .await
}

/// A URL that WebSockets are opened to.
struct Url {
    names: Names,
    url: Uri,
    host: String,
    port: u16,
}

/// One WebSocket.
struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Who is at its other end.
    answer: Answer,
}

impl Place for Url {
    type Line = Socket;

    async fn open(&self) -> Result<Socket, End> {
        let broken =
            |when: &str, error: &dyn std::error::Error| End::Broken(format!("{when}: {}", root_cause(error)));
        let place = lookup::place(&self.host, self.port, self.names.resolver()).await;
        let place = place.map_err(|error| End::Broken(format!("{error:#}")))?;
        let stream = TcpStream::connect(place).await.map_err(|error| broken("connect", &error))?;
        let _ = stream.set_nodelay(true); // fails where the server is gone already
        let request = ClientRequestBuilder::new(self.url.clone());
        let (stream, response) = client_async(request, stream).await.map_err(|error| match error {
            Error::Http(response) => End::Broken(format!("status {}", response.status().as_u16())),
            other => broken("handshake", &other),
        })?;
        Ok(Socket { stream, answer: answer(response.headers()) })
    }
}

fn answer(headers: &HeaderMap) -> Answer {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let text = |name| text(name).unwrap_or_default();
    Answer { service: text(SERVICE), pod: text(POD), node: text(NODE), peer: text(PEER), ..Answer::default() }
}

impl Line for Socket {
    async fn send(&mut self, number: u64) -> Result<(), End> {
        match self.stream.send(Message::text(number.to_string())).await {
            // What ended it stands in what came, and is read next.
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_)) => Ok(()),
            Err(error) => Err(End::Broken(error.to_string())),
        }
    }

    async fn receive(&mut self) -> Result<(u64, Answer), End> {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let number = text.parse().map_err(|_| End::Broken(format!("{text:?} came back")))?;
                    Ok((number, self.answer.clone()))
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(_))) => Err(End::Broken("a binary message came back".to_owned())),
                Some(Ok(Message::Close(frame))) => Err(closed(frame)),
                Some(Err(error)) => Err(End::Broken(error.to_string())),
                None => Err(End::Broken("the connection ended".to_owned())),
            };
        }
    }

    async fn close(mut self) {
        if self.stream.close(None).await.is_ok() {
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }
}

/// A Close frame of a server that goes away or restarts (RFC 6455, section 7.4.1; 1012 by IANA's registry).
fn closed(frame: Option<CloseFrame>) -> End {
    match frame {
        Some(CloseFrame { code: CloseCode::Away | CloseCode::Restart, reason }) => {
            End::Orderly(format!("closed: {reason}"))
        }
        Some(CloseFrame { code, reason }) => End::Broken(format!("closed with {code}: {reason}")),
        None => End::Broken("closed without a code".to_owned()),
    }
}
