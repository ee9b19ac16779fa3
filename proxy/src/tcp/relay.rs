//! Carries bytes between a client and an endpoint.
//!
//! In: both connections. Out: what each says arrives at the other, and so does its end: a direction closes when its sender
//! closes it, and what broke is broken off on the other side too, so that nobody takes half of a message for the whole.
//! Nothing waits for who speaks first.

use super::{
    direction::{Broken, Direction, Mover},
    register::Registered,
};
use crate::{
    alarm::Alarm,
    balance::{InFlight, Outcome},
    cause::Cause,
    metrics::Traffic,
};
use socket2::SockRef;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

/// After so long an endpoint that has not said anything is taken for well, where one that breaks the connection before its
/// first byte is not. And a connection that lives as long may live long: the kernel is to ask after its endpoint.
const SETTLED: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides said all that they had to say.
    Complete,
    /// One side broke.
    Broken {
        /// Which.
        side: Side,
        /// How.
        error: io::Error,
        /// Where nothing had passed yet, what was to go first.
        again: Option<Box<[u8]>>,
    },
    /// The proxy ended it.
    Cut(Cause),
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Who connected.
    Client,
    /// Who was connected to.
    Endpoint,
}

/// A connection that is carried: a future of its [`End`], after which the endpoint knows what became of it. Small, for all
/// of it rests with the connection.
pub(super) struct Relay<'a> {
    mover: &'a Mover,
    /// From the client to the endpoint.
    up: Direction<'a>,
    down: Direction<'a>,
    stream: &'a TcpStream,
    endpoint: &'a mut InFlight,
    /// When the endpoint is taken for well; none when it is.
    settles: Option<Instant>,
    registered: Registered<'a>,
    traffic: &'a Traffic,
    idle: Option<Box<Idle>>,
    alarm: &'a mut Alarm,
}

/// The two ends of a connection.
pub(super) struct Ends<'a> {
    /// That of the client.
    pub(super) client: &'a TcpStream,
    /// That of the endpoint.
    pub(super) stream: &'a TcpStream,
    /// Who is told how it went.
    pub(super) endpoint: &'a mut InFlight,
    /// What was read of the client before.
    pub(super) first: Box<[u8]>,
}

/// Where a connection may rest for only so long.
struct Idle {
    most: Duration,
    /// When something moved.
    last: Instant,
}

// === impl Relay ===

impl<'a> Relay<'a> {
    pub(super) fn new(
        mover: &'a Mover,
        ends: Ends<'a>,
        registered: Registered<'a>,
        traffic: &'a Traffic,
        idle: Option<Duration>,
        alarm: &'a mut Alarm,
    ) -> Self {
        let now = Instant::now();
        let Ends { client, stream, endpoint, first } = ends;
        Self {
            mover,
            up: Direction::new(client, stream, first),
            down: Direction::new(stream, client, Box::default()),
            stream,
            endpoint,
            settles: Some(now + SETTLED),
            registered,
            traffic,
            idle: idle.map(|most| Box::new(Idle { most, last: now })),
            alarm,
        }
    }

    /// Moves what can be moved both ways.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let mover = self.mover;
        if let Poll::Ready(broken) = self.up.poll(context, mover) {
            return Poll::Ready(self.break_up(broken));
        }
        if let Poll::Ready(broken) = self.down.poll(context, mover) {
            return Poll::Ready(self.break_down(broken));
        }
        match (self.up.is_ended(), self.down.is_ended()) {
            (false, false) => Poll::Pending,
            // Closing both sockets says so to both.
            (true, true) => Poll::Ready(End::Complete),
            (true, false) => {
                let broken = ready!(half(&mut self.up, context));
                Poll::Ready(self.break_up(broken))
            }
            (false, true) => {
                let broken = ready!(half(&mut self.down, context));
                Poll::Ready(self.break_down(broken))
            }
        }
    }

    fn break_up(&mut self, broken: Broken) -> End {
        match broken {
            Broken::Source(error) => self.broken(Side::Client, error),
            Broken::Sink(error) => self.broken(Side::Endpoint, error),
        }
    }

    fn break_down(&mut self, broken: Broken) -> End {
        match broken {
            Broken::Source(error) => self.broken(Side::Endpoint, error),
            Broken::Sink(error) => self.broken(Side::Client, error),
        }
    }

    /// What a side had sent before it broke arrives, as it would have without a proxy.
    fn broken(&mut self, side: Side, error: io::Error) -> End {
        match side {
            Side::Client => self.up.flush(self.mover),
            Side::Endpoint => self.down.flush(self.mover),
        }
        let again = self.down.untouched().and_then(|_| self.up.untouched());
        End::Broken { side, error, again }
    }

    fn count(&mut self) {
        let (up, down) = (self.up.take_moved(), self.down.take_moved());
        if up > 0 {
            self.traffic.received(up);
        }
        if down > 0 {
            self.traffic.sent(down);
            if self.settles.is_some() {
                self.praise();
            }
        }
        if up + down > 0
            && let Some(idle) = &mut self.idle
        {
            idle.last = Instant::now();
        }
    }

    /// Waits for what ends a connection on which nothing moves.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            let idle = self.idle.as_ref().map(|idle| idle.last + idle.most);
            let Some(nearest) = [self.settles, idle].into_iter().flatten().min() else {
                *self.alarm = Alarm::default();
                return Poll::Pending;
            };
            ready!(self.alarm.poll(context, nearest));
            let now = Instant::now();
            if idle.is_some_and(|idle| idle <= now) {
                return Poll::Ready(End::Cut(Cause::IdleTimeout));
            }
            if self.settles.is_some_and(|settles| settles <= now) {
                self.settles = None;
                self.praise();
                // The client's socket has it from the listener.
                if let Err(error) = crate::listen::keep_alive(&SockRef::from(self.stream)) {
                    tracing::debug!(%error, "TCP: no keepalive");
                }
            }
        }
    }

    /// Says of the endpoint how it ended.
    fn end(&mut self, end: End) -> End {
        match &end {
            End::Broken { side: Side::Endpoint, error: _, again: _ } => {
                self.endpoint.observe(Outcome::Reset, Instant::now());
            }
            End::Broken { side: Side::Client, error: _, again: _ } | End::Complete | End::Cut(_) => {
                self.praise();
            }
        }
        self.count();
        end
    }

    /// Says of the endpoint that it is well. Only the first word on it counts.
    fn praise(&mut self) {
        self.endpoint.observe(Outcome::Accepted, Instant::now());
    }
}

impl Future for Relay<'_> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        let relay = self.get_mut();
        if let Some(cause) = relay.registered.cut(context.waker()) {
            return Poll::Ready(relay.end(End::Cut(cause)));
        }
        let end = relay.advance(context);
        relay.count();
        match end {
            Poll::Ready(end) => Poll::Ready(relay.end(end)),
            Poll::Pending => relay.wait(context).map(|end| relay.end(end)),
        }
    }
}

/// A direction that has ended while the other has not: tells so, and notices where its sender breaks all the same.
fn half(direction: &mut Direction<'_>, context: &mut Context<'_>) -> Poll<Broken> {
    match direction.close() {
        Ok(()) => direction.watch(context),
        Err(broken) => Poll::Ready(broken),
    }
}
