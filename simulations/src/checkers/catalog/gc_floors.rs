//! Checks the tombstone floors: no replica forgets deletions that its origin remembers, and none keeps tombstones that
//! its origin dropped.

use crate::checkers::checker::{Checker, Scene};

/// Compares every replica with its origin when all is healed.
pub(in crate::checkers) struct GcFloors;

impl Checker for GcFloors {
    fn name(&self) -> &'static str {
        "gc-floors"
    }

    fn explanation(&self) -> &'static str {
        "once all is healed, no replica may have a floor above its origin's, or keep a tombstone at or below its own floor"
    }

    fn healed(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        for (host, node) in scene.world.running() {
            let id = scene.world.host(host).id;
            let own = node.catalog().origin(id).and_then(|origin| origin.current());
            let Some(own) = own.filter(|_| !scene.truth.is_duplicate(id)) else { continue };
            for (other, node) in scene.sample() {
                let replica = node.catalog().origin(id).and_then(|origin| origin.current());
                let Some(replica) = replica.filter(|it| it.epoch() == own.epoch()) else {
                    continue;
                };
                let (floor, limit, name) =
                    (replica.gc_floor(), own.gc_floor(), scene.world.name_of(id));
                if floor > limit {
                    failures.push(format!(
                        "n{other} forgets deletions of {name} up to version {floor}; the origin keeps those above {limit}"
                    ));
                }
                let deleted = replica.slots().filter(|slot| slot.value().is_none());
                if let Some(slot) = deleted.into_iter().find(|slot| slot.version() <= floor) {
                    failures.push(format!(
                        "n{other} keeps tombstone {} of {name}, which is not above its floor {floor}",
                        slot.version()
                    ));
                }
            }
        }
    }
}
