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
    http::{
        http2::{Connection, Opener},
        wire::{alarm::Alarm, http1::Http1},
    },
    route::Upstream,
};
use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, interval, timeout},
};
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

/// How long an endpoint may take to read what was sent to it last, when its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pool(Arc<Shared>);

type Key = (u64, u64);

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
    pub(super) opener: Arc<Opener>,
    streams: Arc<Streams>,
}

/// What a connection of HTTP/2 has under way.
struct Streams {
    open: AtomicUsize,
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
        free.map(|(opener, stream)| Exchange::http2(opener, stream, upstream.uri_scheme(), true))
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
        if let Some((opener, stream)) = free {
            return Ok(Exchange::http2(opener, stream, upstream.uri_scheme(), true));
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
                Ok(Exchange::http2(connection.opener, stream, upstream.uri_scheme(), false))
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
    pub(super) fn drive(opener: Opener, mut connection: Connection, mut turn: Option<Turn>) -> Self {
        let streams = Arc::new(Streams { open: AtomicUsize::new(0), rests: Mutex::new(Instant::now()) });
        tokio::spawn(async move {
            let (mut alarm, mut until) = (Alarm::default(), None);
            poll_fn(|context| {
                let driven = connection.poll_drive(context);
                if turn.is_some() && connection.is_settled() {
                    turn = None;
                }
                if driven.is_pending() && connection.is_over() {
                    let until = *until.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                    return alarm.poll(context, until);
                }
                driven
            })
            .await;
            if let Some(what) = connection.failure() {
                tracing::debug!(what, "a connection to an endpoint ended");
            }
        });
        Self { opener: Arc::new(opener), streams }
    }

    /// Another stream, where there is room for one.
    fn stream(&self) -> Option<(Arc<Opener>, OpenStream)> {
        let most = self.opener.most_streams()?.min(MOST_STREAMS as usize);
        let has_room = self.streams.open.load(Ordering::Relaxed) < most && !self.opener.is_gone();
        has_room.then(|| (Arc::clone(&self.opener), self.occupy()))
    }

    /// Waits for the endpoint's settings.
    async fn settled(&self) -> Result<(), Error> {
        poll_fn(|context| self.opener.poll_settled(context)).await;
        if self.opener.is_gone() {
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
        !self.opener.is_gone() && (busy || now - rests < IDLE_MULTIPLEXED)
    }
}

// === impl OpenStream ===

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.rests.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}
