//! One request to an endpoint, and its answer, on whichever connection.
//!
//! In: the request's head and body. Out: the heads and the body of the answer. Where the connection can be used again, it
//! goes back to the pool.

use super::pool::{Home, OpenStream};
use crate::{
    http::{
        head::{
            RequestHead, ResponseHead,
            framing::{self, Framing},
            hygiene::{self, Hop},
            parse::{self, Bounds},
            websocket::{self, Handshake},
            write,
        },
        http2::{self, Opener, Stream},
        wire::{
            Broken, Frame, Side,
            http1::{Http1, Outgoing},
        },
    },
    middleware::Edit,
};
use bytes::Bytes;
use http::{Method, uri::Scheme};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// How large the head of an answer may be: endpoints are trusted further than clients.
const BOUNDS: Bounds = Bounds { bytes: 256 * 1024, fields: 512 };

/// What is sent.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    /// The head as it came.
    pub request: &'a RequestHead,
    /// The target, rewritten or not.
    pub target: &'a Bytes,
    /// What the connection's own fields of the head said.
    pub hop: &'a Hop,
    /// What the way changes.
    pub edits: &'a [Edit],
    /// How the body ends.
    pub framing: Framing,
    /// The protocol to change to.
    pub upgrade: Option<&'a [u8]>,
}

/// The exchange.
pub struct Exchange {
    /// Whether its connection was used before: it may be closed without anything wrong with the endpoint.
    pub reused: bool,
    kind: Kind,
    method: Method,
}

enum Kind {
    One { connection: Option<Box<Http1>>, home: Option<Home>, keep: bool },
    Many(Box<Many>),
}

/// A stream of HTTP/2.
struct Many {
    opener: Arc<Opener>,
    /// None before it has begun.
    stream: Option<Stream>,
    _open: OpenStream,
    scheme: Scheme,
    /// Where a WebSocket was asked for.
    handshake: Option<Handshake>,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn http1(connection: Box<Http1>, home: Home, reused: bool) -> Self {
        Self {
            reused,
            kind: Kind::One { connection: Some(connection), home: Some(home), keep: false },
            method: Method::GET,
        }
    }

    pub(super) fn http2(opener: Arc<Opener>, open: OpenStream, scheme: Scheme, reused: bool) -> Self {
        let many = Many { opener, stream: None, _open: open, scheme, handshake: None };
        Self { reused, kind: Kind::Many(Box::new(many)), method: Method::GET }
    }

    /// Whether the endpoint can be asked to change to this protocol here: over HTTP/2 to WebSockets alone, and where it has
    /// said that it knows how (RFC 8441, section 3). A request that also has a body has no place for it there.
    #[must_use]
    pub fn can_change_to(&self, protocol: &[u8], framing: Framing) -> bool {
        match &self.kind {
            Kind::One { .. } => true,
            Kind::Many(many) => {
                let knows_how = many.opener.knows_extended_connect();
                framing == Framing::Empty && websocket::is_websocket(protocol) && knows_how
            }
        }
    }

    /// Ends when the connection takes a request, or fails.
    pub fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.kind {
            Kind::One { .. } => Poll::Ready(()),
            Kind::Many(many) => many.opener.poll_open(context), // where it is gone, `begin` fails
        }
    }

    /// Begins, where `poll_open` has ended: takes the head. It is on its way when `poll_flush` has ended.
    ///
    /// # Errors
    /// Where the connection cannot take it; nothing was sent then.
    pub fn begin(&mut self, sent: Sent<'_>) -> Result<(), Broken> {
        self.method = sent.request.method.clone();
        match &mut self.kind {
            Kind::One { connection, .. } => {
                let Some(connection) = connection else { return Err(Broken::Ended) };
                begin_http1(connection, sent);
                Ok(())
            }
            Kind::Many(many) => many.begin(sent),
        }
    }

    /// The next head of the answer: interim ones, then the final one.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Broken>> {
        match &mut self.kind {
            Kind::One { connection: Some(connection), keep, .. } => {
                poll_http1_head(connection, keep, &self.method, context)
            }
            Kind::One { connection: None, .. } => Poll::Ready(Err(Broken::Ended)),
            Kind::Many(many) => many.poll_head(context),
        }
    }

    /// How the body of the final answer ends; to be asked once, right behind its head.
    ///
    /// # Errors
    /// Where it is not certain.
    pub fn expect_body(&mut self, head: &ResponseHead) -> Result<Framing, Broken> {
        match &mut self.kind {
            Kind::One { connection: Some(connection), .. } => {
                let framing = framing::response(head, &self.method)
                    .map_err(|error| Broken::Protocol(error.to_string()))?;
                connection.expect_body(framing);
                Ok(framing)
            }
            Kind::One { connection: None, .. } => Err(Broken::Ended),
            Kind::Many(many) => {
                let mut length = head.head.of_kind(crate::http::head::Kind::ContentLength);
                let length = length.next().and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
                Ok(match length {
                    _ if many.stream.as_ref().is_none_or(Stream::is_read) => Framing::Empty,
                    Some(length) => Framing::Length(length),
                    None => Framing::Chunked,
                })
            }
        }
    }

    /// Goes on without framing both ways, after a 101. A stream of HTTP/2 has none of its own.
    pub fn tunnel(&mut self) {
        if let Kind::One { connection: Some(connection), keep, .. } = &mut self.kind {
            connection.tunnel();
            *keep = false;
        }
    }

    /// Ends: gives the connection back, where both bodies came to their end and the endpoint keeps it.
    pub fn finish(mut self, request_complete: bool) {
        if let Kind::One { connection, home, keep } = &mut self.kind
            && let (Some(connection), Some(home), true) =
                (connection.take(), home.take(), *keep && request_complete)
            && connection.is_drained()
            && connection.input.is_empty()
            && connection.output.is_empty()
        {
            home.take_back(connection);
        }
    }

    /// Whether the endpoint said that it did not process the request: it may be sent elsewhere, whatever it is.
    #[must_use]
    pub fn is_unprocessed(error: &Broken) -> bool {
        match error {
            Broken::Unprocessed(_) => true,
            Broken::Reset(_) | Broken::Gone(_) | Broken::Io(_) | Broken::Ended | Broken::Protocol(_) => false,
        }
    }
}

// === impl Many ===

impl Many {
    fn begin(&mut self, sent: Sent<'_>) -> Result<(), Broken> {
        let Self { opener, stream, _open: _, scheme, handshake } = self;
        let Sent { request, target, hop, edits, framing, upgrade } = sent;
        let protocol = upgrade.map(|_| websocket::PROTOCOL);
        let translated = http2::Request::new(request, target, scheme, hop, edits, protocol)
            .map_err(|error| Broken::Protocol(error.to_string()))?;
        *handshake = upgrade.map(|_| Handshake::begin(request));
        let ends = framing == Framing::Empty && handshake.is_none();
        let mut opened = opener.open()?;
        if request.method == Method::HEAD || handshake.is_some() {
            opened.ignore_length();
        }
        opened.send_head(ends, |out| translated.write(out));
        *stream = Some(opened);
        Ok(())
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Broken>> {
        let Self { opener: _, stream, _open: _, scheme: _, handshake } = self;
        let Some(stream) = stream else { return Poll::Ready(Err(Broken::Ended)) };
        let head = ready!(stream.poll_head(context))?;
        if !(200..300).contains(&head.status) {
            return Poll::Ready(Ok(head));
        }
        Poll::Ready(Ok(match handshake.take() {
            Some(handshake) => handshake.agree(head),
            None => head,
        }))
    }

    fn stream(&mut self) -> Result<&mut Stream, Broken> {
        self.stream.as_mut().ok_or(Broken::Ended)
    }
}

fn begin_http1(connection: &mut Http1, sent: Sent<'_>) {
    let Sent { request, target, hop, edits, framing, upgrade } = sent;
    let has_length = request.head.of_kind(crate::http::head::Kind::ContentLength).next().is_some();
    let own = write::Own {
        chunked: framing == Framing::Chunked,
        length: match framing {
            Framing::Length(length) if !has_length => Some(length),
            _ => None,
        },
        trailers: hop.trailers,
        upgrade,
        ..write::Own::default()
    };
    write::request(connection.output.small(), request, target, hop, edits, own);
    connection.begin_body(match framing {
        Framing::Chunked => Outgoing::Chunked,
        Framing::Empty | Framing::Length(_) | Framing::UntilClose => Outgoing::Plain,
    });
}

fn poll_http1_head(
    connection: &mut Http1,
    keep: &mut bool,
    method: &Method,
    context: &mut Context<'_>,
) -> Poll<Result<ResponseHead, Broken>> {
    loop {
        if !connection.input.is_empty() {
            let parsed = parse::response(&mut connection.input, BOUNDS)
                .map_err(|error| Broken::Protocol(error.to_string()))?;
            if let Some(head) = parsed {
                let hop = hygiene::hop(&head.head, head.version);
                let framing = framing::response(&head, method);
                *keep = !hop.close && framing.is_ok_and(|framing| framing != Framing::UntilClose);
                return Poll::Ready(Ok(head));
            }
        }
        if !ready!(connection.poll_fill(context))? {
            return Poll::Ready(Err(Broken::Ended));
        }
    }
}

impl Side for Exchange {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        match &mut self.kind {
            Kind::One { connection: Some(connection), .. } => connection.poll_frame(context),
            Kind::One { connection: None, .. } => Poll::Ready(Err(Broken::Ended)),
            Kind::Many(many) => many.stream()?.poll_frame(context),
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match &mut self.kind {
            Kind::One { connection: Some(connection), .. } => connection.poll_ready(context),
            Kind::One { connection: None, .. } => Poll::Ready(Err(Broken::Ended)),
            Kind::Many(many) => many.stream()?.poll_ready(context),
        }
    }

    fn put(&mut self, frame: Frame) {
        match &mut self.kind {
            Kind::One { connection: Some(connection), .. } => connection.put(frame),
            Kind::One { connection: None, .. } => {}
            Kind::Many(many) => {
                if let Some(stream) = &mut many.stream {
                    stream.put(frame);
                }
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match &mut self.kind {
            Kind::One { connection: Some(connection), .. } => connection.poll_flush(context),
            Kind::One { connection: None, .. } => Poll::Ready(Err(Broken::Ended)),
            Kind::Many(many) => many.stream()?.poll_flush(context),
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").field("reused", &self.reused).finish_non_exhaustive()
    }
}
