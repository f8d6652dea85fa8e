//! The state of one origin in one epoch.

use super::slots::{Slots, held_bytes};
use super::spans::{Span, Spans};
use super::{Delta, Entry, Slot, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_KEYS_PER_ORIGIN;
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::record::{Key, RawValue, Text, Value};
use crate::codec::encoded_len;

/// Bytes by which the length of a delta and the number of its entries may grow, up to the largest frame: two bytes
/// each.
const LENGTHS_GROWTH_BYTES: usize = 2 + 2;

/// The state of one origin in one epoch, as far as it is known.
///
/// Invariants: `gc_floor <= known_to`; every write up to `known_to` was applied, or overwritten by a newer write that
/// is at most `settled_at`, or is a tombstone at or below `gc_floor` or was overwritten by one; no tombstone at or
/// below
/// `gc_floor` is kept. So once `known_to` reaches `settled_at`, no key is older here than it was at the origin at
/// `known_to`, and only tombstones up to the floor are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    epoch: Epoch,
    known_to: Version,
    /// The highest head of the ranges up to `known_to`. Every write that they left out was overwritten up to here.
    settled_at: Version,
    gc_floor: Version,
    /// The highest floor that was heard of while `known_to` was below it.
    floor_ahead: Version,
    slots: Slots,
    spans: Spans,
}

impl Replica {
    /// A replica that knows nothing yet.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            known_to: 0,
            settled_at: 0,
            gc_floor: 0,
            floor_ahead: 0,
            slots: Slots::default(),
            spans: Spans::default(),
        }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The version up to which nothing is missing.
    #[must_use]
    pub fn known_to(&self) -> Version {
        self.known_to
    }

    /// Whether every key is at least as new as it was at the origin at `known_to`. If not, some keys are older or
    /// missing, because their newer writes have not arrived yet.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.known_to >= self.settled_at
    }

    /// The version up to which no tombstone is kept.
    #[must_use]
    pub fn gc_floor(&self) -> Version {
        self.gc_floor
    }

    /// The content of the record of a key; `None` when there is none, when it was deleted, or when this version does
    /// not understand it.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.slots.get(key)?.value()
    }

    /// The newest known write of a key.
    #[must_use]
    pub fn slot(&self, key: &Key) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// The newest known write of each key, tombstones included, ordered by key.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = &Slot> {
        self.slots.iter()
    }

    /// The instances with a definition, deleted ones included, beyond one of them, in order.
    pub(crate) fn instances_after<'a>(
        &'a self,
        after: Option<&Text>,
    ) -> impl Iterator<Item = &'a Text> + use<'a> {
        let after = Key::Service(after.cloned().unwrap_or_default());
        self.slots.beyond(&after).map_while(|slot| match slot.key() {
            Key::Service(id) => Some(id),
            _ => None,
        })
    }

    /// The number of tombstones that it keeps.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.slots.tombstones()
    }

    /// The number of kept records that this version does not understand.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.slots.unknown()
    }

    /// The number of instances that it defines.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.slots.instances()
    }

    /// Bytes of its records, overhead included.
    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// Bytes that the entries of a delta of this epoch would add at most.
    pub(super) fn added_by(&self, delta: &Delta) -> usize {
        let added = delta.entries.iter().map(|entry| {
            let held = self.slots.get(&entry.key);
            let is_newer =
                held.is_none_or(|slot| slot.gives_way_to(entry.version, entry.value.as_ref()));
            let held = held.map_or(0, |slot| held_bytes(slot.key(), slot.raw()));
            let bytes = held_bytes(&entry.key, entry.value.as_ref());
            if is_newer { bytes.saturating_sub(held) } else { 0 }
        });
        added.sum()
    }

    /// The number of keys that it keeps, tombstones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it keeps no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// The newest version that is known without a gap, or of an entry.
    pub(super) fn newest(&self) -> Version {
        self.known_to.max(self.slots.newest())
    }

    /// The newest version that is known at all, with or without gaps before it.
    pub(super) fn farthest(&self) -> Version {
        self.newest().max(self.spans.end())
    }

    /// Writes a record as the origin, with the next version. Returns false, and writes nothing, when the value is
    /// unchanged.
    pub(super) fn write(&mut self, key: Key, value: Option<RawValue>) -> bool {
        if self.slots.get(&key).and_then(Slot::raw) == value.as_ref() {
            return false;
        }
        let version = self.known_to + 1;
        self.slots.insert(key, version, value);
        self.known_to = version;
        true
    }

    /// Drops the tombstones up to `floor` and raises `gc_floor` to it. A floor beyond `known_to` is ignored, since
    /// `gc_floor` must not pass `known_to`.
    pub fn raise_gc_floor(&mut self, floor: Version) {
        if floor <= self.gc_floor || floor > self.known_to {
            return;
        }
        self.gc_floor = floor;
        self.slots.drop_tombstones(floor);
    }

    /// The version of the `n`th oldest tombstone, counted from 0.
    pub(super) fn nth_tombstone(&self, n: usize) -> Option<Version> {
        let tombstones = self.slots.after(0).filter(|slot| slot.is_tombstone());
        tombstones.map(Slot::version).nth(n)
    }

    /// Applies the entries of a delta of this epoch, key by key, and returns the keys that changed. `known_to` moves
    /// over the delta's range only when nothing before the range is missing.
    ///
    /// A delta does not tell which keys were deleted up to its `gc_floor`. When the floor lies beyond `known_to`, only
    /// the part above the floor is taken; the rest must come as a whole state.
    pub fn apply(&mut self, delta: &Delta) -> Vec<Key> {
        let above = if delta.gc_floor > self.known_to { delta.gc_floor } else { 0 };
        let changed = self.take(delta, above);
        if delta.gc_floor > self.known_to {
            self.floor_ahead = self.floor_ahead.max(delta.gc_floor);
        }
        self.raise_gc_floor(delta.gc_floor);
        self.raise_gc_floor(self.floor_ahead);
        changed
    }

    /// Takes the part of a delta after the version `above`, and leaves the floor alone. Returns the keys that changed.
    pub(super) fn take(&mut self, delta: &Delta, above: Version) -> Vec<Key> {
        let mut changed = Vec::new();
        let out_of_order = delta.after > self.known_to;
        let skipped = out_of_order && mutant::is(Mutant::SeenBeforeApplied);
        for entry in delta.entries.iter().filter(|entry| entry.version > above && !skipped) {
            if self.adopt(&entry.key, entry.version, entry.value.as_ref()) {
                changed.push(entry.key.clone());
            }
        }
        self.cover(Span { after: delta.after.max(above), to: delta.to, head: delta.head });
        changed
    }

    /// Raises `settled_at` to `head`: an entry that was taken may have been overwritten up to there.
    pub(super) fn settle_after(&mut self, head: Version) {
        self.settled_at = self.settled_at.max(head);
    }

    /// Adopts every slot of `other`, a replica of the same epoch, that is newer than ours.
    pub(super) fn absorb(&mut self, other: &Self) {
        for slot in other.slots() {
            self.adopt(slot.key(), slot.version(), slot.raw());
        }
    }

    /// The delta that a replica which knows everything up to `after` lacks, with as many entries as fit into `budget`
    /// bytes. `None` when it lacks nothing, or when the first entry alone is larger than the budget. Ranges beyond gaps
    /// follow once everything before them was told.
    #[must_use]
    pub fn delta_after(&self, origin: NodeId, after: Version, budget: usize) -> Option<Delta> {
        self.delta_over_floor(origin, after, self.gc_floor, budget)
    }

    /// [`Replica::delta_after`] without the tombstones up to `gc_floor`, as if they had been dropped already.
    pub(super) fn delta_over_floor(
        &self,
        origin: NodeId,
        after: Version,
        gc_floor: Version,
        budget: usize,
    ) -> Option<Delta> {
        let (after, to) = self.range_after(after)?;
        let mut delta = Delta {
            origin,
            epoch: self.epoch,
            after,
            to,
            head: self.head(),
            gc_floor,
            entries: Vec::new(),
        };
        // `to` of the empty delta may still become smaller. Its length and the number of its entries may each grow by
        // two bytes.
        let mut room = budget.checked_sub(encoded_len(&delta) + LENGTHS_GROWTH_BYTES)?;
        for slot in self.slots.after(after).take_while(|slot| slot.version() <= to) {
            let (version, value) = (slot.version(), slot.raw().cloned());
            if value.is_none() && version <= gc_floor {
                continue;
            }
            let entry = Entry { version, key: slot.key().clone(), value };
            match room.checked_sub(encoded_len(&entry)) {
                Some(left) => room = left,
                None => {
                    delta.to = version - 1;
                    break;
                }
            }
            delta.entries.push(entry);
        }
        (delta.to > after).then_some(delta)
    }

    /// The next range of versions after `after` that is known completely.
    pub(super) fn range_after(&self, after: Version) -> Option<(Version, Version)> {
        if after < self.known_to {
            return Some((after, self.known_to));
        }
        let beyond = !mutant::is(Mutant::IgnoreBeyondGaps);
        self.spans
            .joined()
            .find(|(_, to)| *to > after && beyond)
            .map(|(from, to)| (from.max(after), to))
    }

    /// One hash of the ranges that are known beyond the first gap; 0 when there are none. The origin may be dead, and
    /// nodes that heard different parts of its last writes must find out that they differ.
    pub(super) fn beyond_hash(&self) -> u64 {
        if mutant::is(Mutant::IgnoreBeyondGaps) { 0 } else { self.spans.hash() }
    }

    /// The want for everything that this replica lacks.
    #[must_use]
    pub fn want(&self, origin: NodeId) -> Want {
        Want { origin, epoch: self.epoch, after: self.known_to, gc_floor: self.gc_floor }
    }

    /// The `head` of deltas that are cut from this replica. Every write that our ranges leave out was overwritten up to
    /// here, by a write that others have or that we heard beyond a gap.
    fn head(&self) -> Version {
        self.settled_at.max(self.newest()).max(self.spans.head())
    }

    /// Drops old tombstones without raising the floor, for [`Mutant::ForgetTombstones`].
    pub(super) fn forget_tombstones(&mut self, up_to: Version) {
        let floor = self.gc_floor;
        self.raise_gc_floor(up_to);
        self.gc_floor = floor;
    }

    fn adopt(&mut self, key: &Key, version: Version, value: Option<&RawValue>) -> bool {
        let held = self.slots.get(key);
        let was_withheld =
            held.is_some_and(|slot| slot.version() == version && slot.gives_way_to(version, value));
        let newer = match held {
            Some(slot) => slot.gives_way_to(version, value) || mutant::is(Mutant::MergeByArrival),
            // Up to the floor everything is known: a key without a slot was deleted. An honest origin stays well below
            // twice its limit, whatever part of its history has arrived.
            None => version > self.gc_floor && self.slots.len() < 2 * MAX_KEYS_PER_ORIGIN,
        };
        // If a lying origin gives one version to two keys, only the first is adopted: a delta with both would be
        // invalid.
        let adopted = newer && (was_withheld || !self.slots.holds(version));
        if adopted {
            self.slots.insert(key.clone(), version, value.cloned());
        }
        adopted
    }

    fn cover(&mut self, span: Span) {
        if span.to <= self.known_to.max(span.after) {
            return;
        }
        if span.after > self.known_to && !mutant::is(Mutant::KnownOverGap) {
            self.spans.insert(span);
            return;
        }
        self.reach(span);
        while let Some(next) = self.spans.take_reached(self.known_to) {
            self.reach(next);
        }
    }

    fn reach(&mut self, span: Span) {
        if span.to > self.known_to {
            self.known_to = span.to;
            self.settled_at = self.settled_at.max(span.head);
        }
    }
}
