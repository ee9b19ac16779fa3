//! Shares that are kept to the letter.
//!
//! In: weights. Out: whose turn it is. The turns are multiples of the golden ratio, of which any number in a row are spread
//! over the unit as evenly as can be (Weyl's sequence): of N of them every share gets what is its due, give or take a few,
//! where dice would be off by the square root of N.

use std::sync::atomic::{AtomicU64, Ordering};

/// The golden ratio as a part of 2^64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the sequence is; shared by all threads.
#[derive(Debug)]
pub(super) struct Turn(AtomicU64);

impl Turn {
    pub(super) fn starting(at: u64) -> Self {
        Self(AtomicU64::new(at))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(STEP, Ordering::Relaxed)
    }
}

/// Whose share a point is in; none where nobody has one.
pub(super) fn at(point: u64, weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut place = (u128::from(point) * u128::from(total)) >> 64;
    weights.enumerate().find_map(|(index, weight)| {
        let weight = u128::from(weight);
        if place < weight {
            return Some(index);
        }
        place -= weight;
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_kept_whatever_they_are(
            start: u64,
            weights in prop::collection::vec(prop_oneof![Just(0), 1_u32..10, 1_u32..1_000_000, any::<u32>()], 0..6),
        ) {
            let turn = Turn::starting(start);
            let mut counts = vec![0_u32; weights.len()];
            let total: u64 = weights.iter().copied().map(u64::from).sum();
            for _ in 0..10_000 {
                match at(turn.next(), weights.iter().copied()) {
                    Some(place) => counts[place] += 1,
                    None => prop_assert_eq!(total, 0),
                }
            }
            for (weight, count) in weights.iter().zip(&counts) {
                if *weight == 0 {
                    prop_assert_eq!(*count, 0);
                } else {
                    let due = 10_000.0 * f64::from(*weight) / total as f64;
                    prop_assert!((f64::from(*count) - due).abs() <= 10.0, "{} of {:?}: {} for {}", count, &weights, weight, due);
                }
            }
        }
    }
}
