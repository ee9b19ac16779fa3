//! The client's side of one exchange, whichever version it speaks.
//!
//! In: heads and bodies of an answer, or an answer of the proxy's own. Out: what the client reads.

use crate::{
    http::{
        head::{
            Kind, RequestHead, ResponseHead,
            framing::Framing,
            hygiene::{self, Hop},
            write,
        },
        http2::{self, Reason, Stream},
        wire::{
            Broken, Frame, Side,
            http1::{Http1, Outgoing},
        },
    },
    middleware::{Edit, Rendered},
};
use bytes::{Bytes, BytesMut};
use http::{Method, Version};
use std::task::{Context, Poll};

/// The client's side.
pub trait Client: Side {
    /// Takes an interim answer (1xx).
    fn put_interim(&mut self, response: &ResponseHead);
    /// Takes the head of the answer, whose body ends as `framing` says.
    fn put_head(&mut self, response: &ResponseHead, edits: &[Edit], framing: Framing);
    /// Takes the agreement to another protocol; what follows has no framing.
    fn put_upgrade(&mut self, response: &ResponseHead, edits: &[Edit]);
    /// Takes an answer of the proxy's own, the only one.
    fn put_own(&mut self, answer: Rendered);
    /// The client is to connect anew after this.
    fn leave(&mut self);
    /// Whether a head was put.
    fn is_answered(&self) -> bool;
    /// Ends when the client has given up.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()>;
    /// The answer breaks off; the client must not take it for whole.
    fn abort(&mut self);
}

/// A client that speaks HTTP/1.
#[derive(Debug)]
pub struct Http1Client {
    /// The connection.
    pub connection: Box<Http1>,
    version: Version,
    is_head: bool,
    close: bool,
    /// The client said that it sends nothing more.
    last: bool,
    answered: bool,
    tunnel: bool,
    aborted: bool,
    watched: bool,
    upgrade: Option<Bytes>,
}

/// How a connection goes on after an exchange.
#[derive(Debug)]
pub enum Next {
    /// With another request.
    Request(Box<Http1>),
    /// Not at all, but the client may still be sending.
    Linger(Box<Http1>),
    /// Not at all.
    Close,
}

// === impl Http1Client ===

impl Http1Client {
    /// The side of a client that has sent this request.
    #[must_use]
    pub fn new(connection: Box<Http1>, request: &RequestHead, hop: &Hop, upgrade: Option<Bytes>) -> Self {
        Self {
            version: request.version,
            is_head: request.method == Method::HEAD,
            close: hop.close,
            last: hop.close,
            upgrade,
            ..Self::unread(connection)
        }
    }

    /// The side of a client whose request cannot even be read.
    #[must_use]
    pub fn unread(connection: Box<Http1>) -> Self {
        Self {
            connection,
            version: Version::HTTP_11,
            is_head: false,
            close: true,
            last: false,
            answered: false,
            tunnel: false,
            aborted: false,
            watched: false,
            upgrade: None,
        }
    }

    /// How the connection goes on.
    #[must_use]
    pub fn finish(self) -> Next {
        let Self { connection, close, last, answered, tunnel, aborted, .. } = self;
        if tunnel || aborted || !answered {
            return Next::Close;
        }
        match (close, connection.is_drained()) {
            (false, true) => Next::Request(connection),
            (true, true) if last && connection.input.is_empty() => Next::Close,
            (_, false) | (true, true) => Next::Linger(connection),
        }
    }

    /// How the head says that the body ends, and how it is written then.
    fn own(&mut self, status: u16, has_length: bool, framing: Framing) -> (write::Own<'static>, Outgoing) {
        let without_body = self.is_head || matches!(status, 100..=199 | 204 | 304);
        let mut own = write::Own::default();
        let outgoing = match framing {
            _ if without_body => {
                // RFC 9110, 8.6: a 204 has none. Some clients would wait for so many bytes.
                own.without_length = status == 204;
                Outgoing::Nothing
            }
            Framing::Empty => {
                own.length = (!has_length).then_some(0);
                Outgoing::Plain
            }
            Framing::Length(length) => {
                own.length = (!has_length).then_some(length);
                Outgoing::Plain
            }
            Framing::Chunked | Framing::UntilClose if self.version == Version::HTTP_10 => {
                self.close = true; // it knows no chunks: the end of the connection ends the body
                Outgoing::Plain
            }
            Framing::Chunked | Framing::UntilClose => {
                own.chunked = true;
                Outgoing::Chunked
            }
        };
        own.close = self.close;
        own.keep_alive = !self.close && self.version == Version::HTTP_10;
        (own, outgoing)
    }
}

impl Client for Http1Client {
    fn put_interim(&mut self, response: &ResponseHead) {
        if self.version == Version::HTTP_11 {
            let hop = hygiene::hop(&response.head, response.version);
            write::informational(self.connection.output.small(), response, &hop);
        }
    }

    fn put_head(&mut self, response: &ResponseHead, edits: &[Edit], framing: Framing) {
        let hop = hygiene::hop(&response.head, response.version);
        let has_length = response.head.of_kind(Kind::ContentLength).next().is_some();
        let (own, outgoing) = self.own(response.status, has_length, framing);
        write::response(self.connection.output.small(), response, &hop, edits, own);
        self.connection.begin_body(outgoing);
        self.answered = true;
    }

    fn put_upgrade(&mut self, response: &ResponseHead, edits: &[Edit]) {
        let hop = hygiene::hop(&response.head, response.version);
        let agreed = response.head.of_kind(Kind::Upgrade).next().or(self.upgrade.as_deref());
        let own = write::Own { upgrade: agreed, without_length: true, ..write::Own::default() };
        write::response(self.connection.output.small(), response, &hop, edits, own);
        self.connection.tunnel();
        self.tunnel = true;
        self.answered = true;
    }

    fn put_own(&mut self, answer: Rendered) {
        let Rendered { status, fields, body } = answer;
        let body = Bytes::from(body.unwrap_or_default());
        let response = ResponseHead {
            status,
            reason: Bytes::new(),
            version: Version::HTTP_11,
            head: crate::http::head::Head::default(),
        };
        let edits: Vec<Edit> = fields.into_iter().map(|(name, value)| Edit::Add(name, value)).collect();
        // What was not read of the request would be taken for the next one.
        self.close |= !self.connection.is_drained();
        self.put_head(&response, &edits, Framing::Length(body.len() as u64));
        self.connection.put(Frame::Data(body));
    }

    fn leave(&mut self) {
        self.close = true;
    }

    fn is_answered(&self) -> bool {
        self.answered
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Once: what has come stays until it is read, be it the next request or the end.
        if self.watched || self.connection.stream.poll_readable(context).is_pending() {
            return Poll::Pending;
        }
        self.watched = true;
        if self.connection.stream.is_broken() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn abort(&mut self) {
        self.aborted = true;
        self.connection.stream.reset_at_end();
    }
}

impl Side for Http1Client {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        self.connection.poll_frame(context)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.connection.poll_ready(context)
    }

    fn put(&mut self, frame: Frame) {
        self.connection.put(frame);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.connection.poll_flush(context)
    }
}

/// A client that speaks HTTP/2: one stream.
#[derive(Debug)]
pub struct Http2Client {
    stream: Stream,
    is_head: bool,
    answered: bool,
}

// === impl Http2Client ===

impl Http2Client {
    /// The side of a client that has sent this request.
    #[must_use]
    pub fn new(stream: Stream, request: &RequestHead) -> Self {
        Self { stream, is_head: request.method == Method::HEAD, answered: false }
    }

    /// The side of a client whose request cannot even be read.
    #[must_use]
    pub fn unread(stream: Stream) -> Self {
        Self { stream, is_head: false, answered: false }
    }

    /// Puts the head; what it is, `write` writes.
    fn put(&mut self, without_body: bool, write: impl FnOnce(&mut BytesMut)) {
        self.answered = true;
        self.stream.send_head(without_body, write);
    }
}

impl Client for Http2Client {
    fn put_interim(&mut self, response: &ResponseHead) {
        let hop = hygiene::hop(&response.head, response.version);
        self.stream.send_interim(|out| http2::response(out, response, &hop, &[]));
    }

    fn put_head(&mut self, response: &ResponseHead, edits: &[Edit], framing: Framing) {
        let hop = hygiene::hop(&response.head, response.version);
        let without_body = self.is_head || framing == Framing::Empty || matches!(response.status, 204 | 304);
        self.put(without_body, |out| http2::response(out, response, &hop, edits));
    }

    fn put_upgrade(&mut self, response: &ResponseHead, edits: &[Edit]) {
        let hop = hygiene::hop(&response.head, response.version);
        self.put(false, |out| http2::agreement(out, response, &hop, edits));
    }

    fn put_own(&mut self, answer: Rendered) {
        let Rendered { status, fields, body } = answer;
        let body = Bytes::from(body.unwrap_or_default());
        let without_body = self.is_head || body.is_empty();
        self.put(without_body, |out| http2::own(out, status, &fields));
        if !without_body {
            self.stream.put(Frame::Data(body));
            self.stream.put(Frame::End);
        }
    }

    fn leave(&mut self) {} // GOAWAY tells it, to all streams at once

    fn is_answered(&self) -> bool {
        self.answered
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_failed(context)
    }

    fn abort(&mut self) {
        self.stream.reset(Reason::INTERNAL_ERROR);
    }
}

impl Side for Http2Client {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Broken>> {
        self.stream.poll_frame(context)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.stream.poll_ready(context)
    }

    fn put(&mut self, frame: Frame) {
        self.stream.put(frame);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.stream.poll_flush(context)
    }
}
