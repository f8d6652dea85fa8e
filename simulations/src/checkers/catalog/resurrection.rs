//! Checks that no deleted record returns.

use std::collections::BTreeMap;

use hobnob_membership::record::{Key, Text};
use hobnob_membership::view::InstanceStatus;
use hobnob_membership::{Event, NodeId};

use crate::checkers::checker::{Checker, Scene, is_sampled};
use crate::checkers::per_life::PerLife;
use crate::truth::{STAMP_KEY, Stamp};
use crate::world::NodeEvent;

/// Remembers the registrations that each node saw end.
#[derive(Default)]
pub(in crate::checkers) struct Resurrection {
    seen: PerLife<Deleted>,
}

type Deleted = BTreeMap<(NodeId, Text), Stamp>;

impl Checker for Resurrection {
    fn name(&self) -> &'static str {
        "resurrection"
    }

    fn explanation(&self) -> &'static str {
        "a registration that a node has seen deleted or replaced must never appear there again, and once all is healed no node may hold one that its origin deleted"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Instance(change) = &event.kind else { return };
        if !is_sampled(event.host, scene) {
            return;
        }
        let instance = &change.instance;
        let stamp = instance.service.meta.get(STAMP_KEY).and_then(|stamp| stamp.parse().ok());
        let Some(stamp) = stamp else { return };
        if scene.truth.is_duplicate(instance.origin) || scene.truth.is_restored(stamp) {
            return;
        }
        let deleted = self.seen.of(event.host, event.life);
        let key = (instance.origin, instance.id.clone());
        if instance.status != InstanceStatus::Gone {
            let last = deleted.entry(key).or_default();
            if *last >= stamp {
                failures.push(format!(
                    "n{} sees registration {stamp} of {} at {} again, after it saw registration {last} end",
                    event.host,
                    instance.id,
                    scene.world.name_of(instance.origin)
                ));
            }
            // An update ends the registration that it replaces.
            *last = (*last).max(stamp - 1);
            return;
        }
        // A gone instance may return if its node left or died, but not if its record was deleted.
        let dropped = scene
            .world
            .node(event.host)
            .is_some_and(|node| node.catalog().origin_tombstone(instance.origin).is_some());
        if dropped {
            return;
        }
        let held = scene.world.node(event.host).and_then(|node| {
            let replica = node.catalog().origin(instance.origin)?.current()?;
            Some((replica.epoch(), replica.get(&Key::Service(instance.id.clone())).is_some()))
        });
        // A node may know a later life of the origin that the origin itself lost. Deletions of that life do not concern
        // this registration.
        let origin = scene.world.host_of(instance.origin).and_then(|host| scene.world.node(host));
        let of_this_life = origin
            .is_none_or(|origin| held.is_none_or(|(epoch, _)| epoch == origin.catalog().epoch()));
        if of_this_life && !held.is_some_and(|(_, has_record)| has_record) {
            let last = deleted.entry(key).or_default();
            *last = (*last).max(stamp);
        }
    }

    fn healed(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        for (host, node) in scene.sample() {
            for instance in node.instances() {
                let origin = instance.origin;
                if !scene.truth.is_up(origin) || scene.truth.is_duplicate(origin) {
                    continue;
                }
                let stamp = instance.service.meta.get(STAMP_KEY).and_then(|s| s.parse().ok());
                let promised = scene.truth.promise(origin, &instance.id).map(|p| p.stamp);
                if stamp.is_some() && stamp != promised {
                    failures.push(format!(
                        "n{host} still holds registration {} of {} at {}, which was deleted or replaced",
                        stamp.unwrap_or(0),
                        instance.id,
                        scene.world.name_of(origin)
                    ));
                }
            }
        }
    }
}
