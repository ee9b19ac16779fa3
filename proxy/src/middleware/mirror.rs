//! Decides whether a copy of a request goes to the mirror.
//!
//! In: a request that is forwarded. Out: a mark for the engine, which sends the copy and waits for no answer.

use super::{Changes, draw::percent};
use crate::balance::Dice;

pub(super) fn pass(share: u32, dice: &Dice, changes: &mut Changes) {
    changes.mirror = percent(dice, share);
}

#[cfg(test)]
mod tests {
    use crate::{
        balance::Dice,
        middleware::{Chain, Changes, fixture::Scene},
    };
    use weft_contract::{
        Policy, ServiceKey,
        policy::{Actions, Mirror},
    };

    #[test]
    fn the_share_is_kept() {
        let (dice, scene) = (Dice::new(1), Scene::get("/"));
        for (share, least, most) in
            [(0, 0, 0), (25, 2_300, 2_700), (100, 10_000, 10_000), (400, 10_000, 10_000)]
        {
            let mirror = Mirror { service: ServiceKey::new("shop", "copy"), port: 80, percent: share };
            let actions = Actions { mirror: Some(mirror), ..Actions::default() };
            let chain = Chain::new(&Policy { actions, ..Policy::default() });
            let mut mirrored = 0;
            for _ in 0..10_000 {
                let mut changes = Changes::default();
                chain.pass(&scene.request(), &dice, &mut changes).unwrap();
                mirrored += u32::from(changes.mirror);
            }
            assert!((least..=most).contains(&mirrored), "{share}: {mirrored}");
        }
    }
}
