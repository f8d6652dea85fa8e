//! What is really so, as only the simulator knows: who lives, who was disturbed, and what clients were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::record::{Health, Key, Text, Value};
use hobnob_membership::{NodeId, Time};

use crate::world::{World, host_of};

/// A host that stands still for no longer than this at a time, and nothing else is the matter, is given time: 5 s less
/// the second between two pings, and some for those who look into it.
const SHORT_PAUSE: Duration = Duration::from_millis(3_500);

/// A number that the workload gives to each registration, so that any two can be told apart wherever they turn up.
pub type Stamp = u64;

/// The metadata key of a registration's stamp.
pub const STAMP_KEY: &str = "stamp";

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Up {
        /// Since when.
        since: Time,
    },
    /// It stopped without a word.
    Dead {
        /// Since when.
        since: Time,
    },
    /// It left in order.
    Left {
        /// Since when.
        since: Time,
    },
}

/// What a client was told that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Which registration.
    pub stamp: Stamp,
    /// The health that was set last.
    pub health: Option<Health>,
    /// When it was acknowledged.
    pub at: Time,
}

/// Everything that is so.
#[derive(Debug, Default)]
pub struct Truth {
    lives: BTreeMap<NodeId, Life>,
    promises: BTreeMap<(NodeId, Text), Promise>,
    /// Deleted registrations that came back from an old disk, as they should.
    restored: BTreeSet<Stamp>,
    /// Who is disturbed now, by the occurrence of a fault; `None` is everybody.
    disturbed: BTreeMap<usize, Option<BTreeSet<usize>>>,
    excused_until: BTreeMap<usize, Time>,
    all_excused_until: Time,
    /// Faults in force that are more than pauses.
    shaking: BTreeSet<usize>,
    shaken_until: Time,
    /// From when to when a host stood still last, or does now.
    still: BTreeMap<usize, (Time, Time)>,
    /// Nodes of another cluster.
    strangers: BTreeSet<NodeId>,
    /// Nodes with an id that another has too.
    duplicates: BTreeSet<NodeId>,
}

impl Truth {
    /// A node runs from now on; it has an excuse for a while, because others may still think of its last life.
    pub fn started(&mut self, world: &World, host: usize, grace: Duration) {
        let id = world.host(host).id;
        self.lives.insert(id, Life::Up { since: world.now() });
        self.excuse(host, world.now() + grace);
        self.shaken_until = self.shaken_until.max(world.now() + grace);
    }

    /// A node stopped.
    pub fn stopped(&mut self, id: NodeId, now: Time) {
        if !matches!(self.lives.get(&id), Some(Life::Left { .. })) {
            self.lives.insert(id, Life::Dead { since: now });
        }
    }

    /// A node leaves.
    pub fn left(&mut self, id: NodeId, now: Time) {
        self.lives.insert(id, Life::Left { since: now });
    }

    /// The state of a node; `None` when there never was such a one.
    #[must_use]
    pub fn life(&self, id: NodeId) -> Option<Life> {
        self.lives.get(&id).copied()
    }

    /// Every node that there ever was.
    pub fn lives(&self) -> impl Iterator<Item = (NodeId, Life)> {
        self.lives.iter().map(|(id, life)| (*id, *life))
    }

    /// A fault disturbs hosts; `None` is everybody.
    pub fn disturb(&mut self, occurrence: usize, hosts: Option<BTreeSet<usize>>) {
        self.disturbed.insert(occurrence, hosts);
    }

    /// It no longer does; its effects may last a while.
    pub fn calm(&mut self, occurrence: usize, until: Time) {
        match self.disturbed.remove(&occurrence) {
            Some(Some(hosts)) => hosts.into_iter().for_each(|host| self.excuse(host, until)),
            Some(None) => self.all_excused_until = self.all_excused_until.max(until),
            None => {}
        }
    }

    /// A fault begins that is more than a pause.
    pub fn shake(&mut self, occurrence: usize) {
        self.shaking.insert(occurrence);
    }

    /// It is over; its effects may last a while.
    pub fn settle(&mut self, occurrence: usize, until: Time) {
        if self.shaking.remove(&occurrence) {
            self.shaken_until = self.shaken_until.max(until);
        }
    }

    /// A host stands still until then; pauses that touch are one.
    pub fn stands_still(&mut self, host: usize, now: Time, until: Time, grace: Duration) {
        let span = self.still.entry(host).or_insert((now, until));
        *span = if span.1 < now { (now, until) } else { (span.0, span.1.max(until)) };
        if span.1 - span.0 > SHORT_PAUSE {
            self.shaken_until = self.shaken_until.max(span.1 + grace);
        }
    }

    /// Whether for a while nothing was the matter with anybody but short pauses.
    #[must_use]
    pub fn only_short_pauses(&self, now: Time) -> bool {
        self.shaking.is_empty() && now >= self.shaken_until
    }

    /// A host has an excuse until then.
    pub fn excuse(&mut self, host: usize, until: Time) {
        let excuse = self.excused_until.entry(host).or_insert(until);
        *excuse = until.max(*excuse);
    }

    /// Whether a host has an excuse for being called down.
    #[must_use]
    pub fn is_excused(&self, host: usize, now: Time) -> bool {
        now < self.all_excused_until
            || self.excused_until.get(&host).is_some_and(|until| now < *until)
            || self.disturbed.values().any(|hosts| hosts.as_ref().is_none_or(|h| h.contains(&host)))
    }

    /// Whether somebody is disturbed, or was a short while ago.
    #[must_use]
    pub fn is_calm(&self, now: Time) -> bool {
        self.disturbed.is_empty()
            && now >= self.all_excused_until
            && self.excused_until.values().all(|until| now >= *until)
    }

    /// A node with this id runs in another cluster.
    pub fn set_stranger(&mut self, id: NodeId) {
        self.strangers.insert(id);
    }

    /// Whether a node with this id ran in another cluster.
    #[must_use]
    pub fn is_stranger(&self, id: NodeId) -> bool {
        self.strangers.contains(&id)
    }

    /// Two hosts have this id from now on.
    pub fn set_duplicate(&mut self, id: NodeId) {
        self.duplicates.insert(id);
    }

    /// Whether two hosts had this id at some time: then two wrote as one, and nothing is promised of its records.
    #[must_use]
    pub fn is_duplicate(&self, id: NodeId) -> bool {
        self.duplicates.contains(&id)
    }

    /// A client was told that its write is stored.
    pub fn acknowledged(&mut self, node: NodeId, records: &[(Key, Option<Value>)], now: Time) {
        for (key, value) in records {
            let Some(id) = key.instance() else { continue };
            let at = (node, id.clone());
            match (key, value) {
                (Key::Service(_), None) => {
                    self.promises.remove(&at);
                }
                (Key::Service(_), Some(value)) => {
                    let stamp = stamp_of(value).unwrap_or(0);
                    let health = self.promises.get(&at).and_then(|promise| promise.health);
                    self.promises.insert(at, Promise { stamp, health, at: now });
                }
                (Key::Health(_), Some(Value::Health(health))) => {
                    if let Some(promise) = self.promises.get_mut(&at) {
                        promise.health = Some(*health);
                        promise.at = now;
                    }
                }
                _ => {}
            }
        }
    }

    /// What a host promises is from now on what is on its disk: it may have been rolled back.
    pub fn reload(&mut self, world: &World, host: usize) {
        let now = world.now();
        let host = world.host(host);
        let before: BTreeSet<Stamp> =
            self.promises_of(host.id).iter().map(|(_, promise)| promise.stamp).collect();
        self.promises.retain(|(node, _), _| *node != host.id);
        let records: Vec<_> =
            host.disk.records().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        for stamp in records.iter().filter_map(|(_, value)| stamp_of(value.as_ref()?)) {
            if !before.contains(&stamp) {
                self.restored.insert(stamp);
            }
        }
        self.acknowledged(host.id, &records, now);
    }

    /// What a node promised.
    #[must_use]
    pub fn promises_of(&self, node: NodeId) -> Vec<(&str, Promise)> {
        let from = (node, Text::default());
        let of_node = self.promises.range(from..).take_while(|((id, _), _)| *id == node);
        of_node.map(|((_, id), promise)| (id.as_str(), *promise)).collect()
    }

    /// One promise.
    #[must_use]
    pub fn promise(&self, node: NodeId, id: &str) -> Option<Promise> {
        self.promises.get(&(node, id.into())).copied()
    }

    /// Whether a deleted registration came back from an old disk.
    #[must_use]
    pub fn is_restored(&self, stamp: Stamp) -> bool {
        self.restored.contains(&stamp)
    }

    /// Whether a node is up, whichever host it runs on.
    #[must_use]
    pub fn is_up(&self, id: NodeId) -> bool {
        matches!(self.life(id), Some(Life::Up { .. }))
    }

    /// The host of a node, for people.
    #[must_use]
    pub fn name(id: NodeId) -> String {
        let generation = id.0 >> 32;
        let host = host_of(id);
        if generation == 0 { format!("n{host}") } else { format!("n{host}'{generation}") }
    }
}

/// The stamp of a registration.
#[must_use]
pub fn stamp_of(value: &Value) -> Option<Stamp> {
    let Value::Service(service) = value else { return None };
    service.meta.get(STAMP_KEY)?.parse().ok()
}
