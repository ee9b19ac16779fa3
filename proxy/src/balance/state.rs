//! What is known of one endpoint, and what is learnt of it.
//!
//! In: outcomes. Out: numbers to choose by. Each is one atomic: threads that learn at once may lose a little of what
//! one of them saw, and never corrupt anything.

use super::{
    clock::{Clock, Ticks, nanoseconds},
    dice::Roll,
    ewma::Ewma,
    group::Group,
    hash::hash_endpoint,
    outcome::{Outcome, Verdict},
    outlier::Health,
    slow_start::Warming,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

/// A failure, or being asked for less, counts as an answer this many times slower than usual. That shifts traffic away
/// for the time in which the estimate falls back, about ten seconds; more than one in a row multiply.
const PENALTY: f32 = 3.0;

/// No penalty makes an endpoint look slower than this, in seconds.
const LARGEST_PENALTY: f32 = 10.0;

/// Seeds apart what is hashed for cookies from what is hashed for tables.
const COOKIE_SEED: u64 = 0x636f_6f6b_6965;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One endpoint with its state, which lives on while plans come and go.
#[derive(Debug)]
pub struct EndpointState {
    /// Which one this is; never given again in this process.
    pub id: u64,
    /// Where it listens.
    pub address: SocketAddr,
    pub(super) cookie: u64,
    pub(super) latency: Ewma,
    pub(super) warming: Warming,
    pub(super) health: Health,
    in_flight: AtomicUsize,
    avoided_until: AtomicU64,
    retired: AtomicBool,
    pub(super) group: Arc<Group>,
    clock: Clock,
}

impl EndpointState {
    /// An endpoint of which nothing is known but what latency to expect.
    pub(super) fn new(
        address: SocketAddr,
        expected: f32,
        group: Arc<Group>,
        clock: Clock,
        now: Ticks,
    ) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            cookie: hash_endpoint(address, COOKIE_SEED),
            latency: Ewma::new(expected, now),
            warming: Warming::default(),
            health: Health::default(),
            in_flight: AtomicUsize::new(0),
            avoided_until: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            group,
            clock,
        }
    }

    /// How many requests or connections it has now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the configuration no longer has it: connections to it are not worth keeping.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// What a sticky cookie holds to mean this endpoint: the same in every proxy, and nothing that tells its address.
    #[must_use]
    pub fn cookie_value(&self) -> String {
        format!("{:016x}", self.cookie)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it asked to be left alone.
    pub(super) fn is_avoided(&self, now: Ticks) -> bool {
        self.avoided_until.load(Ordering::Relaxed) > now
    }

    /// Takes a request more, unless it has `most` already.
    pub(super) fn charge(&self, most: usize) -> bool {
        if most == usize::MAX {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let one_more = |count| if count < most { Some(count + 1) } else { None };
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(super) fn discharge(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// How busy and slow it is: how long a further request would take if they were served one after the other.
    pub(super) fn load(&self, now: Ticks) -> f32 {
        self.latency.estimate(now) * (self.in_flight() + 1) as f32
    }

    pub(super) fn ticks(&self, now: tokio::time::Instant) -> Ticks {
        self.clock.ticks(now)
    }

    /// Learns from what became of a request; `probe` tells that the request was sent to find out.
    pub(super) fn learn(&self, outcome: Outcome, probe: bool, now: Ticks, roll: Roll) {
        let verdict = outcome.verdict();
        if let Some(latency) = outcome.latency() {
            self.learn_latency(latency.as_secs_f32(), verdict, now, roll);
        }
        if let Some(wait) = outcome.avoidance()
            && self.group.can_spare(self, now)
        {
            self.avoided_until.store(now.saturating_add(nanoseconds(wait)), Ordering::Relaxed);
        }
        let failed = verdict == Verdict::Failed;
        if probe {
            self.group.probed(self, failed, now, roll);
        } else if self.health.takes_part() {
            // Answers that were under way when it was set aside tell nothing new.
            self.health.count(failed, now);
            if failed {
                self.group.failed(self, now, roll);
            }
        }
    }

    /// It was set aside and takes part again, as if it were new.
    pub(super) fn bring_back(&self, expected: Option<f32>, now: Ticks) {
        if let Some(expected) = expected {
            // What made it slow were its failures, which are over.
            self.latency.set(expected, now);
        }
        self.warming.start(now);
        self.health.bring_back(now);
    }

    fn learn_latency(&self, latency: f32, verdict: Verdict, now: Ticks, roll: Roll) {
        let sample = match verdict {
            Verdict::Good => latency,
            Verdict::Pushback | Verdict::Failed => {
                let usual = self.group.typical_latency(self, now, roll).unwrap_or(0.0);
                let worse = PENALTY * self.latency.estimate(now).max(usual);
                latency.max(worse.min(LARGEST_PENALTY))
            }
        };
        self.latency.add(sample, now);
    }
}
