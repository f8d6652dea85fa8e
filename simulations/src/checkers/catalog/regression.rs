//! Checks that a node never goes back behind what it has seen.

use std::collections::BTreeMap;

use hobnob_membership::catalog::Version;
use hobnob_membership::record::Key;
use hobnob_membership::{Epoch, Event, NodeId};

use crate::checkers::checker::{Checker, Scene, is_sampled, is_turn_of};
use crate::checkers::per_life::PerLife;
use crate::world::NodeEvent;

/// Remembers the versions that each node has reached.
#[derive(Default)]
pub(in crate::checkers) struct Regression {
    seen: PerLife<Seen>,
}

#[derive(Default)]
struct Seen {
    digest: u64,
    records: BTreeMap<(NodeId, Key), (Epoch, Version)>,
    /// Epoch, last known version, and tombstone floor.
    heads: BTreeMap<NodeId, (Epoch, Version, Version)>,
}

impl Checker for Regression {
    fn name(&self) -> &'static str {
        "regression"
    }

    fn explanation(&self) -> &'static str {
        "while a node runs, the versions of the records that it shows, and the version up to which it knows an origin, must never go back"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Instance(change) = &event.kind else { return };
        if !is_sampled(event.host, scene) {
            return;
        }
        let instance = &change.instance;
        let Some(node) = scene.world.node(event.host) else { return };
        let Some(replica) = node.catalog().origin(instance.origin).and_then(|o| o.current()) else {
            return;
        };
        if scene.truth.is_duplicate(instance.origin) {
            return;
        }
        let seen = self.seen.of(event.host, event.life);
        for key in [Key::Service(instance.id.clone()), Key::Health(instance.id.clone())] {
            let Some(slot) = replica.slot(&key) else { continue };
            let now = (replica.epoch(), slot.version());
            let last = seen.records.entry((instance.origin, key)).or_insert(now);
            if now < *last {
                failures.push(format!(
                    "n{} shows {} of {} in version {now:?} after {last:?}",
                    event.host,
                    instance.id,
                    scene.world.name_of(instance.origin)
                ));
            }
            *last = now.max(*last);
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let turn = scene.world.running().filter(|(host, _)| is_turn_of(*host, scene));
        for (host, node) in turn {
            let seen = self.seen.of(host, scene.world.host(host).lives());
            let digest = node.catalog().digest();
            if std::mem::replace(&mut seen.digest, digest) == digest {
                continue;
            }
            for (id, origin) in node.catalog().origins() {
                let Some(replica) = origin.current() else { continue };
                let now = (replica.epoch(), replica.known_to(), replica.gc_floor());
                let last = seen.heads.insert(id, now).unwrap_or(now);
                let back =
                    now.0 < last.0 || (now.0 == last.0 && (now.1 < last.1 || now.2 < last.2));
                if back && !scene.truth.is_duplicate(id) {
                    let name = scene.world.name_of(id);
                    failures.push(format!("n{host} knows {name} only to {now:?} after {last:?}"));
                }
            }
        }
    }
}
