//! Drives a connection: what its socket brings goes into its state, and what waits there is written.
//!
//! In: a socket. Out: requests of a client, each with its stream; or a connection on which streams can be opened. Everything
//! happens on one thread, so that the lock is never waited for.

use super::{
    fields::{Refused, Request},
    frame::Reason,
    settings::Ours,
    state::{Role, State},
    stream::Stream,
    streams::Failure,
};
use crate::http::wire::stream::Stream as Socket;
use bytes::BytesMut;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio_util::io::poll_read_buf;

/// What is read at once at first: some heads.
const SMALL_READ: usize = 8 * 1024;
/// And while much comes.
const LARGE_READ: usize = 64 * 1024;

/// A connection, as its streams see it.
#[derive(Debug)]
pub struct Shared(Mutex<State>);

/// A connection and its socket.
#[derive(Debug)]
pub struct Connection {
    shared: Driven,
    wire: Wire,
}

/// A socket, and what was read of it.
#[derive(Debug)]
struct Wire {
    socket: Socket,
    input: BytesMut,
    read_size: usize,
}

/// A connection while it is driven: its streams fail when it no longer is.
#[derive(Debug)]
struct Driven(Arc<Shared>);

/// A request of a client.
#[derive(Debug)]
pub struct Asked {
    /// The request and the length of its body where it says so; or why it is none.
    pub request: Result<Request, Refused>,
    /// Its stream.
    pub stream: Stream,
    /// Whether there is no body.
    pub ends: bool,
}

/// What opens streams on a connection to an endpoint. When it is dropped, the connection ends with its last stream.
#[derive(Debug)]
pub struct Opener(Arc<Shared>);

// === impl Shared ===

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Connection ===

impl Connection {
    fn new(role: Role, ours: Ours, socket: Socket, input: BytesMut) -> Self {
        let shared = Driven(Arc::new(Shared(Mutex::new(State::new(role, ours)))));
        let wire = Wire { socket, input, read_size: SMALL_READ };
        Self { shared, wire }
    }

    /// A connection of a client, of which `input` was read already, its preface the first of it.
    #[must_use]
    pub fn server(ours: Ours, socket: Socket, input: BytesMut) -> Self {
        Self::new(Role::Server, ours, socket, input)
    }

    /// A connection to an endpoint, and what opens streams on it.
    #[must_use]
    pub fn client(ours: Ours, socket: Socket) -> (Self, Opener) {
        let connection = Self::new(Role::Client, ours, socket, BytesMut::new());
        let opener = Opener(Arc::clone(&connection.shared.0));
        (connection, opener)
    }

    /// The next request; none at the end of the connection.
    pub fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Option<Asked>> {
        let Self { shared: Driven(shared), wire } = self;
        let mut state = shared.lock();
        state.is_driven();
        let asked = ready!(wire.poll(&mut state, context));
        Poll::Ready(asked.map(|asked| {
            let super::state::Asked { id, request, ends } = asked;
            Asked { request, stream: Stream::new(Arc::clone(shared), id), ends }
        }))
    }

    /// Drives a connection to an endpoint; ends with it.
    pub fn poll_drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_accept(context)) {
            // A client's state brings none.
            Some(_) | None => Poll::Ready(()),
        }
    }

    /// Whether the other side's settings have come.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.shared.0.lock().theirs.settled
    }

    /// Tells a client that it shall connect anew; what it has asked is answered.
    pub fn leave(&mut self) {
        self.shared.0.lock().leave();
    }

    /// Ends the connection, once it is driven on.
    pub fn end(&mut self, reason: Reason, what: &'static str) {
        self.shared.0.lock().end(reason, what);
    }

    /// Whether there is nothing left to do but to write what waits.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.0.lock().is_over()
    }

    /// Why it ended, where it did not do so in order.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.shared.0.lock().gone
    }

    /// The socket, when it has ended.
    #[must_use]
    pub fn into_socket(self) -> Socket {
        self.wire.socket
    }
}

// === impl Wire ===

impl Wire {
    /// Moves what can be moved; ends with a request, or with the connection.
    fn poll(&mut self, state: &mut State, context: &mut Context<'_>) -> Poll<Option<super::state::Asked>> {
        let polled = self.poll_both_ways(state, context);
        if polled.is_pending() {
            state.register_driver(context);
        }
        polled
    }

    fn poll_both_ways(
        &mut self,
        state: &mut State,
        context: &mut Context<'_>,
    ) -> Poll<Option<super::state::Asked>> {
        loop {
            state.read(&mut self.input);
            if let Some(asked) = state.asked.pop_front() {
                return Poll::Ready(Some(asked));
            }
            if state.is_over() {
                state.part();
                ready!(self.poll_flush(state, context));
                return Poll::Ready(None);
            }
            if state.owes() {
                ready!(self.poll_flush(state, context));
                continue; // with what was left of the input
            }
            if self.poll_fill(state, context).is_pending() {
                ready!(self.poll_flush(state, context));
                if state.is_over() {
                    continue; // writing has failed
                }
                self.rest(state);
                return Poll::Pending;
            }
        }
    }

    /// Reads more, or learns that nothing more comes. No buffer is got before something has come.
    fn poll_fill(&mut self, state: &mut State, context: &mut Context<'_>) -> Poll<()> {
        if self.socket.is_waiting(context) {
            return Poll::Pending;
        }
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let room = self.input.capacity() - self.input.len();
        match ready!(poll_read_buf(Pin::new(&mut self.socket), context, &mut self.input)) {
            Ok(0) => state.fail("the connection ended"),
            Ok(read) if read == room => self.read_size = LARGE_READ,
            Ok(read) if read < SMALL_READ / 2 => self.read_size = SMALL_READ,
            Ok(_) => {}
            Err(error) => state.fail(of_io(&error)),
        }
        Poll::Ready(())
    }

    fn poll_flush(&mut self, state: &mut State, context: &mut Context<'_>) -> Poll<()> {
        let flushed = state.output.poll_flush(context, &mut self.socket);
        if let Poll::Ready(Err(error)) = &flushed {
            state.output.discard();
            state.fail(of_io(error));
        }
        state.written();
        flushed.map(drop)
    }

    /// Gives back the memory that a connection at rest does not need.
    fn rest(&mut self, state: &mut State) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        state.rest();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.lock().fail("the connection was given up");
    }
}

fn of_io(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "the connection was reset",
        io::ErrorKind::BrokenPipe => "the connection was closed",
        io::ErrorKind::TimedOut => "the other side is not there any more",
        io::ErrorKind::UnexpectedEof => "the connection ended without a word",
        _ => "the connection failed",
    }
}

// === impl Opener ===

impl Opener {
    /// Opens a stream.
    ///
    /// # Errors
    /// Where the connection takes no more.
    pub fn open(&self) -> Result<Stream, Failure> {
        let id = self.0.lock().open()?;
        Ok(Stream::new(Arc::clone(&self.0), id))
    }

    /// Ends when a stream may be opened, or never can.
    pub fn poll_open(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.lock().poll_open(context)
    }

    /// Ends when the endpoint's settings have come, or never will.
    pub fn poll_settled(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.lock().poll_settled(context)
    }

    /// How many streams the endpoint takes; none before it has said so.
    #[must_use]
    pub fn most_streams(&self) -> Option<usize> {
        let theirs = self.0.lock().theirs;
        theirs.settled.then_some(theirs.streams as usize)
    }

    /// Whether the endpoint knows extended CONNECT (RFC 8441, section 3).
    #[must_use]
    pub fn knows_extended_connect(&self) -> bool {
        self.0.lock().theirs.extended_connect
    }

    /// Whether no stream can be opened any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.lock().is_closed_to_new()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.lock().release();
    }
}
