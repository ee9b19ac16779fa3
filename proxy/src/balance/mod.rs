//! Picks one endpoint for a request or a connection.
//!
//! In: the endpoints of a Service's port, what the Service asks of the balancing, and for each request what was tried
//! already. Out: one endpoint, charged with the request until the guard is dropped; or why there is none. What became of
//! the request comes back through the guard, and is what the next choice is made by.
//!
//! ```text
//!  eligible ----> locality -----> sticky, hash, p2c, round_robin ----> InFlight ----> the engine
//!  (Kubernetes'   (near ones,     (of those that the field admits:                        |
//!   own rule)      if enough)      neither full, nor tried, nor set aside)                | Outcome
//!                                          ^                                              v
//!                                    EndpointState: load, <---- ewma, outlier, window, slow_start
//! ```
//!
//! All of it is pure: time is a parameter, randomness is [`Dice`]. The default policy picks and learns without a lock and
//! without an allocation.

mod dice;
mod eligible;
mod ewma;
mod field;
mod group;
mod hash;
mod in_flight;
mod locality;
mod maglev;
mod only;
mod outcome;
mod outlier;
mod p2c;
mod room;
mod round_robin;
mod slow_start;
mod state;
mod sticky;
mod window;

pub use dice::Dice;
pub use hash::{hash, hash_address};
pub use in_flight::InFlight;
pub use only::{Kinds, Only};
pub use outcome::Outcome;
pub use room::Waiting;
pub use state::EndpointState;

use crate::clock::{Ticks, nanoseconds};
use dice::Roll;
use field::{Choice, Field, Leniency, Measure, is_open};
use group::Group;
use locality::{Distances, Tiers};
use maglev::Maglev;
use round_robin::Turn;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::time::Instant;
use weft_contract::{
    Endpoint,
    policy::{Algorithm, Balancing, HashKey, Outlier, Proximity, StickyCookie},
};

/// Where this proxy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Its node.
    pub node: String,
    /// The zone of that, where known.
    pub zone: Option<String>,
}

/// What a balancer goes by.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// How an endpoint is chosen.
    pub balancing: &'a Balancing,
    /// When a failing one is set aside.
    pub outlier: &'a Outlier,
    /// How many requests one endpoint may have at once; 0 is no bound.
    pub most_in_flight: u32,
    /// Where this proxy is.
    pub home: &'a Home,
}

/// The endpoints of one port of a Service that may be picked.
#[derive(Debug)]
pub struct Balancer {
    /// Sorted by how near they are, then by address.
    endpoints: Vec<Arc<EndpointState>>,
    tiers: Tiers,
    rule: Rule,
    sticky: Option<StickyCookie>,
    most_in_flight: usize,
    slow_start: Ticks,
    group: Arc<Group>,
}

/// An algorithm with what it needs.
#[derive(Debug)]
enum Rule {
    P2cEwma,
    RoundRobin(Turn),
    LeastRequest,
    Hash(HashKey, Maglev),
}

/// What a request wants of the balancer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want<'a> {
    /// The hash of what [`Balancer::hash_key`] names, where the request has it.
    pub key: Option<u64>,
    /// The value of the sticky cookie that the client sent.
    pub sticky: Option<&'a [u8]>,
    /// What was tried already, and will not be picked again.
    pub tried: &'a [SocketAddr],
    /// The only ones that may be picked; none where all may.
    pub only: Option<&'a Only>,
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEndpoint {
    /// None takes part.
    NoneReady,
    /// All were tried.
    AllTried,
    /// All that are left have as many requests as they may have, or others wait for a place already.
    Full,
}

/// How many endpoints there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those that can be picked now.
    pub available: usize,
    /// Those set aside for their failures.
    pub ejected: usize,
    /// All that are ready.
    pub total: usize,
}

/// How often a choice is repeated because another thread took the last place at the chosen endpoint.
const CHARGES: usize = 4;

// === impl Balancer ===

impl Balancer {
    /// A balancer over `endpoints`. Those that `previous` knows keep their state.
    #[must_use]
    pub fn new(
        endpoints: &[Endpoint],
        settings: &Settings<'_>,
        previous: Option<&Self>,
        now: Instant,
    ) -> Self {
        let Settings { balancing, outlier, most_in_flight, home } = *settings;
        let Balancing { algorithm, sticky, proximity, slow_start } = balancing;
        let group = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.group));
        let ticks = group.ticks(now);

        let eligible = eligible::eligible(endpoints);
        // The key says which endpoint is meant, to all proxies alike, near or far.
        let proximity = if matches!(algorithm, Algorithm::Hash(_)) { Proximity::Any } else { *proximity };
        let distances = {
            let all: Vec<&Endpoint> = eligible.iter().map(|(_, endpoint)| *endpoint).collect();
            Distances::new(proximity, home, &all)
        };
        let mut states = States::new(previous, &group, ticks);
        let mut near: Vec<_> = eligible
            .iter()
            .map(|(address, endpoint)| (distances.of(endpoint), states.get(*address)))
            .collect();
        near.sort_by_key(|(distance, _)| *distance); // stable: by address within each tier
        let (distances, endpoints): (Vec<_>, Vec<_>) = near.into_iter().unzip();

        group.regroup(&endpoints, outlier, ticks);
        let most_in_flight = if most_in_flight == 0 { usize::MAX } else { most_in_flight as usize };
        group.room.open(&endpoints, most_in_flight);
        Self {
            tiers: Tiers::new(&distances),
            rule: Rule::new(algorithm, &endpoints, home, previous),
            endpoints,
            sticky: sticky.clone(),
            most_in_flight,
            slow_start: nanoseconds(*slow_start),
            group,
        }
    }

    /// Picks an endpoint other than those tried.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(&self, want: &Want<'_>, dice: &Dice, now: Instant) -> Result<InFlight, NoEndpoint> {
        self.pick_by(Measure::Latency, want, dice, now)
    }

    /// The same for a connection or a session: where latency would count for a request, only what is open does. How soon
    /// an endpoint accepts says nothing of its work.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick_connection(
        &self,
        want: &Want<'_>,
        dice: &Dice,
        now: Instant,
    ) -> Result<InFlight, NoEndpoint> {
        self.pick_by(Measure::Open, want, dice, now)
    }

    fn pick_by(
        &self,
        measure: Measure,
        want: &Want<'_>,
        dice: &Dice,
        now: Instant,
    ) -> Result<InFlight, NoEndpoint> {
        let now = self.group.ticks(now);
        if self.most_in_flight != usize::MAX && self.group.room.is_awaited() {
            return Err(NoEndpoint::Full);
        }
        for _ in 0..CHARGES {
            let roll = dice.roll();
            let field = Field { measure, ..self.field(want, dice, now) };
            let Some(choice) = self.choose(&field, want, roll) else { break };
            if let Some(in_flight) = InFlight::charge(choice, self.most_in_flight, now, roll) {
                return Ok(in_flight);
            }
        }
        Err(self.why_none(want))
    }

    /// Waits for a place at any endpoint, where all are full; behind at most so many others. None where these are too many. A
    /// client's key or cookie does not matter then: another endpoint is better than none.
    #[must_use]
    pub fn wait(&self, source: IpAddr, longest: u32) -> Option<Waiting> {
        Waiting::join(&self.group, &self.endpoints, source, longest as usize)
    }

    /// The endpoints that may be picked, the nearest first.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<EndpointState>] {
        &self.endpoints
    }

    /// What has to be hashed for [`Want::key`], if anything.
    #[must_use]
    pub fn hash_key(&self) -> Option<&HashKey> {
        match &self.rule {
            Rule::Hash(key, _) => Some(key),
            Rule::P2cEwma | Rule::RoundRobin(_) | Rule::LeastRequest => None,
        }
    }

    /// The cookie that keeps a client at its endpoint, if there is to be one.
    #[must_use]
    pub fn sticky(&self) -> Option<&StickyCookie> {
        self.sticky.as_ref()
    }

    /// How many endpoints there are, and how many of them can be picked.
    #[must_use]
    pub fn census(&self, now: Instant) -> Census {
        let dice = Dice::new(0);
        let available = self.field(&Want::default(), &dice, self.group.ticks(now)).admitted().count();
        let ejected = self.endpoints.iter().filter(|state| !state.health.takes_part()).count();
        Census { available, ejected, total: self.endpoints.len() }
    }

    /// Retires the endpoints that `next`, which takes the place of this, does not carry on.
    pub fn retire_missing(&self, next: &Self) {
        let kept: HashMap<u64, ()> = next.endpoints.iter().map(|state| (state.id, ())).collect();
        self.endpoints.iter().filter(|state| !kept.contains_key(&state.id)).for_each(|state| state.retire());
    }

    /// Retires every endpoint: nothing takes the place of this.
    pub fn retire_all(&self) {
        self.endpoints.iter().for_each(|state| state.retire());
    }

    fn field<'a>(&'a self, want: &Want<'a>, dice: &'a Dice, now: Ticks) -> Field<'a> {
        Field {
            endpoints: &self.endpoints,
            tried: want.tried,
            only: want.only,
            leniency: Leniency::Strict,
            measure: Measure::Latency,
            most_in_flight: self.most_in_flight,
            slow_start: self.slow_start,
            now,
            dice,
        }
    }

    fn choose<'a>(&'a self, field: &Field<'a>, want: &Want<'_>, roll: Roll) -> Option<Choice<'a>> {
        if let Some(value) = want.sticky
            && let Some(choice) = self.sticky_choice(field, value)
        {
            return Some(choice);
        }
        let near = self.tiers.narrow(*field);
        // A request with a key goes where its key leads; any other may find out whether an endpoint is well again.
        if self.group.is_any_due(field.now)
            && !(want.key.is_some() && matches!(self.rule, Rule::Hash(..)))
            && let Some(probe) = near.endpoints.iter().find_map(|state| near.probe(state))
        {
            return Some(probe);
        }
        self.rule
            .choose(&near, want.key, roll)
            .or_else(|| self.rule.choose(&field.with(Leniency::DespitePushback), want.key, roll))
            .or_else(|| self.rule.choose(&field.with(Leniency::DespiteFailing), want.key, roll))
    }

    /// The endpoint of a client's cookie, if it can be had. That it asks for less does not matter: the client's session
    /// is there and nowhere else.
    fn sticky_choice<'a>(&'a self, field: &Field<'a>, value: &[u8]) -> Option<Choice<'a>> {
        self.sticky.as_ref()?;
        let state = sticky::find(field.endpoints, value)?;
        let field = field.with(Leniency::DespitePushback);
        field.probe(state).or_else(|| field.admits(state).then(|| field.choice(state)))
    }

    fn why_none(&self, want: &Want<'_>) -> NoEndpoint {
        let mut open = self.endpoints.iter().filter(|state| is_open(want.only, state)).peekable();
        if open.peek().is_none() {
            NoEndpoint::NoneReady
        } else if open.all(|state| want.tried.contains(&state.address)) {
            NoEndpoint::AllTried
        } else {
            NoEndpoint::Full
        }
    }
}

// === impl Rule ===

impl Rule {
    fn new(
        algorithm: &Algorithm,
        endpoints: &[Arc<EndpointState>],
        home: &Home,
        previous: Option<&Balancer>,
    ) -> Self {
        match algorithm {
            Algorithm::P2cEwma => Self::P2cEwma,
            Algorithm::LeastRequest => Self::LeastRequest,
            Algorithm::Hash(key) => Self::Hash(key.clone(), Maglev::new(endpoints)),
            Algorithm::RoundRobin => match previous.map(|previous| &previous.rule) {
                Some(Self::RoundRobin(turn)) => Self::RoundRobin(turn.carry_on()),
                _ => Self::RoundRobin(Turn::starting((hash(home.node.as_bytes()) >> 32) as usize)),
            },
        }
    }

    fn choose<'a>(&self, field: &Field<'a>, key: Option<u64>, roll: Roll) -> Option<Choice<'a>> {
        let state = match self {
            Self::P2cEwma if field.measure == Measure::Latency => p2c::by_latency(field, roll),
            Self::RoundRobin(turn) => turn.choose(field),
            Self::P2cEwma | Self::LeastRequest => p2c::by_in_flight(field, roll),
            Self::Hash(_, table) => match key {
                Some(key) => return table.choose(field, key),
                None => p2c::any(field, roll),
            },
        }?;
        Some(field.choice(state))
    }
}

/// Finds or makes the state of each endpoint of a new balancer.
struct States<'a> {
    known: HashMap<SocketAddr, &'a Arc<EndpointState>>,
    expected: f32,
    group: &'a Arc<Group>,
    now: Ticks,
}

// === impl States ===

impl<'a> States<'a> {
    fn new(previous: Option<&'a Balancer>, group: &'a Arc<Group>, now: Ticks) -> Self {
        let known = previous.map_or(&[][..], |balancer| &balancer.endpoints);
        let sum: f32 = known.iter().map(|state| state.latency.estimate(now)).sum();
        // Taken for what the others are: no better, which would draw everything, and no worse.
        let expected = if known.is_empty() { ewma::UNKNOWN } else { sum / known.len() as f32 };
        let known = known.iter().map(|state| (state.address, state)).collect();
        Self { known, expected, group, now }
    }

    fn get(&mut self, address: SocketAddr) -> Arc<EndpointState> {
        if let Some(state) = self.known.get(&address) {
            return Arc::clone(state);
        }
        let state = EndpointState::new(address, self.expected, Arc::clone(self.group), self.now);
        // Where all are new, none has to wait for the others.
        if !self.known.is_empty() {
            state.warming.start(self.now);
        }
        Arc::new(state)
    }
}

#[cfg(test)]
mod tests;
