//! How long to wait before a try is repeated.
//!
//! In: how many tries failed. Out: a pause that doubles with each, up to the longest, of which a random part is taken off.
//!
//! At most half is taken off ("equal jitter"). So tries that failed together do not come back together, and none comes
//! back at once, which would leave the endpoint no time to do better.

use crate::balance::Dice;
use std::time::Duration;
use weft_contract::policy::Retry;

/// The pause after so many tries failed; none before the first did.
#[must_use]
pub fn pause(retry: &Retry, failed_tries: u32, dice: &Dice) -> Duration {
    let Some(doublings) = failed_tries.checked_sub(1) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let whole = retry.backoff.saturating_mul(factor).min(retry.longest_backoff);
    whole / 2 + (whole / 2).mul_f64(dice.fraction())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retry(backoff: u64, longest: u64) -> Retry {
        let (backoff, longest_backoff) = (Duration::from_millis(backoff), Duration::from_millis(longest));
        Retry { backoff, longest_backoff, ..Retry::default() }
    }

    #[test]
    fn it_doubles_up_to_the_longest() {
        for (failed_tries, whole) in [(0, 0), (1, 20), (2, 40), (3, 80), (4, 100), (40, 100), (u32::MAX, 100)]
        {
            let pauses = (0..1000).map(|seed| pause(&retry(20, 100), failed_tries, &Dice::new(seed)));
            let mean = pauses.sum::<Duration>() / 1000;
            let expected = Duration::from_micros(whole * 750);
            assert!(mean.abs_diff(expected) <= expected / 50, "{failed_tries}: {mean:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_between_half_and_whole(backoff in 0..u64::MAX, longest in 0..u64::MAX, failed_tries: u32, seed: u64) {
            let whole = Duration::from_millis(longest);
            let pause = pause(&retry(backoff, longest), failed_tries, &Dice::new(seed));
            prop_assert!(pause <= whole);
            if failed_tries > 0 {
                prop_assert!(pause >= Duration::from_millis(backoff.min(longest)) / 2);
            }
        }
    }
}
