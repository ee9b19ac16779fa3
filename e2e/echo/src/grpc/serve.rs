//! The server of the service.
//!
//! In: a request over HTTP/2. Out: its answer, in the framing and with the trailers of gRPC.

use super::{
    Kind,
    message::{Ask, Reply},
};
use crate::{arguments::duration, client::fields, site::Site};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use hyper::body::Incoming;
use std::{
    net::SocketAddr,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};
use tokio::time::sleep;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, http},
    metadata::{AsciiMetadataKey, MetadataMap},
    server::Grpc,
};
use tonic_prost::ProstCodec;

type Replies = BoxStream<'static, Result<Reply, Status>>;

/// Answers a request of `peer`.
pub async fn respond(
    site: Arc<Site>,
    peer: SocketAddr,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let Some(kind) = Kind::of(request.uri().path()) else {
        return Status::unimplemented("no such method").into_http();
    };
    // On the wire every kind is a stream of messages each way, so that one handler serves all.
    Grpc::new(ProstCodec::default()).streaming(Method { site, peer, kind }, request).await
}

/// One call of a method.
struct Method {
    site: Arc<Site>,
    peer: SocketAddr,
    kind: Kind,
}

impl Service<Request<Streaming<Ask>>> for Method {
    type Response = Response<Replies>;
    type Error = Status;
    type Future = BoxFuture<Response<Replies>, Status>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Ask>>) -> Self::Future {
        let (metadata, _, asks) = request.into_parts();
        let me = self.site.me.to(self.peer);
        let headers = fields(metadata.as_ref());
        let first = Reply {
            service: me.service,
            pod: me.pod,
            node: me.node,
            peer: me.peer,
            metadata_count: headers.len() as u64,
            metadata: headers.into_iter().collect(),
            ..Reply::default()
        };
        let (site, kind) = (Arc::clone(&self.site), self.kind);
        Box::pin(async move {
            if site.switch.pass().await.is_some() {
                return Err(Status::unavailable("as switched"));
            }
            let wishes = Wishes::read(&metadata)?;
            sleep(wishes.delay).await;
            let replies = match kind {
                Kind::Unary => unary(asks, first).await?,
                Kind::Client => client(asks, first).await?,
                Kind::Server => server(asks, first).await?,
                Kind::Bidi => bidi(asks, first, &site),
            };
            // A stream may end with a status of its own, and OK is one. Where it failed nobody reads on.
            Ok(Response::new(replies.chain(stream::iter(wishes.end.map(Err))).boxed()))
        })
    }
}

/// What a call's metadata ask for.
struct Wishes {
    delay: Duration,
    /// OK with trailers.
    end: Option<Status>,
}

impl Wishes {
    fn read(metadata: &MetadataMap) -> Result<Self, Status> {
        let wrong = |name: &str| Status::invalid_argument(format!("{name} cannot be read"));
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        if let Some(code) = text("echo-status") {
            return Err(Status::new(Code::from_bytes(code.as_bytes()), "as asked"));
        }
        let delay =
            text("echo-delay").map_or(Ok(Duration::ZERO), duration).map_err(Status::invalid_argument)?;
        let mut trailers = MetadataMap::new();
        for field in metadata.get_all("echo-trailer") {
            let (name, value) = field
                .to_str()
                .ok()
                .and_then(|field| field.split_once('='))
                .ok_or_else(|| wrong("echo-trailer"))?;
            let name: AsciiMetadataKey = name.parse().map_err(|_| wrong("echo-trailer"))?;
            trailers.append(name, value.parse().map_err(|_| wrong("echo-trailer"))?);
        }
        let end = Some(trailers).filter(|trailers| !trailers.is_empty());
        Ok(Self { delay, end: end.map(|trailers| Status::with_metadata(Code::Ok, "", trailers)) })
    }
}

async fn one(asks: &mut Streaming<Ask>) -> Result<Ask, Status> {
    asks.message().await?.ok_or_else(|| Status::invalid_argument("a message is needed"))
}

/// The status that a message asks for.
fn asked(code: i32) -> Result<(), Status> {
    if code == 0 { Ok(()) } else { Err(Status::new(Code::from(code), "as asked")) }
}

async fn unary(mut asks: Streaming<Ask>, first: Reply) -> Result<Replies, Status> {
    let Ask { number, payload, code, .. } = one(&mut asks).await?;
    asked(code)?;
    Ok(stream::iter([Ok(Reply { number, payload, ..first })]).boxed())
}

async fn client(mut asks: Streaming<Ask>, first: Reply) -> Result<Replies, Status> {
    let mut number = 0;
    while let Some(ask) = asks.message().await? {
        asked(ask.code)?;
        number += 1;
    }
    Ok(stream::iter([Ok(Reply { number, ..first })]).boxed())
}

async fn server(mut asks: Streaming<Ask>, first: Reply) -> Result<Replies, Status> {
    let Ask { payload, messages, interval_ms, code, .. } = one(&mut asks).await?;
    let replies = stream::unfold((0, first), move |(number, reply)| {
        let payload = payload.clone();
        async move {
            if number == messages {
                return None;
            }
            if number > 0 {
                sleep(Duration::from_millis(interval_ms)).await;
            }
            let next = later(&reply);
            Some((Ok(Reply { number, payload, ..reply }), (number + 1, next)))
        }
    });
    Ok(replies.chain(stream::iter(asked(code).err().map(Err))).boxed())
}

/// Ends with UNAVAILABLE between two messages when the server closes: such streams would last for ever.
fn bidi(asks: Streaming<Ask>, first: Reply, site: &Site) -> Replies {
    let closing = Box::pin(site.closing());
    stream::unfold(Some((asks, first, closing)), |state| async {
        let (mut asks, reply, mut closing) = state?;
        let ask = tokio::select! {
            biased; // what came before the end is answered
            ask = asks.message() => ask,
            () = &mut closing => Err(Status::unavailable("the server is closing")),
        };
        let answer = match ask {
            Ok(None) => return None,
            Ok(Some(Ask { number, payload, code, .. })) => asked(code).map(|()| {
                let next = later(&reply);
                (Reply { number, payload, ..reply }, next)
            }),
            Err(status) => Err(status),
        };
        Some(match answer {
            Ok((reply, next)) => (Ok(reply), Some((asks, next, closing))),
            Err(status) => (Err(status), None),
        })
    })
    .boxed()
}

/// The replies after the first are without the metadata.
fn later(first: &Reply) -> Reply {
    Reply { metadata: std::collections::HashMap::new(), ..first.clone() }
}
