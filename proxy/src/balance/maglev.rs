//! The same endpoint for the same key, in every proxy.
//!
//! In: a key. Out: an endpoint. A table after Maglev (Eisenbud and others, NSDI 2016): every endpoint has its own order
//! of the table's places, and they take turns to occupy the next one that is free. All get equal shares, and when one
//! comes or goes hardly any key of the others moves. Load is bounded (Mirrokni and others, 2016): where a key's endpoint
//! has more than its part, or cannot be had, the key has a second place, a third, and so on, the same in every proxy.

use super::{
    dice::mix,
    field::{Choice, Field},
    hash::hash_endpoint,
    state::EndpointState,
};
use std::{net::SocketAddr, sync::Arc};

/// Sizes of the table, primes. A hundred places for each endpoint make shares equal to a hundredth. Between two sizes
/// every key moves, so that there are few.
const SIZES: [usize; 3] = [16_381, 65_521, 262_139];
const PLACES_EACH: usize = 100;

/// How many places of a key are looked at.
const ATTEMPTS: u64 = 16;

/// How far above the mean an endpoint's requests in flight may be, in percent.
const BOUND: usize = 125;

/// This many in flight are no load, whatever the mean: two requests at once must not part a key from its endpoint.
const NO_LOAD: usize = 8;

/// The table.
#[derive(Debug)]
pub(super) struct Maglev(Vec<u16>);

/// One endpoint's own order of the places.
struct Order {
    next: usize,
    step: usize,
}

impl Maglev {
    /// The table of these endpoints, which must be in the order that every proxy has them in.
    pub(super) fn new(endpoints: &[Arc<EndpointState>]) -> Self {
        // There are no Services so large; their further endpoints would get no keys.
        let count = endpoints.len().min(usize::from(u16::MAX));
        if count == 0 {
            return Self(Vec::new());
        }
        let size = SIZES.into_iter().find(|size| count * PLACES_EACH <= *size).unwrap_or(SIZES[2]);
        let mut orders: Vec<Order> =
            endpoints[..count].iter().map(|state| Order::new(state.address, size)).collect();
        let mut table = vec![u16::MAX; size];
        let mut free = size;
        'full: loop {
            for (index, order) in (0_u16..).zip(&mut orders) {
                let place = order.next_free(&table);
                table[place] = index;
                free -= 1;
                if free == 0 {
                    break 'full;
                }
            }
        }
        Self(table)
    }

    /// The endpoint of this key.
    pub(super) fn choose<'a>(&self, field: &Field<'a>, key: u64) -> Option<Choice<'a>> {
        let mut bound = None;
        for place in self.places(key) {
            let state = field.endpoints.get(place)?;
            if let Some(probe) = field.probe(state) {
                return Some(probe);
            }
            if !field.admits(state) {
                continue;
            }
            let in_flight = state.in_flight();
            if in_flight < NO_LOAD || in_flight < *bound.get_or_insert_with(|| bound_of(field)) {
                return Some(field.choice(state));
            }
        }
        // Bad luck, or many cannot be had.
        let least = field.admitted().min_by_key(|state| (state.in_flight(), mix(key ^ state.cookie)))?;
        Some(field.choice(least))
    }

    fn places(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let size = self.0.len() as u128;
        (0..if self.0.is_empty() { 0 } else { ATTEMPTS }).map(move |attempt| {
            let mixed = mix(key.wrapping_add(attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            usize::from(self.0[((u128::from(mixed) * size) >> 64) as usize])
        })
    }
}

/// How many requests in flight are an endpoint's part.
fn bound_of(field: &Field<'_>) -> usize {
    let (mut count, mut in_flight) = (0, 1);
    for state in field.admitted() {
        count += 1;
        in_flight += state.in_flight();
    }
    (in_flight * BOUND).div_ceil(100 * count.max(1))
}

// === impl Order ===

impl Order {
    fn new(address: SocketAddr, size: usize) -> Self {
        let below = |seed, limit: usize| (hash_endpoint(address, seed) % limit as u64) as usize;
        Self { next: below(1, size), step: 1 + below(2, size - 1) }
    }

    /// The next place in this order that is free. There must be one; the size is a prime, so that all are come by.
    fn next_free(&mut self, table: &[u16]) -> usize {
        loop {
            let place = self.next;
            self.next = (self.next + self.step) % table.len();
            if table[place] == u16::MAX {
                return place;
            }
        }
    }
}

#[cfg(test)]
impl Maglev {
    /// How many places the endpoints have that have the fewest and the most.
    pub(super) fn fewest_and_most_places(&self) -> (usize, usize) {
        let mut counts = std::collections::HashMap::new();
        self.0.iter().for_each(|index| *counts.entry(*index).or_insert(0) += 1);
        (counts.values().copied().min().unwrap_or(0), counts.values().copied().max().unwrap_or(0))
    }
}
