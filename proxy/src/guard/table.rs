//! The buckets of a rate limit that has one for each key.
//!
//! In: a key. Out: its bucket; a full one where there is none.
//!
//! The number of buckets is bounded, however many keys somebody makes up. A full bucket says nothing and is dropped when
//! room is needed; then those that are nearest to full. So whoever makes up keys loses the buckets of these, each of which
//! was used once, and not those of clients that are being held back; and a client that does lose its bucket gets a full
//! one, and is not locked out.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Parts with a lock of their own, so that workers seldom meet.
const SHARDS: usize = 16;
/// The most buckets in a part: 65,536 in all, which take 1.5 MiB.
const LARGEST: usize = 4096;
/// How many buckets are dropped at least when a part is full: going through all of them pays off over as many keys.
const DROPPED: usize = LARGEST / 8;

/// Buckets by key.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Keyed by chance, so that nobody can find a key that falls together with another's.
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// When the bucket of each (hashed) key is full. Of 65,536 keys two have one hash in one of nine billion tables.
type Shard = HashMap<u64, u64, BuildHasherDefault<Hashed>>;

/// The hash of what is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

// === impl Table ===

impl Table {
    /// Replaces the time at which the bucket of `key` is full by what `take` makes of it, if it does.
    pub(super) fn with<Refused>(
        &self,
        key: &impl Hash,
        now: u64,
        take: impl FnOnce(u64) -> Result<u64, Refused>,
    ) -> Result<(), Refused> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some(full_at) = shard.get_mut(&hash) {
            *full_at = take(*full_at)?;
            return Ok(());
        }
        let after = take(0)?;
        if shard.len() >= LARGEST {
            make_room(&mut shard, now);
        }
        shard.insert(hash, after);
        Ok(())
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Bits from the middle: the map uses those at both ends.
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        (0..SHARDS as u64).map(|shard| self.shard(shard << 32).len()).sum()
    }
}

fn make_room(shard: &mut Shard, now: u64) {
    shard.retain(|_, full_at| *full_at > now);
    let Some(last) = (shard.len() + DROPPED).checked_sub(LARGEST + 1) else { return };
    let mut times: Vec<u64> = shard.values().copied().collect();
    let last_dropped = *times.select_nth_unstable(last).1;
    // Where many are equally full, no more of them than need be.
    let mut left = last + 1;
    shard.retain(|_, full_at| {
        let dropped = *full_at < last_dropped || (*full_at == last_dropped && left > 0);
        left = left.saturating_sub(usize::from(dropped));
        !dropped
    });
}

// === impl Hashed ===

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_keys_take_bounded_room_and_push_out_no_one_who_is_held_back() {
        let table = Table::default();
        let held_back = 1_000_000;
        for client in 0..100 {
            assert_eq!(table.with(&("client", client), 0, |_| Ok::<_, ()>(held_back)), Ok(()));
        }
        for number in 0..200_000_u64 {
            assert_eq!(table.with(&("made up", number), number, |_| Ok::<_, ()>(number + 500_000)), Ok(()));
        }
        assert!(table.len() <= SHARDS * LARGEST, "{}", table.len());
        assert!(table.len() >= SHARDS * (LARGEST - 2 * DROPPED), "{}", table.len());
        for client in 0..100 {
            assert_eq!(table.with(&("client", client), 200_000, Err), Err(held_back));
        }
    }

    #[test]
    fn full_buckets_go_first() {
        let mut shard: Shard = (0..LARGEST as u64).map(|key| (key, key)).collect();
        make_room(&mut shard, 1000);
        assert_eq!(shard.len(), LARGEST - 1001);
        assert!(shard.values().all(|full_at| *full_at > 1000));
        make_room(&mut shard, 1000);
        assert_eq!(shard.len(), LARGEST - 1001, "there is room enough");
    }

    #[test]
    fn of_equal_buckets_no_more_go_than_need_be() {
        let mut shard: Shard = (0..LARGEST as u64).map(|key| (key, 5)).collect();
        make_room(&mut shard, 0);
        assert_eq!(shard.len(), LARGEST - DROPPED);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let table = Table::default();
        assert_eq!(table.with(&"key", 0, |_| Err(7)), Err(7));
        assert_eq!(table.len(), 0);
        assert_eq!(table.with(&"key", 0, |_| Ok::<_, ()>(3)), Ok(()));
        assert_eq!(table.with(&"key", 0, |_| Err(7)), Err(7));
        assert_eq!(table.with(&"key", 0, Err), Err(3));
    }
}
