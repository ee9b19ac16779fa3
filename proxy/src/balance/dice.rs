//! Random numbers that tests can seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers that tests can seed. Shared without a lock.
#[derive(Debug)]
pub struct Dice(AtomicU64);

/// One roll of the dice: enough for a choice of two and for a jitter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roll(u64);

// === impl Dice ===

impl Dice {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Any number. This is splitmix64: fast, and even enough for balancing.
    pub fn number(&self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    /// A number below `limit`, which must not be zero.
    pub fn below(&self, limit: usize) -> usize {
        ((u128::from(self.number()) * limit as u128) >> 64) as usize
    }

    /// A number from 0 to below 1.
    pub fn fraction(&self) -> f64 {
        // 53 bits are what a f64 can hold.
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn roll(&self) -> Roll {
        Roll(self.number())
    }
}

/// Spreads what differs in some bits over all of them: the last step of splitmix64.
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

// === impl Roll ===

impl Roll {
    /// A number below `limit`, which must not be zero.
    pub(super) fn one(self, limit: usize) -> usize {
        scale(self.0 & 0xffff_ffff, limit)
    }

    /// Two numbers below `limit`, which must be at least two; they are never the same.
    pub(super) fn two(self, limit: usize) -> (usize, usize) {
        let first = self.one(limit);
        let second = first + 1 + scale(self.0 >> 32, limit - 1);
        (first, if second < limit { second } else { second - limit })
    }

    /// A number from 0 to below 1.
    pub(super) fn fraction(self) -> f64 {
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What 32 random bits make of a number below `limit`.
fn scale(bits: u64, limit: usize) -> usize {
    ((u128::from(bits) * limit as u128) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_numbers_are_different_and_below_the_limit(number: u64, limit in 2_usize..5_000) {
            let (first, second) = Roll(number).two(limit);
            prop_assert!(first < limit && second < limit && first != second);
        }
    }

    #[test]
    fn each_pair_is_drawn_equally_often() {
        let dice = Dice::new(3);
        let mut pairs = std::collections::HashMap::new();
        for _ in 0..12_000 {
            *pairs.entry(dice.roll().two(4)).or_insert(0_u32) += 1;
        }
        assert_eq!(pairs.len(), 12);
        assert!(pairs.values().all(|count| (850..1_150).contains(count)), "{pairs:?}");
    }
}
