//! One worker's connections to endpoints.
//!
//! In: an endpoint. Out: a connection to it that is free, or a new one; a connection that is done comes back. What rests
//! too long, and what belongs to an endpoint that is gone, is closed.

use super::{
    Exchange,
    connect::{self, Error, Opened},
};
use crate::{
    balance::EndpointState,
    http::wire::{http1::Http1, stream::Stream},
    route::Upstream,
};
use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use weft_contract::policy::Scheme;

/// How long an idle connection is kept: less than the 5 seconds after which common servers (Node.js) close it, for a
/// request sent at that moment would be lost.
const IDLE: Duration = Duration::from_secs(4);
/// How long an HTTP/2 connection without a stream is kept: its server says GOAWAY before it closes.
const IDLE_MULTIPLEXED: Duration = Duration::from_secs(60);
/// How often it is looked for what can be closed.
const SWEEP: Duration = Duration::from_secs(1);
/// How many idle connections to one endpoint are kept.
const MOST_IDLE: usize = 1024;

/// The connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pool(Arc<Shared>);

type Key = (u64, u64);

/// How many streams a connection of HTTP/2 seems to take before its endpoint has said how many: a number that none says.
pub(super) const UNKNOWN: usize = 1_000_003;

/// How many streams a connection of HTTP/2 has at most, whatever its endpoint takes: about what common servers take.
pub(super) const MOST_STREAMS: u32 = 100;

/// Held while an HTTP/2 connection is opened, up to the endpoint's settings.
pub(super) type Turn = OwnedMutexGuard<()>;

#[derive(Default)]
struct Shared {
    entries: Mutex<HashMap<Key, Entry>>,
}

struct Entry {
    endpoint: Arc<EndpointState>,
    idle: Vec<Idle>,
    multiplexed: Vec<Multiplexed>,
    /// Held while an HTTP/2 connection is opened, so that many requests at once open one and not many.
    opening: Arc<tokio::sync::Mutex<()>>,
    /// It speaks HTTP/1 where it could have spoken HTTP/2: nobody need wait for another's connection.
    single: bool,
}

struct Idle {
    connection: Box<Http1>,
    since: Instant,
}

/// A connection of HTTP/2.
#[derive(Clone)]
pub(super) struct Multiplexed {
    pub(super) send: SendRequest<Bytes>,
    streams: Arc<Streams>,
}

/// What a connection of HTTP/2 has under way.
struct Streams {
    open: AtomicUsize,
    gone: AtomicBool,
    /// Cancelled when the endpoint's settings have come, or never will.
    settled: CancellationToken,
    /// When the last one ended.
    rests: Mutex<Instant>,
}

/// One stream that is under way, until this is dropped.
pub(super) struct OpenStream(Arc<Streams>);

/// Where a connection of HTTP/1 goes back to.
pub(super) struct Home {
    pool: Weak<Shared>,
    key: Key,
}

// === impl Pool ===

impl Pool {
    /// Closes what rests too long, for as long as the pool is there. To be run on the worker's thread.
    pub fn sweep(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::downgrade(&self.0);
        async move {
            let mut ticks = interval(SWEEP);
            loop {
                ticks.tick().await;
                let Some(shared) = shared.upgrade() else { return };
                shared.sweep(Instant::now());
            }
        }
    }

    /// A connection that was kept, where there is one. For an `upgrade` to another protocol it is of HTTP/1 where that can be
    /// chosen, for not every server of HTTP/2 has such.
    #[must_use]
    pub fn kept(&self, endpoint: &EndpointState, upstream: &Upstream, upgrade: bool) -> Option<Exchange> {
        let key = (endpoint.id, upstream.id);
        let mut entries = self.0.lock();
        let entry = entries.get_mut(&key)?;
        let mut context = noop();
        while let Some(Idle { mut connection, .. }) = entry.idle.pop() {
            if connection.is_idle(&mut context) {
                return Some(Exchange::http1(connection, self.home(key), true));
            }
        }
        if upgrade && upstream.scheme == Scheme::Https {
            return None;
        }
        let free = entry.multiplexed.iter().find_map(Multiplexed::stream);
        free.map(|(connection, stream)| Exchange::http2(connection.send, stream, upstream.uri_scheme(), true))
    }

    /// A new connection; of HTTP/2, maybe one that somebody else has opened meanwhile. For an `upgrade` over HTTP/2 the
    /// endpoint's settings are there, which say whether it has such.
    ///
    /// # Errors
    /// Where none can be opened within `limit`.
    pub async fn open(
        &self,
        endpoint: &Arc<EndpointState>,
        upstream: &Upstream,
        upgrade: bool,
        limit: Duration,
    ) -> Result<Exchange, Error> {
        timeout(limit, self.open_now(endpoint, upstream, upgrade)).await.map_err(|_| Error::Late)?
    }

    async fn open_now(
        &self,
        endpoint: &Arc<EndpointState>,
        upstream: &Upstream,
        upgrade: bool,
    ) -> Result<Exchange, Error> {
        let key = (endpoint.id, upstream.id);
        if upstream.scheme == Scheme::Http || (upgrade && upstream.scheme == Scheme::Https) {
            return match connect::open(endpoint.address, upstream, true, None).await? {
                Opened::One(connection) => {
                    self.entry(&mut self.0.lock(), key, endpoint);
                    Ok(Exchange::http1(connection, self.home(key), false))
                }
                Opened::Many(_) => Err(Error::Unasked),
            };
        }
        let (opening, single) = {
            let mut entries = self.0.lock();
            let entry = self.entry(&mut entries, key, endpoint);
            (Arc::clone(&entry.opening), entry.single)
        };
        let turn = if single { None } else { Some(opening.lock_owned().await) };
        let free =
            self.entry(&mut self.0.lock(), key, endpoint).multiplexed.iter().find_map(Multiplexed::stream);
        if let Some((connection, stream)) = free {
            return Ok(Exchange::http2(connection.send, stream, upstream.uri_scheme(), true));
        }
        match connect::open(endpoint.address, upstream, false, turn).await? {
            Opened::One(connection) => {
                self.entry(&mut self.0.lock(), key, endpoint).single = true;
                Ok(Exchange::http1(connection, self.home(key), false))
            }
            Opened::Many(connection) => {
                let stream = connection.occupy();
                self.keep(key, endpoint, &connection);
                if upgrade {
                    connection.settled().await?;
                }
                Ok(Exchange::http2(connection.send, stream, upstream.uri_scheme(), false))
            }
        }
    }

    fn keep(&self, key: Key, endpoint: &Arc<EndpointState>, connection: &Multiplexed) {
        let mut entries = self.0.lock();
        let entry = self.entry(&mut entries, key, endpoint);
        entry.single = false;
        entry.multiplexed.push(connection.clone());
    }

    fn entry<'a>(
        &self,
        entries: &'a mut MutexGuard<'_, HashMap<Key, Entry>>,
        key: Key,
        endpoint: &Arc<EndpointState>,
    ) -> &'a mut Entry {
        entries.entry(key).or_insert_with(|| Entry {
            endpoint: Arc::clone(endpoint),
            idle: Vec::new(),
            multiplexed: Vec::new(),
            opening: Arc::default(),
            single: false,
        })
    }

    fn home(&self, key: Key) -> Home {
        Home { pool: Arc::downgrade(&self.0), key }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Only this worker's thread takes the lock, and never for long.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sweep(&self, now: Instant) {
        let mut closed: Vec<Idle> = Vec::new();
        let mut context = noop();
        self.lock().retain(|_, entry| {
            let Entry { endpoint, idle, multiplexed, opening, single: _ } = entry;
            let retired = endpoint.is_retired();
            let (keep, close): (Vec<Idle>, Vec<Idle>) =
                mem::take(idle).into_iter().partition_map(|mut each| {
                    let fresh = !retired && now - each.since < IDLE;
                    if fresh && each.connection.is_idle(&mut context) { Ok(each) } else { Err(each) }
                });
            *idle = keep;
            closed.extend(close);
            multiplexed.retain(|connection| !retired && connection.is_wanted(now));
            let in_use = Arc::strong_count(opening) > 1;
            // An endpoint that is still there keeps its place, for connections under way come back to it.
            in_use || !(retired && idle.is_empty() && multiplexed.is_empty())
        });
        drop(closed); // outside of the lock
    }
}

/// For looks that nobody waits behind.
fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// `Iterator::partition` by a function that keeps or closes.
trait PartitionMap: Iterator<Item = Idle> + Sized {
    fn partition_map(self, mut keep: impl FnMut(Idle) -> Result<Idle, Idle>) -> (Vec<Idle>, Vec<Idle>) {
        let (mut kept, mut closed) = (Vec::new(), Vec::new());
        for each in self {
            match keep(each) {
                Ok(each) => kept.push(each),
                Err(each) => closed.push(each),
            }
        }
        (kept, closed)
    }
}

impl<I: Iterator<Item = Idle>> PartitionMap for I {}

// === impl Home ===

impl Home {
    /// Takes a connection back, unless its endpoint is gone.
    pub(super) fn take_back(self, mut connection: Box<Http1>) {
        let Some(pool) = self.pool.upgrade() else { return };
        connection.rest();
        let mut entries = pool.lock();
        if let Some(entry) = entries.get_mut(&self.key)
            && !entry.endpoint.is_retired()
            && entry.idle.len() < MOST_IDLE
        {
            entry.idle.push(Idle { connection, since: Instant::now() });
        }
    }
}

// === impl Multiplexed ===

impl Multiplexed {
    /// Takes a connection into service; it is driven until it ends. `turn` is let go with the endpoint's settings.
    pub(super) fn drive(
        send: SendRequest<Bytes>,
        mut connection: Connection<Stream, Bytes>,
        mut turn: Option<Turn>,
    ) -> Self {
        let streams = Arc::new(Streams {
            open: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            settled: CancellationToken::new(),
            rests: Mutex::new(Instant::now()),
        });
        let told = Arc::clone(&streams);
        let mut settled = false;
        tokio::spawn(async move {
            let driven = poll_fn(|context| {
                let driven = Pin::new(&mut connection).poll(context);
                if !settled && connection.max_concurrent_send_streams() != UNKNOWN {
                    (settled, turn) = (true, None);
                    told.settled.cancel();
                }
                driven
            });
            if let Err(error) = driven.await {
                tracing::debug!(%error, "a connection to an endpoint ended");
            }
            told.gone.store(true, Ordering::Relaxed);
            told.settled.cancel();
        });
        Self { send, streams }
    }

    /// Another stream, where there is room for one.
    fn stream(&self) -> Option<(Self, OpenStream)> {
        let most = self.send.current_max_send_streams();
        let open = self.streams.open.load(Ordering::Relaxed);
        if most == UNKNOWN || open >= most.min(MOST_STREAMS as usize) {
            return None;
        }
        let mut free = self.clone();
        // It fails where the endpoint has said GOAWAY, which is no reason to lose a try.
        let gone = matches!(free.send.poll_ready(&mut noop()), Poll::Ready(Err(_)));
        self.streams.gone.fetch_or(gone, Ordering::Relaxed);
        (!self.streams.gone.load(Ordering::Relaxed)).then(|| (free, self.occupy()))
    }

    /// Waits for the endpoint's settings.
    async fn settled(&self) -> Result<(), Error> {
        self.streams.settled.cancelled().await;
        if self.streams.gone.load(Ordering::Relaxed) {
            return Err(Error::Refused(io::ErrorKind::ConnectionReset.into()));
        }
        Ok(())
    }

    fn occupy(&self) -> OpenStream {
        self.streams.open.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(&self.streams))
    }

    fn is_wanted(&self, now: Instant) -> bool {
        let rests = *self.streams.rests.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = self.streams.open.load(Ordering::Relaxed) > 0;
        !self.streams.gone.load(Ordering::Relaxed) && (busy || now - rests < IDLE_MULTIPLEXED)
    }
}

// === impl OpenStream ===

impl OpenStream {
    /// Nothing new is sent on its connection.
    pub(super) fn connection_is_gone(&self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.rests.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}
