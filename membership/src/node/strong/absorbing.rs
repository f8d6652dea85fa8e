//! Plain registrations reach voters: a voter takes what the catalog says of the instances of its datacenter into its registers.
//!
//! What changed is remembered by key only, up to a limit, and beyond it by origin. So the catalog itself is the backlog. Every 100 ms a part
//! of it is taken, as one write to the disk, and no further one before that is done.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;
use crate::catalog::record::{Key, RawValue, Text, Value};
use crate::catalog::{Catalog, Replica};
use crate::codec::encoded_len;
use crate::node::Node;
use crate::quorum::{Entry, Holding, Ledger, Place, Stamp, Standing, service_key};

/// The time from a change to the write that takes it, and between two writes.
const ABSORB_EVERY: Duration = Duration::from_millis(100);
/// Instances that are looked at for one write.
const MAX_LOOKED_AT: usize = 1_024;
/// Bytes of registers of one write, beside the last one.
const MAX_ABSORBED_BYTES: usize = 256 * 1024;
/// Instances that are remembered by key. Beyond it, all instances of their origin are looked at.
const MAX_DIRTY: usize = 4_096;

/// What of the catalog may not be in the registers yet.
#[derive(Debug, Default)]
pub(super) struct Absorbing {
    votes: bool,
    dirty: BTreeMap<NodeId, Dirty>,
    /// The instances that are remembered by key.
    ids: usize,
    /// The origin whose turn it was last.
    last: Option<NodeId>,
    /// The life of each origin that was looked at as a whole.
    epochs: BTreeMap<NodeId, Epoch>,
    due: Option<Time>,
}

/// What of an origin may not be in the registers yet.
#[derive(Debug, Default)]
struct Dirty {
    ids: BTreeSet<Text>,
    /// All instances beyond one of them, or all.
    all: Option<Option<Text>>,
}

impl Absorbing {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    /// Notes that instances of an origin changed.
    fn note(&mut self, origin: NodeId, ids: impl Iterator<Item = Text>, now: Time) {
        let dirty = self.dirty.entry(origin).or_default();
        for id in ids {
            let is_ahead =
                dirty.all.as_ref().is_some_and(|it| it.as_ref().is_none_or(|it| *it < id));
            if !is_ahead && dirty.ids.insert(id) {
                self.ids += 1;
            }
        }
        if self.ids > MAX_DIRTY {
            self.note_all(origin, now);
        }
        self.due.get_or_insert(now + ABSORB_EVERY);
    }

    /// Notes that all instances of an origin may have changed.
    fn note_all(&mut self, origin: NodeId, now: Time) {
        let dirty = self.dirty.entry(origin).or_default();
        self.ids -= std::mem::take(&mut dirty.ids).len();
        dirty.all = Some(None);
        self.due.get_or_insert(now + ABSORB_EVERY);
    }

    /// The origin whose turn it is.
    fn take_turn(&mut self) -> Option<(NodeId, Dirty)> {
        let first = self.last.map_or(Unbounded, Excluded);
        let later = self.dirty.range((first, Unbounded)).next();
        let origin = *later.or(self.dirty.iter().next())?.0;
        self.last = Some(origin);
        let dirty = self.dirty.remove(&origin).unwrap_or_default();
        self.ids -= dirty.ids.len();
        Some((origin, dirty))
    }

    /// What of the catalog the registers lack, as much as goes into one write.
    fn take(&mut self, catalog: &Catalog, ledger: &Ledger) -> Vec<Entry> {
        let mut part = Part { entries: Vec::new(), left: MAX_LOOKED_AT, bytes: MAX_ABSORBED_BYTES };
        while part.has_room()
            && let Some((origin, mut dirty)) = self.take_turn()
        {
            let replica = catalog.origin(origin).and_then(|origin| origin.current());
            // An origin of which nothing is known any more, as after its retention, changes nothing.
            let Some(replica) = replica.filter(|_| catalog.is_home(origin)) else {
                self.epochs.remove(&origin);
                continue;
            };
            if dirty.all.is_some() {
                self.epochs.insert(origin, replica.epoch());
            }
            let source = Source { origin, replica, ledger };
            while part.has_room()
                && let Some(id) = dirty.ids.pop_first()
            {
                part.look(&source, &id);
            }
            while part.has_room()
                && let Some(after) = &dirty.all
            {
                dirty.all = source.look_on(after.as_ref(), &mut part).map(Some);
            }
            if !dirty.ids.is_empty() || dirty.all.is_some() {
                self.ids += dirty.ids.len();
                self.dirty.insert(origin, dirty);
            }
        }
        part.entries
    }
}

/// One write, as far as it is made.
struct Part {
    entries: Vec<Entry>,
    left: usize,
    bytes: usize,
}

impl Part {
    fn has_room(&self) -> bool {
        self.left > 0 && self.bytes > 0
    }

    fn look(&mut self, source: &Source<'_>, id: &Text) {
        self.left = self.left.saturating_sub(1);
        if let Some(entry) = source.register(id) {
            self.bytes = self.bytes.saturating_sub(encoded_len(&entry));
            self.entries.push(entry);
        }
    }
}

/// What the catalog and the registers hold of an origin.
struct Source<'a> {
    origin: NodeId,
    replica: &'a Replica,
    ledger: &'a Ledger,
}

impl Source<'_> {
    /// Looks at the next instances beyond one of them. Returns the last one if there may be more.
    fn look_on(&self, after: Option<&Text>, part: &mut Part) -> Option<Text> {
        let count = part.left;
        let listed = self.replica.instances_after(after).take(count);
        let held = self.ledger.instances(self.origin, after).take(count);
        let listed: Vec<&Text> = listed.collect();
        let held: Vec<&Text> = held.collect();
        let ends = [&listed, &held].map(|ids| ids.last().filter(|_| ids.len() == count).copied());
        let end = ends.into_iter().flatten().min();
        let ids: BTreeSet<&Text> = listed.iter().chain(&held).copied().collect();
        for id in ids.into_iter().filter(|id| end.is_none_or(|end| *id <= end)) {
            part.look(self, id);
            if part.bytes == 0 {
                return Some(id.clone());
            }
        }
        end.cloned()
    }

    /// What the catalog says of an instance, if the registers do not hold it.
    fn register(&self, id: &Text) -> Option<Entry> {
        let Self { origin, replica, ledger } = *self;
        let spot = (origin, id.clone());
        let held = ledger.holding(&spot);
        let stamp = |version| Stamp { epoch: replica.epoch(), version };
        let entry = |service, stamp, value| {
            let place = Place { service, origin, id: id.clone() };
            Some(Entry { place, stamp, value, elsewhere: None })
        };
        // A deletion takes the instance out of all services.
        let gone = |stamp| {
            let Holding { stamp: before, service, is_live } = held?;
            (before < stamp && is_live).then(|| entry(service.clone(), stamp, None))?
        };
        let Some(slot) = replica.slot(&Key::Service(id.clone())) else {
            // A replica without gaps knows that the instance is gone, but not since when.
            return if replica.is_settled() { gone(stamp(replica.known_to())) } else { None };
        };
        let written = stamp(slot.version());
        match slot.value() {
            Some(Value::Service(record)) => {
                let is_held = held.is_some_and(|it| (it.stamp, it.is_live) >= (written, true));
                let value = slot.raw().filter(|_| !is_held).map(RawValue::bytes)?;
                entry(service_key(&record.namespace, &record.service), written, Some(value.into()))
            }
            _ if slot.is_tombstone() => gone(written),
            // What this version does not understand has no place that it knows.
            _ => None,
        }
    }
}

impl Node {
    /// Notes that records of an origin changed, if this node votes.
    pub(in crate::node) fn note_strong_records(&mut self, origin: NodeId, keys: &[Key], now: Time) {
        let catalog = self.spread.catalog();
        let Some(strong) = self.strong.as_mut().filter(|it| it.absorbing.votes) else { return };
        if !catalog.is_home(origin) {
            return;
        }
        let current = catalog.origin(origin).and_then(|origin| origin.current());
        let epoch = current.map(Replica::epoch);
        let absorbing = &mut strong.absorbing;
        if epoch.is_some() && absorbing.epochs.get(&origin).copied() != epoch {
            // A later life says everything anew.
            return absorbing.note_all(origin, now);
        }
        let ids = keys.iter().filter_map(|key| match key {
            Key::Service(id) => Some(id.clone()),
            _ => None,
        });
        let mut ids = ids.peekable();
        if ids.peek().is_some() {
            absorbing.note(origin, ids, now);
        }
    }

    /// Begins to take plain registrations when this node begins to vote, and ends that when it votes no more.
    pub(super) fn review_voting(&mut self, now: Time) {
        let Some(strong) = self.strong.as_mut() else { return };
        let votes = strong.quorum.standing() == Standing::Votes;
        if votes == strong.absorbing.votes {
            return;
        }
        strong.absorbing = Absorbing { votes, ..Absorbing::default() };
        if votes {
            for (origin, _) in self.spread.catalog().origins() {
                strong.absorbing.note_all(origin, now);
            }
        }
    }

    /// Takes a part of what changed into the registers, if that is due.
    pub(super) fn absorb(&mut self, now: Time) {
        let Some(strong) = self.strong.as_mut() else { return };
        if strong.absorbing.due.is_none_or(|due| due > now) {
            return;
        }
        if strong.quorum.is_stored() {
            let entries =
                strong.absorbing.take(self.spread.catalog(), strong.quorum.image().ledger());
            if !entries.is_empty() {
                strong.quorum.absorb(entries, Vec::new(), now);
            }
        }
        let has_more = !strong.absorbing.dirty.is_empty();
        strong.absorbing.due = has_more.then_some(now + ABSORB_EVERY);
    }
}
