//! Who is dead stays dropped, and nothing of it stays for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::catalog::Replica;
use hobnob_membership::view::{InstanceStatus, MemberStatus};
use hobnob_membership::{Epoch, Event, NodeId, Time, limits};

use super::{Checker, Scene};
use crate::truth::{Life, Truth};
use crate::world::Told;

/// A node that has been calm for so much longer than the retention has dropped the dead.
const SLACK: Duration = Duration::from_secs(30);

/// Remembers the graves of each node.
#[derive(Default)]
pub(super) struct Graves {
    seen: Vec<Seen>,
}

/// What one node dropped in its present life.
#[derive(Default)]
struct Seen {
    life: u32,
    /// Until which epoch, and when that was seen.
    graves: BTreeMap<NodeId, (Epoch, Time)>,
}

impl Graves {
    fn of(&mut self, host: usize, life: u32) -> &mut Seen {
        if self.seen.len() <= host {
            self.seen.resize_with(host + 1, Seen::default);
        }
        let seen = &mut self.seen[host];
        if seen.life != life {
            *seen = Seen { life, ..Seen::default() };
        }
        seen
    }
}

impl Checker for Graves {
    fn name(&self) -> &'static str {
        "graves"
    }

    fn explanation(&self) -> &'static str {
        "graves stay under their limit, records of a host that is dead for longer than the retention are dropped, and what was dropped returns only to who takes the host for alive again"
    }

    fn told(&mut self, scene: &Scene<'_>, told: &Told, failures: &mut Vec<String>) {
        let Event::Instance(change) = &told.event else { return };
        let instance = &change.instance;
        let origin = instance.origin;
        if instance.status == InstanceStatus::Gone {
            return;
        }
        let Some((ended, at)) = self.of(told.host, told.life).graves.get(&origin).copied() else {
            return;
        };
        let dead_since = match scene.truth.life(origin) {
            Some(Life::Dead { since } | Life::Left { since }) => since,
            _ => return,
        };
        // Who is told by others that it lives has to serve it; how soon nobody says so is for `detection` to judge.
        if let Some((MemberStatus::Alive, _)) = scene.beliefs.of(told.host, origin) {
            return;
        }
        let held = scene.world.node(told.host).and_then(|node| node.catalog().origin(origin));
        let epoch = held.and_then(|held| held.current()).map(Replica::epoch);
        // A later life of which somebody else knew is news.
        if dead_since < at && epoch.is_some_and(|epoch| epoch <= ended) {
            failures.push(format!(
                "n{} shows {} of {} again, of epoch {ended} or before, which it had dropped",
                told.host,
                instance.id,
                Truth::name(origin)
            ));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        for (host, node) in scene.world.running() {
            let catalog = node.catalog();
            if catalog.graves().len() > limits::MAX_GRAVES {
                failures.push(format!("n{host} has {} graves", catalog.graves().len()));
            }
            let seen = self.of(host, scene.world.host(host).lives());
            for (id, grave) in catalog.graves() {
                let last = seen.graves.entry(id).or_insert((grave.epoch(), now));
                if last.0 < grave.epoch() {
                    *last = (grave.epoch(), now);
                }
            }
        }
    }

    fn healed(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        let long_ago = |since: Time, retention: Duration| now.since(since) > retention + SLACK;
        for (host, node) in scene.world.running() {
            let retention = scene.world.retention_of(host);
            let own = scene.truth.life(scene.world.host(host).id);
            let Some(Life::Up { since }) = own else { continue };
            let calm = scene.healing_since.is_some_and(|since| long_ago(since, retention));
            if !calm || !long_ago(since, retention) {
                continue;
            }
            for (id, _) in node.catalog().origins() {
                if let Some(Life::Dead { since } | Life::Left { since }) = scene.truth.life(id)
                    && long_ago(since, retention)
                {
                    failures.push(format!("n{host} still holds records of {}", Truth::name(id)));
                }
            }
        }
    }
}
