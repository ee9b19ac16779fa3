//! Moves bytes one way.
//!
//! In: two sockets. Out: what one sends arrives at the other, in order, until its end. Small messages are copied by way of
//! the worker's one buffer, which costs two system calls; where a lot comes at once, it is spliced by way of a pipe and
//! never leaves the kernel. What rests holds neither: only what could not be written yet is kept.

use super::pipe::{Lent, Pipes, is_unsupported};
use rustix::net::{SendFlags, send};
use std::{
    io::{self, ErrorKind},
    net::Shutdown,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
    task::yield_now,
};

/// What is read at once: measured, 64 KiB takes a third less CPU per gigabyte than 8 KiB, and more gains little.
const BUFFER: usize = 64 * 1024;
/// So much at once is better spliced than copied.
const MUCH: usize = 16 * 1024;
/// So often in a row there has to be much, or not, before the way of moving changes.
const STREAK: u8 = 2;
/// How much a direction moves before the worker's other connections get their turn: about a tenth of a millisecond.
const TURN: usize = 512 * 1024;
/// What a step costs of that at least.
const STEP: usize = 4 * 1024;

/// What a worker moves bytes with.
#[derive(Debug)]
pub(super) struct Mover {
    buffer: Mutex<Box<[u8]>>,
    pub(super) pipes: Pipes,
}

/// One way of a connection.
pub(super) struct Direction<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    held: Held,
    /// How many bytes have been handed on since somebody counted.
    moved: u64,
    touched: bool,
    much: bool,
    streak: u8,
    ended: bool,
    closed: bool,
    watch: Option<Watch<'a>>,
}

/// What was taken from one socket and not yet given to the other.
enum Held {
    Nothing,
    Bytes(Box<[u8]>, usize),
    Piped(Lent),
}

/// What one step did.
enum Step {
    /// Bytes were handed on.
    Moved(usize),
    /// There is nothing to read.
    Starved,
    /// What is held cannot be written.
    Stuck,
    /// The sender is done.
    End,
}

/// Which socket broke.
#[derive(Debug)]
pub(super) enum Broken {
    /// The one that bytes come from.
    Source(io::Error),
    /// The one that they go to.
    Sink(io::Error),
}

type Watch<'a> = Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + 'a>>;

// === impl Mover ===

impl Mover {
    pub(super) fn new(splice: bool) -> Self {
        Self { buffer: Mutex::new(vec![0; BUFFER].into()), pipes: Pipes::new(splice) }
    }
}

// === impl Direction ===

impl<'a> Direction<'a> {
    /// From one socket to another; what was read before goes first.
    pub(super) fn new(from: &'a TcpStream, to: &'a TcpStream, first: Box<[u8]>) -> Self {
        let held = if first.is_empty() { Held::Nothing } else { Held::Bytes(first, 0) };
        Self {
            from,
            to,
            held,
            moved: 0,
            touched: false,
            much: false,
            streak: 0,
            ended: false,
            closed: false,
            watch: None,
        }
    }

    /// How many bytes have been handed on since this was asked.
    pub(super) fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moved)
    }

    /// What was read before, where nothing of it and nothing else has passed yet.
    pub(super) fn untouched(&mut self) -> Option<Box<[u8]>> {
        match &mut self.held {
            _ if self.touched => None,
            Held::Nothing => Some(Box::default()),
            Held::Bytes(bytes, _) => Some(std::mem::take(bytes)),
            Held::Piped(_) => None,
        }
    }

    /// Whether the sender is done, and everything handed on.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Moves what can be moved; ready only where one side broke.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, mover: &Mover) -> Poll<Broken> {
        let mut left = TURN;
        while !self.ended {
            let mut cost = STEP;
            match self.step(mover) {
                Ok(Step::Moved(bytes)) => {
                    self.watch = None;
                    cost = cost.max(bytes);
                }
                Ok(Step::Starved) => {
                    if let Err(error) = ready!(self.from.poll_read_ready(context)) {
                        return Poll::Ready(Broken::Source(error));
                    }
                }
                Ok(Step::Stuck) => match self.to.poll_write_ready(context) {
                    Poll::Pending => return self.watch(context),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Broken::Sink(error)),
                },
                Ok(Step::End) => self.ended = true,
                Err(broken) => return Poll::Ready(broken),
            }
            left = left.saturating_sub(cost);
            if left == 0 {
                // It wakes this task after the worker has looked for what else came.
                let _ = pin!(yield_now()).poll(context);
                return Poll::Pending;
            }
        }
        Poll::Pending
    }

    /// Notices that the sender breaks while nothing is read from it.
    pub(super) fn watch(&mut self, context: &mut Context<'_>) -> Poll<Broken> {
        let from = self.from;
        let watch = self.watch.get_or_insert_with(|| Box::pin(from.ready(Interest::ERROR)));
        let broken = match ready!(watch.as_mut().poll(context)) {
            Ok(_) => from.take_error().ok().flatten().unwrap_or_else(|| ErrorKind::ConnectionReset.into()),
            Err(error) => error,
        };
        self.watch = None;
        Poll::Ready(Broken::Source(broken))
    }

    /// Passes the sender's end on, once.
    pub(super) fn close(&mut self) -> Result<(), Broken> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        match socket2::SockRef::from(self.to).shutdown(Shutdown::Write) {
            // It is gone altogether, which the other direction finds out in its order.
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            outcome => outcome.map_err(Broken::Sink),
        }
    }

    /// Hands on what a sender that broke had sent before, as far as that takes no waiting. Nothing is asked of the
    /// runtime, which may not have heard yet.
    pub(super) fn flush(&mut self, mover: &Mover) {
        while !matches!(self.held, Held::Nothing) {
            if !matches!(self.put_out(mover), Ok(Step::Moved(_))) {
                return;
            }
        }
        let mut buffer = mover.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(bytes @ 1..) = rustix::io::read(self.from, &mut **buffer) {
            self.touched = true;
            let written = send(self.to, &buffer[..bytes], SendFlags::NOSIGNAL).unwrap_or(0);
            self.moved += written as u64;
            if written < bytes {
                return;
            }
        }
    }

    fn step(&mut self, mover: &Mover) -> Result<Step, Broken> {
        match self.held {
            Held::Nothing if self.much => self.splice(mover),
            Held::Nothing => self.copy(mover),
            Held::Bytes(..) | Held::Piped(_) => self.put_out(mover),
        }
    }

    fn copy(&mut self, mover: &Mover) -> Result<Step, Broken> {
        let mut buffer = mover.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match receive(self.from, &mut buffer) {
            Ok(0) => return Ok(Step::End),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Starved),
            Err(error) => return Err(Broken::Source(error)),
        };
        self.weigh(bytes);
        let written = match self.to.try_write(&buffer[..bytes]) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(Broken::Sink(error)),
        };
        if written < bytes {
            self.held = Held::Bytes(buffer[written..bytes].into(), 0);
        }
        self.moved += written as u64;
        Ok(Step::Moved(written))
    }

    fn splice(&mut self, mover: &Mover) -> Result<Step, Broken> {
        let Some(mut pipe) = mover.pipes.lend() else { return self.copy(mover) };
        match self.from.try_io(Interest::READABLE, || pipe.fill(self.from)) {
            Ok(0) => Ok(Step::End),
            Ok(bytes) => {
                self.weigh(bytes);
                self.held = Held::Piped(pipe);
                self.put_out(mover)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Step::Starved),
            Err(error) if is_unsupported(&error) => {
                mover.pipes.forbid(&error);
                self.copy(mover)
            }
            Err(error) => Err(Broken::Source(error)),
        }
    }

    fn put_out(&mut self, mover: &Mover) -> Result<Step, Broken> {
        let (put_out, left) = match &mut self.held {
            Held::Nothing => return Ok(Step::Moved(0)),
            Held::Bytes(bytes, start) => {
                let put_out = self.to.try_write(&bytes[*start..]);
                *start += put_out.as_ref().map_or(0, |written| *written);
                (put_out, bytes.len() - *start)
            }
            Held::Piped(pipe) => {
                let put_out = self.to.try_io(Interest::WRITABLE, || pipe.empty(self.to));
                (put_out, pipe.held())
            }
        };
        match put_out {
            Ok(bytes) => {
                self.touched = true;
                self.moved += bytes as u64;
                if left == 0 {
                    self.held = Held::Nothing;
                }
                Ok(Step::Moved(bytes))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Step::Stuck),
            Err(error) if is_unsupported(&error) => self.unpipe(mover, error),
            Err(error) => Err(Broken::Sink(error)),
        }
    }

    /// Goes on by copying where a socket takes nothing out of a pipe.
    fn unpipe(&mut self, mover: &Mover, error: io::Error) -> Result<Step, Broken> {
        let Held::Piped(pipe) = std::mem::replace(&mut self.held, Held::Nothing) else {
            return Err(Broken::Sink(error));
        };
        mover.pipes.forbid(&error);
        self.held = Held::Bytes(pipe.take_out().map_err(Broken::Sink)?, 0);
        Ok(Step::Moved(0))
    }

    /// Learns from how much came at once.
    fn weigh(&mut self, bytes: usize) {
        self.touched = true;
        if (bytes >= MUCH) == self.much {
            self.streak = 0;
            return;
        }
        self.streak += 1;
        if self.streak == STREAK {
            self.much = !self.much;
            self.streak = 0;
        }
    }
}

/// Reads once. What does not fill the buffer has emptied the socket, which saves asking it once more.
fn receive(from: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut last = None;
    let outcome = from.try_io(Interest::READABLE, || {
        let bytes = rustix::io::read(from, &mut *buffer)?;
        if (1..buffer.len()).contains(&bytes) {
            last = Some(bytes);
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(bytes)
    });
    last.map_or(outcome, Ok)
}

#[cfg(test)]
#[path = "direction_tests.rs"]
mod tests;
