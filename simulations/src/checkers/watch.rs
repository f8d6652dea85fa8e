//! Checks that a watcher's copy, made from events alone, equals the node's own view.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_membership::record::Text;
use hobnob_membership::view::{Instance, InstanceStatus, MemberStatus};
use hobnob_membership::{Event, NodeId};

use crate::checkers::checker::{Checker, Scene};
use crate::world::{NodeEvent, World};

/// The number of hosts that are watched. Each watcher holds every instance.
const MAX_WATCHED: usize = 50;
/// The number of hosts whose instances all watchers hold together. Larger clusters have fewer watchers.
const MAX_WATCHED_TOGETHER: usize = 50_000;

/// The number of hosts that are watched.
fn watched(world: &World) -> usize {
    (MAX_WATCHED_TOGETHER / world.len().max(1)).clamp(1, MAX_WATCHED)
}

/// Rebuilds the view of each watched node from its events.
#[derive(Default)]
pub(super) struct Watch {
    watched: Vec<Watched>,
}

#[derive(Default)]
struct Watched {
    life: u32,
    changed: bool,
    instances: BTreeMap<(NodeId, Text), Arc<Instance>>,
}

impl Checker for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn explanation(&self) -> &'static str {
        "a watcher that has followed a node's events since its start must hold the same instances and members as the node itself"
    }

    /// Watchers that come later begin with what the node holds.
    fn settled(&mut self, scene: &Scene<'_>) {
        for (host, node) in scene.world.running().take(watched(scene.world)) {
            self.watched.resize_with(host + 1, Watched::default);
            let held = node.instances();
            let instances = held.map(|it| ((it.origin, it.id.clone()), Arc::clone(it)));
            let life = scene.world.host(host).lives();
            self.watched[host] = Watched { life, changed: true, instances: instances.collect() };
        }
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, _: &mut Vec<String>) {
        if event.host >= watched(scene.world) {
            return;
        }
        if self.watched.len() <= event.host {
            self.watched.resize_with(event.host + 1, Watched::default);
        }
        let watched = &mut self.watched[event.host];
        if watched.life != event.life {
            *watched = Watched { life: event.life, ..Watched::default() };
        }
        watched.changed = true;
        if let Event::Instance(change) = &event.kind {
            let instance = &change.instance;
            let key = (instance.origin, instance.id.clone());
            if instance.status == InstanceStatus::Gone {
                watched.instances.remove(&key);
            } else {
                watched.instances.insert(key, Arc::clone(instance));
            }
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        for (host, watched) in self.watched.iter_mut().enumerate() {
            if !std::mem::take(&mut watched.changed) {
                continue;
            }
            let Some(node) = scene.world.node(host) else { continue };
            let observed = scene.world.host(host);
            if observed.lives() != watched.life || scene.world.is_revoked(observed.id) {
                continue;
            }
            if node.instances().len() != watched.instances.len() {
                let (held, reported) = (node.instances().len(), watched.instances.len());
                failures.push(format!("n{host} holds {held} instances and reported {reported}"));
                continue;
            }
            let differs = node.instances().find(|held| {
                let reported = watched.instances.get(&(held.origin, held.id.clone()));
                reported.is_none_or(|reported| !Arc::ptr_eq(reported, held) && reported != *held)
            });
            if let Some(held) = differs {
                let name = scene.world.name_of(held.origin);
                failures.push(format!(
                    "n{host} holds {} of {name} differently from what it reported",
                    held.id
                ));
            }
            for member in &node.members()[1..] {
                let status = match member.status {
                    MemberStatus::Suspect => MemberStatus::Alive,
                    status => status,
                };
                let reported =
                    scene.beliefs.of(host, member.identity.node_id).map(|(status, _)| status);
                if reported != Some(status) {
                    let name = scene.world.name_of(member.identity.node_id);
                    failures.push(format!(
                        "n{host} holds {name} for {status:?} and reported {reported:?}"
                    ));
                }
            }
        }
    }
}
