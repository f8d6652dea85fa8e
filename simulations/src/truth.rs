//! The ground truth that only the simulator knows: which nodes live, which hosts are disturbed, what clients were
//! promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::record::{Health, InstanceScope, Key, Text, Value};
use hobnob_membership::{NodeId, Time};

use crate::world::World;

/// A live host whose only fault is a pause of at most this length must not be declared down: 5 s, less the second
/// between two pings and some time for the investigation.
const SHORT_PAUSE: Duration = Duration::from_millis(3_500);

/// A node that starts for the first time is known to all others after this time.
const JOINS_WITHIN: Duration = Duration::from_secs(5);

/// A unique number of each registration, so that any two can be told apart wherever they turn up.
pub type Stamp = u64;

/// The metadata key of a registration's stamp.
pub const STAMP_KEY: &str = "stamp";

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Up {
        /// Since when.
        since: Time,
    },
    /// It crashed.
    Dead {
        /// Since when.
        since: Time,
    },
    /// It left in an orderly way.
    Left {
        /// Since when.
        since: Time,
    },
}

/// A registration that a client knows to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The stamp of the registration.
    pub stamp: Stamp,
    /// The health set last.
    pub health: Option<Health>,
    /// When it was acknowledged.
    pub at: Time,
    /// Whether it stays in the datacenter of its agent.
    pub is_scoped: bool,
}

/// Why a live host may be declared down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// A fault on the host or its observer is in force.
    Fault,
    /// Such a fault ended a short while ago, or the host or its observer has just started.
    Grace,
    /// Two hosts have this id.
    Duplicate,
    /// The scenario allows it.
    Allowed,
}

/// The time for which a fault or a start excuses beyond its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace {
    until: Time,
    since: Time,
}

impl Grace {
    /// A grace of this length, after a fault that ends at `since`.
    #[must_use]
    pub fn after(since: Time, length: Duration) -> Self {
        Self { until: since + length, since }
    }

    /// The time since its begin, while it lasts.
    fn ago(self, now: Time) -> Option<Duration> {
        (now < self.until).then(|| now.since(self.since))
    }
}

impl Excuse {
    /// The excuse in words that follow a number.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Fault => "by a fault in force",
            Self::Grace => "shortly after a fault or a start",
            Self::Duplicate => "of a duplicate id",
            Self::Allowed => "allowed by the scenario",
        }
    }
}

/// The ground truth of a run.
#[derive(Debug, Default)]
pub struct Truth {
    lives: BTreeMap<NodeId, Life>,
    promises: BTreeMap<(NodeId, Text), Promise>,
    /// Whether a registration was acknowledged that stays in the datacenter of its agent.
    has_scoped: bool,
    /// Deleted registrations that a rolled-back disk brought back, as it should.
    restored: BTreeSet<Stamp>,
    /// Hosts that are disturbed now, by occurrence of a fault; `None` is all hosts.
    disturbed: BTreeMap<usize, Option<BTreeSet<usize>>>,
    excused: BTreeMap<usize, Grace>,
    all_excused: Grace,
    /// Faults in force other than pauses.
    shaking: BTreeSet<usize>,
    shaken: Grace,
    /// The latest pause of each host, from start to end.
    still: BTreeMap<usize, (Time, Time)>,
    /// Nodes that run in another cluster.
    strangers: BTreeSet<NodeId>,
    /// When nodes last said goodbye before a planned stop.
    goodbyes: BTreeMap<NodeId, Time>,
    /// Node ids that two hosts have or had.
    duplicates: BTreeSet<NodeId>,
    /// Nodes that an operator revoked, and when.
    revoked: BTreeMap<NodeId, Time>,
}

impl Truth {
    /// A node starts. It is excused for a while, because others may still react to the end of its previous life. In its
    /// first life it is excused only while it joins.
    pub fn started(&mut self, world: &World, host: usize, grace: Duration) {
        let (id, now) = (world.host(host).id, world.now());
        let before = self.lives.insert(id, Life::Up { since: now });
        self.goodbyes.remove(&id);
        let grace = if before.is_some() { grace } else { grace.min(JOINS_WITHIN) };
        let grace = Grace::after(now, grace);
        self.excuse(host, grace);
        self.shaken = self.shaken.max(grace);
    }

    /// A node crashes.
    pub fn stopped(&mut self, id: NodeId, now: Time) {
        if !matches!(self.lives.get(&id), Some(Life::Left { .. })) {
            self.lives.insert(id, Life::Dead { since: now });
        }
    }

    /// A node leaves.
    pub fn left(&mut self, id: NodeId, now: Time) {
        self.lives.insert(id, Life::Left { since: now });
    }

    /// A node says goodbye before it stops as planned.
    pub fn said_goodbye(&mut self, id: NodeId, now: Time) {
        self.goodbyes.insert(id, now);
    }

    /// When a node last said goodbye.
    #[must_use]
    pub fn goodbye(&self, id: NodeId) -> Option<Time> {
        self.goodbyes.get(&id).copied()
    }

    /// Whether a node lives. `None` for an id that never existed.
    #[must_use]
    pub fn life(&self, id: NodeId) -> Option<Life> {
        self.lives.get(&id).copied()
    }

    /// Since when a node runs; `None` if it does not.
    #[must_use]
    pub fn up_since(&self, id: NodeId) -> Option<Time> {
        match self.life(id) {
            Some(Life::Up { since }) => Some(since),
            _ => None,
        }
    }

    /// Every node that ever existed.
    pub fn lives(&self) -> impl Iterator<Item = (NodeId, Life)> {
        self.lives.iter().map(|(id, life)| (*id, *life))
    }

    /// A fault begins to disturb hosts; `None` is all hosts.
    pub fn disturb(&mut self, occurrence: usize, hosts: Option<BTreeSet<usize>>) {
        self.disturbed.insert(occurrence, hosts);
    }

    /// A fault ceases to disturb; its effects may last for a grace.
    pub fn calm(&mut self, occurrence: usize, grace: Grace) {
        match self.disturbed.remove(&occurrence) {
            Some(Some(hosts)) => hosts.into_iter().for_each(|host| self.excuse(host, grace)),
            Some(None) => self.all_excused = self.all_excused.max(grace),
            None => {}
        }
    }

    /// A fault other than a pause begins.
    pub fn shake(&mut self, occurrence: usize) {
        self.shaking.insert(occurrence);
    }

    /// A fault other than a pause ends; its effects may last for a grace.
    pub fn settle(&mut self, occurrence: usize, grace: Grace) {
        if self.shaking.remove(&occurrence) {
            self.shaken = self.shaken.max(grace);
        }
    }

    /// A host pauses until `until`. Pauses that touch count as one.
    pub fn pauses(&mut self, host: usize, now: Time, until: Time, grace: Duration) {
        let span = self.still.entry(host).or_insert((now, until));
        *span = if span.1 < now { (now, until) } else { (span.0, span.1.max(until)) };
        if span.1 - span.0 > SHORT_PAUSE {
            self.shaken = self.shaken.max(Grace::after(span.1, grace));
        }
    }

    /// The time since other faults than short pauses were in force. `None` when their grace has passed.
    #[must_use]
    pub fn shaken_ago(&self, now: Time) -> Option<Duration> {
        if self.shaking.is_empty() { self.shaken.ago(now) } else { Some(Duration::ZERO) }
    }

    /// Excuses a host for a grace.
    pub fn excuse(&mut self, host: usize, grace: Grace) {
        let excuse = self.excused.entry(host).or_insert(grace);
        *excuse = grace.max(*excuse);
    }

    /// Why a host may be declared down though it lives, and the time since the reason ended; `None` when it may not.
    #[must_use]
    pub fn excuse_of(&self, host: usize, now: Time) -> Option<(Excuse, Duration)> {
        if self.disturbed.values().any(|hosts| hosts.as_ref().is_none_or(|h| h.contains(&host))) {
            return Some((Excuse::Fault, Duration::ZERO));
        }
        let own = self.excused.get(&host).and_then(|grace| grace.ago(now));
        let ago = own.into_iter().chain(self.all_excused.ago(now)).min();
        ago.map(|ago| (Excuse::Grace, ago))
    }

    /// Whether no host is disturbed, or was until a short while ago.
    #[must_use]
    pub fn is_calm(&self, now: Time) -> bool {
        self.disturbed.is_empty()
            && self.all_excused.ago(now).is_none()
            && self.excused.values().all(|grace| grace.ago(now).is_none())
    }

    /// Notes that a node with this id runs in another cluster.
    pub fn set_stranger(&mut self, id: NodeId) {
        self.strangers.insert(id);
    }

    /// Whether a node with this id ran in another cluster.
    #[must_use]
    pub fn is_stranger(&self, id: NodeId) -> bool {
        self.strangers.contains(&id)
    }

    /// Notes that two hosts have this id from now on.
    pub fn set_duplicate(&mut self, id: NodeId) {
        self.duplicates.insert(id);
    }

    /// Notes that an operator revoked a node.
    pub fn revoked(&mut self, id: NodeId, now: Time) {
        self.revoked.entry(id).or_insert(now);
    }

    /// When an operator revoked a node.
    #[must_use]
    pub fn revoked_at(&self, id: NodeId) -> Option<Time> {
        self.revoked.get(&id).copied()
    }

    /// All nodes that an operator revoked, and when.
    pub fn all_revoked(&self) -> impl Iterator<Item = (NodeId, Time)> {
        self.revoked.iter().map(|(id, at)| (*id, *at))
    }

    /// Whether two hosts have or had this id. Then two nodes wrote under one id, and nothing is promised of its
    /// records.
    #[must_use]
    pub fn is_duplicate(&self, id: NodeId) -> bool {
        self.duplicates.contains(&id)
    }

    /// Notes that a client's write was acknowledged.
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
                    let is_scoped = stays_home(value);
                    self.has_scoped |= is_scoped;
                    self.promises.insert(at, Promise { stamp, health, at: now, is_scoped });
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

    /// Takes the promises of a host anew from its disk, which may have been rolled back.
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

    /// All promises of a node.
    #[must_use]
    pub fn promises_of(&self, node: NodeId) -> Vec<(&str, Promise)> {
        let from = (node, Text::default());
        let of_node = self.promises.range(from..).take_while(|((id, _), _)| *id == node);
        of_node.map(|((_, id), promise)| (id.as_str(), *promise)).collect()
    }

    /// The promise about one instance.
    #[must_use]
    pub fn promise(&self, node: NodeId, id: &str) -> Option<Promise> {
        self.promises.get(&(node, id.into())).copied()
    }

    /// Whether a registration was ever acknowledged that stays in the datacenter of its agent.
    #[must_use]
    pub fn has_scoped(&self) -> bool {
        self.has_scoped
    }

    /// Whether a rolled-back disk brought this deleted registration back.
    #[must_use]
    pub fn is_restored(&self, stamp: Stamp) -> bool {
        self.restored.contains(&stamp)
    }

    /// Whether a node lives, on whichever host.
    #[must_use]
    pub fn is_up(&self, id: NodeId) -> bool {
        matches!(self.life(id), Some(Life::Up { .. }))
    }
}

/// Whether a record stays in the datacenter of its origin.
#[must_use]
pub fn stays_home(value: &Value) -> bool {
    matches!(value, Value::Service(service) if service.scope == InstanceScope::Datacenter)
}

/// The stamp of a registration; `None` when it carries none.
#[must_use]
pub fn stamp_of(value: &Value) -> Option<Stamp> {
    let Value::Service(service) = value else { return None };
    service.meta.get(STAMP_KEY)?.parse().ok()
}
