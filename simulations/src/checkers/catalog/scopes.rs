//! Checks that what stays in a datacenter is known nowhere else.

use crate::checkers::checker::{Checker, Scene, is_turn_of};
use crate::checkers::per_life::PerLife;
use crate::truth::stays_home;

/// Remembers the digest of each node's records at the last look.
#[derive(Default)]
pub(in crate::checkers) struct Scopes {
    looked_at: PerLife<u64>,
}

impl Checker for Scopes {
    fn name(&self) -> &'static str {
        "scopes"
    }

    fn explanation(&self) -> &'static str {
        "no agent may hold a registration that stays in the datacenter of its agent, if that is another datacenter than its own"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        if !scene.truth.has_scoped() {
            return;
        }
        let turn = scene.world.running().filter(|(host, _)| is_turn_of(*host, scene));
        for (host, node) in turn {
            let looked_at = self.looked_at.of(host, scene.world.host(host).lives());
            let digest = node.catalog().digest();
            if std::mem::replace(looked_at, digest) == digest {
                continue;
            }
            let here = scene.world.location(host).0;
            for (id, origin) in node.catalog().origins() {
                let Some(replica) = origin.current() else { continue };
                let home = scene.world.home_of(id, replica.epoch());
                if home.is_none_or(|home| home == here) || scene.truth.is_duplicate(id) {
                    continue;
                }
                let stays = |value| matches!(value, Some(value) if stays_home(value));
                if let Some(slot) = replica.slots().find(|slot| stays(slot.value())) {
                    let name = scene.world.name_of(id);
                    failures.push(format!(
                        "n{host} in {here} holds {:?} of {name}, which stays in {}",
                        slot.key(),
                        home.unwrap_or_default()
                    ));
                }
            }
        }
    }
}
