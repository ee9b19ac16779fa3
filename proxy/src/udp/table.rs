//! The sessions of one listener: by client, and in the order in which they were last used.
//!
//! In: who sends, and when. Out: whose session that is; which has rested too long; and which has to go where there are too
//! many. Finding one costs one hash, using one costs none: each stands in two linked lists through the same slots, that of
//! all sessions and that of its source's. Pure: time is a parameter.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::Instant;

/// Stands for no slot.
const NONE: u32 = u32::MAX;
/// Slots that are kept when the last session has gone; what a flood took beyond that is given back.
const KEPT: usize = 1024;

/// Whose session it is. A client that sends to two addresses of the proxy has two, for each is answered from its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The client's address and port.
    pub(super) client: SocketAddr,
    /// The address that it sent to.
    pub(super) local: Option<IpAddr>,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// In all.
    pub(super) service: usize,
    /// From one address.
    pub(super) source: usize,
}

/// Where a session is kept. It holds until the session is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u32);

/// Sessions with what is kept for each.
#[derive(Debug)]
pub(super) struct Table<T> {
    places: HashMap<Key, Place>,
    slots: Vec<Slot<T>>,
    free: Vec<Place>,
    all: List,
    sources: HashMap<IpAddr, u32>,
    of_source: Vec<Source>,
    free_sources: Vec<u32>,
    last_number: u32,
}

#[derive(Debug)]
struct Slot<T> {
    key: Key,
    /// Tells it from those that were in this slot before.
    number: u32,
    source: u32,
    used: Instant,
    links: [Links; 2],
    value: Option<T>,
}

/// The neighbours in a list.
#[derive(Clone, Copy, Debug)]
struct Links {
    older: u32,
    newer: u32,
}

/// A list from the one that has rested longest.
#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    newest: u32,
}

#[derive(Debug)]
struct Source {
    address: IpAddr,
    count: usize,
    list: List,
}

/// The two lists that each session stands in, as indexes of its links.
#[derive(Clone, Copy, Debug)]
enum Which {
    All,
    OfSource,
}

const BOTH: [Which; 2] = [Which::All, Which::OfSource];
const EMPTY: List = List { oldest: NONE, newest: NONE };
const ALONE: Links = Links { older: NONE, newer: NONE };

// === impl Key ===

impl Key {
    /// The address that sessions are counted by, however it is written.
    pub(super) fn source(&self) -> IpAddr {
        self.client.ip().to_canonical()
    }
}

// === impl Table ===

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            all: EMPTY,
            sources: HashMap::new(),
            of_source: Vec::new(),
            free_sources: Vec::new(),
            last_number: 0,
        }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Where a client's session is.
    pub(super) fn find(&self, key: &Key) -> Option<Place> {
        self.places.get(key).copied()
    }

    /// What is kept for a session.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.slots.get_mut(place.index())?.value.as_mut()
    }

    /// Whose session it is.
    pub(super) fn key(&self, place: Place) -> Key {
        self.slots[place.index()].key
    }

    /// A number that means this session, also when it has gone and another is in its place.
    pub(super) fn ticket(&self, place: Place) -> u64 {
        u64::from(self.slots[place.index()].number) << 32 | u64::from(place.0)
    }

    /// The session of a ticket, if it is still there.
    pub(super) fn redeem(&self, ticket: u64) -> Option<Place> {
        let place = Place(ticket as u32);
        let slot = self.slots.get(place.index())?;
        (slot.value.is_some() && u64::from(slot.number) == ticket >> 32).then_some(place)
    }

    /// A session was used: it is now the one that has rested shortest.
    pub(super) fn touch(&mut self, place: Place, now: Instant) {
        self.slots[place.index()].used = now;
        for which in BOTH {
            if self.list(which, place).newest != place.0 {
                self.unlink(which, place);
                self.append(which, place);
            }
        }
    }

    /// The session that has to go before there is room for one more from this source.
    pub(super) fn crowded(&self, source: IpAddr, bounds: Bounds) -> Option<Place> {
        let own = self.sources.get(&source).map(|index| &self.of_source[*index as usize]);
        match own {
            Some(own) if own.count >= bounds.source => Some(Place(own.list.oldest)),
            _ if self.len() >= bounds.service => self.oldest(),
            _ => None,
        }
    }

    /// The session that has rested longest.
    pub(super) fn oldest(&self) -> Option<Place> {
        (self.all.oldest != NONE).then_some(Place(self.all.oldest))
    }

    /// A session that has rested for `idle`.
    pub(super) fn expired(&self, now: Instant, idle: Duration) -> Option<Place> {
        let oldest = self.oldest()?;
        (now.saturating_duration_since(self.slots[oldest.index()].used) >= idle).then_some(oldest)
    }

    /// When the next session will have rested for `idle`, if none is used before.
    pub(super) fn next_expiry(&self, idle: Duration) -> Option<Instant> {
        self.slots[self.oldest()?.index()].used.checked_add(idle)
    }

    /// When any session was last used.
    pub(super) fn last_use(&self) -> Option<Instant> {
        Some(self.slots.get(self.all.newest as usize)?.used)
    }

    /// Adds a session; one of the same client must not be there.
    pub(super) fn insert(&mut self, key: Key, now: Instant, value: T) -> Place {
        let source = self.source(key.source());
        self.of_source[source as usize].count += 1;
        self.last_number = self.last_number.wrapping_add(1);
        let number = self.last_number;
        let slot = Slot { key, number, source, used: now, links: [ALONE; 2], value: Some(value) };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place.index()] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                Place(self.slots.len() as u32 - 1)
            }
        };
        self.places.insert(key, place);
        BOTH.into_iter().for_each(|which| self.append(which, place));
        place
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let value = self.slots.get_mut(place.index())?.value.take()?;
        BOTH.into_iter().for_each(|which| self.unlink(which, place));
        let Slot { key, number: _, source, used: _, links: _, value: _ } = &self.slots[place.index()];
        self.places.remove(key);
        let own = &mut self.of_source[*source as usize];
        own.count -= 1;
        if own.count == 0 {
            self.sources.remove(&own.address);
            self.free_sources.push(*source);
        }
        self.free.push(place);
        if self.places.is_empty() && self.slots.len() > KEPT {
            *self = Self { last_number: self.last_number, ..Self::default() };
        }
        Some(value)
    }

    fn source(&mut self, address: IpAddr) -> u32 {
        if let Some(index) = self.sources.get(&address) {
            return *index;
        }
        let source = Source { address, count: 0, list: EMPTY };
        let index = match self.free_sources.pop() {
            Some(index) => {
                self.of_source[index as usize] = source;
                index
            }
            None => {
                self.of_source.push(source);
                self.of_source.len() as u32 - 1
            }
        };
        self.sources.insert(address, index);
        index
    }

    fn list(&mut self, which: Which, place: Place) -> &mut List {
        match which {
            Which::All => &mut self.all,
            Which::OfSource => &mut self.of_source[self.slots[place.index()].source as usize].list,
        }
    }

    fn links(&mut self, which: Which, slot: u32) -> &mut Links {
        &mut self.slots[slot as usize].links[which as usize]
    }

    fn unlink(&mut self, which: Which, place: Place) {
        let Links { older, newer } = *self.links(which, place.0);
        match older {
            NONE => self.list(which, place).oldest = newer,
            older => self.links(which, older).newer = newer,
        }
        match newer {
            NONE => self.list(which, place).newest = older,
            newer => self.links(which, newer).older = older,
        }
    }

    fn append(&mut self, which: Which, place: Place) {
        let list = self.list(which, place);
        let older = std::mem::replace(&mut list.newest, place.0);
        match older {
            NONE => list.oldest = place.0,
            older => self.links(which, older).newer = place.0,
        }
        *self.links(which, place.0) = Links { older, newer: NONE };
    }
}

// === impl Place ===

impl Place {
    fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
