//! Checks that acknowledged registrations survive.

use hobnob_membership::record::{Key, Value};
use hobnob_membership::{Node, NodeId};

use crate::checkers::checker::{Checker, Scene};
use crate::truth::{Promise, stamp_of};

/// The period of the checks. The catalog is large and seldom changes.
const PERIOD_SECONDS: u64 = 5;

/// Compares what clients were promised with what nodes hold.
#[derive(Default)]
pub(in crate::checkers) struct Durability {
    windows: u64,
}

impl Checker for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn explanation(&self) -> &'static str {
        "an acknowledged registration must be held by its agent for as long as the disk keeps it, and by every agent once all is healed"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        self.windows += 1;
        if !self.windows.is_multiple_of(PERIOD_SECONDS) {
            return;
        }
        for (host, node) in scene.world.running() {
            let id = scene.world.host(host).id;
            if scene.truth.is_duplicate(id) {
                continue;
            }
            for (instance, promise) in scene.truth.promises_of(id) {
                if let Some(what) = broken(node, id, instance, promise, true) {
                    let name = scene.world.name_of(id);
                    failures.push(format!("{name} itself holds {what} of {instance}"));
                }
            }
        }
    }

    fn healed(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        for (id, _) in scene.truth.lives() {
            if !scene.truth.is_up(id) || scene.truth.is_duplicate(id) {
                continue;
            }
            let home = scene.world.host_of(id).map(|host| scene.world.location(host).0);
            for (instance, promise) in scene.truth.promises_of(id) {
                for (host, node) in scene.sample() {
                    let is_home = home == Some(scene.world.location(host).0);
                    if let Some(what) = broken(node, id, instance, promise, is_home) {
                        let name = scene.world.name_of(id);
                        failures.push(format!("n{host} holds {what} of {instance} at {name}"));
                    }
                }
            }
        }
    }
}

/// The state that a node holds in place of the promised one; `None` when it holds the promised one. A node elsewhere must not hold a
/// registration that stays in the datacenter of its agent.
fn broken(
    node: &Node,
    id: NodeId,
    instance: &str,
    promise: Promise,
    is_home: bool,
) -> Option<String> {
    let replica = node.catalog().origin(id).and_then(|origin| origin.current());
    let get = |key: Key| replica.and_then(|replica| replica.get(&key));
    let held = get(Key::Service(instance.into())).and_then(stamp_of);
    let promised = (is_home || !promise.is_scoped).then_some(promise.stamp);
    if held != promised {
        let held = held.map_or("no registration".to_owned(), |stamp| format!("number {stamp}"));
        let scope = if promised.is_none() { ", which stays at home" } else { "" };
        return Some(format!("{held} instead of number {}{scope}", promise.stamp));
    }
    let health = match get(Key::Health(instance.into())) {
        Some(Value::Health(health)) => Some(*health),
        _ => None,
    };
    (health != promise.health).then(|| format!("health {health:?} instead of {:?}", promise.health))
}
