//! Lots of chance.

use crate::balance::Dice;

/// True for this share of draws, in percent; 0 never and 100 always.
pub(super) fn percent(dice: &Dice, share: u32) -> bool {
    share >= 100 || (share > 0 && dice.below(100) < share as usize)
}
