//! Checks that records of dead origins are dropped in time, and stay dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::catalog::Replica;
use hobnob_membership::view::{InstanceStatus, MemberStatus};
use hobnob_membership::{Epoch, Event, NodeId, Time, limits};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::per_life::PerLife;
use crate::truth::Life;
use crate::world::NodeEvent;

/// After the retention, a node has this long to drop a dead origin's records.
const SLACK: Duration = Duration::from_secs(30);

/// Remembers the origin tombstones of each node: the last epoch that each stands for, and when it was seen.
#[derive(Default)]
pub(in crate::checkers) struct OriginTombstones {
    seen: PerLife<BTreeMap<NodeId, (Epoch, Time)>>,
}

impl Checker for OriginTombstones {
    fn name(&self) -> &'static str {
        "origin-tombstones"
    }

    fn explanation(&self) -> &'static str {
        "origin tombstones stay under their limit, records of a host that has been dead for longer than the retention are dropped, those of a member believed alive are not, and dropped records return only where the host is believed alive again"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Instance(change) = &event.kind else { return };
        let instance = &change.instance;
        let origin = instance.origin;
        let alive = matches!(scene.beliefs.of(event.host, origin), Some((MemberStatus::Alive, _)));
        if instance.status == InstanceStatus::Gone {
            let node = scene.world.node(event.host).filter(|_| alive);
            if node.is_some_and(|node| node.catalog().origin_tombstone(origin).is_some()) {
                let (id, name) = (&instance.id, scene.world.name_of(origin));
                failures
                    .push(format!("n{} drops {id} of {name}, which it believes alive", event.host));
            }
            return;
        }
        let Some((ended, at)) = self.seen.of(event.host, event.life).get(&origin).copied() else {
            return;
        };
        let dead_since = match scene.truth.life(origin) {
            Some(Life::Dead { since } | Life::Left { since }) => since,
            _ => return,
        };
        // A node that is told of a living origin has to serve its records. `detection` judges for how long it may be
        // told so.
        if alive {
            return;
        }
        let held = scene.world.node(event.host).and_then(|node| node.catalog().origin(origin));
        let epoch = held.and_then(|held| held.current()).map(Replica::epoch);
        // A later life that another node knew is news.
        if dead_since < at && epoch.is_some_and(|epoch| epoch <= ended) {
            failures.push(format!(
                "n{} shows {} of {} again, from epoch {ended} or before, although it had dropped those records",
                event.host,
                instance.id,
                scene.world.name_of(origin)
            ));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        for (host, node) in scene.world.running() {
            let catalog = node.catalog();
            if catalog.origin_tombstones().len() > limits::MAX_ORIGIN_TOMBSTONES {
                failures.push(format!(
                    "n{host} has {} origin tombstones",
                    catalog.origin_tombstones().len()
                ));
            }
            let seen = self.seen.of(host, scene.world.host(host).lives());
            for (id, origin_tombstone) in catalog.origin_tombstones() {
                let last = seen.entry(id).or_insert((origin_tombstone.epoch(), now));
                if last.0 < origin_tombstone.epoch() {
                    *last = (origin_tombstone.epoch(), now);
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
                    failures.push(format!(
                        "n{host} still holds records of {}",
                        scene.world.name_of(id)
                    ));
                }
            }
        }
    }
}
