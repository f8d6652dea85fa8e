//! No replica forgets deletions that its origin remembers, and none remembers what its origin told it to forget.

use crate::checkers::checker::{Checker, Scene};
use crate::truth::Truth;

/// Looks at every replica when all is healed.
pub(in crate::checkers) struct GcFloors;

impl Checker for GcFloors {
    fn name(&self) -> &'static str {
        "gc-floors"
    }

    fn explanation(&self) -> &'static str {
        "when all is healed, no replica may have a floor above its origin's, nor keep a tombstone at or under its own floor"
    }

    fn healed(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        for (host, node) in scene.world.running() {
            let id = scene.world.host(host).id;
            let own = node.catalog().origin(id).and_then(|origin| origin.current());
            let Some(own) = own.filter(|_| !scene.truth.is_duplicate(id)) else { continue };
            for (other, node) in scene.world.running() {
                let replica = node.catalog().origin(id).and_then(|origin| origin.current());
                let Some(replica) = replica.filter(|it| it.epoch() == own.epoch()) else {
                    continue;
                };
                let (floor, limit, name) = (replica.gc_floor(), own.gc_floor(), Truth::name(id));
                if floor > limit {
                    failures.push(format!(
                        "n{other} forgets deletions of {name} up to {floor}, which keeps them above {limit}"
                    ));
                }
                let deleted = replica.slots().filter(|slot| slot.value().is_none());
                if let Some(slot) = deleted.into_iter().find(|slot| slot.version() <= floor) {
                    failures.push(format!(
                        "n{other} keeps the tombstone {} of {name} under its floor {floor}",
                        slot.version()
                    ));
                }
            }
        }
    }
}
