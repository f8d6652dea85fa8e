//! The state of one origin in one epoch.

use super::slots::Slots;
use super::spans::{Span, Spans};
use super::{Delta, Entry, Slot, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_KEYS_PER_ORIGIN;
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::record::{Key, RawValue, Value};
use crate::codec::encoded_len;

/// How much longer the length of a delta and the number of its entries may get, in a frame at most.
const LENGTHS_GROWTH_BYTES: usize = 2 + 2;

/// The state of one origin in one epoch, as far as it is known.
///
/// Invariants: `gc_floor <= known_to`; every write up to `known_to` was applied, or overwritten by a newer one that is
/// at most `settled_at`; no tombstone at or below `gc_floor` is kept. So once `known_to` reaches `settled_at`, no key is
/// older here than it was at the origin at `known_to`, and none is missing but the tombstones up to the floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    epoch: Epoch,
    known_to: Version,
    /// The highest head of the ranges up to `known_to`: what they left out was overwritten up to here.
    settled_at: Version,
    gc_floor: Version,
    /// A floor that was heard of while something before it was missing.
    floor_ahead: Version,
    slots: Slots,
    spans: Spans,
}

impl Replica {
    /// Knows nothing yet.
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

    /// Nothing up to this version is missing.
    #[must_use]
    pub fn known_to(&self) -> Version {
        self.known_to
    }

    /// Whether every key is at least as new as it was at the origin at `known_to`. While it is not, some are older or
    /// missing: their newer writes are on their way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.known_to >= self.settled_at
    }

    /// No tombstone up to this version is kept.
    #[must_use]
    pub fn gc_floor(&self) -> Version {
        self.gc_floor
    }

    /// What is known of the record of a key; `None` when there is none, it was deleted, or this version does not
    /// understand it.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.slots.get(key)?.value()
    }

    /// The newest that is known of a key.
    #[must_use]
    pub fn slot(&self, key: &Key) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// The newest that is known of each key, deleted ones included, by key.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = &Slot> {
        self.slots.iter()
    }

    /// How many tombstones it keeps.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.slots.tombstones()
    }

    /// How many records it keeps that this version does not understand.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.slots.unknown()
    }

    /// How many keys it keeps, tombstones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it keeps no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// The newest version that is known of anything.
    pub(super) fn newest(&self) -> Version {
        self.known_to.max(self.slots.newest())
    }

    /// The newest version of which anything is known, gaps before it or not.
    pub(super) fn farthest(&self) -> Version {
        self.newest().max(self.spans.end())
    }

    /// Writes as the origin: the next version. Returns false, and writes nothing, when it would change nothing.
    pub(super) fn write(&mut self, key: Key, value: Option<RawValue>) -> bool {
        if self.slots.get(&key).and_then(Slot::raw) == value.as_ref() {
            return false;
        }
        let version = self.known_to + 1;
        self.slots.insert(key, version, value);
        self.known_to = version;
        true
    }

    /// Drops the tombstones up to `floor` and remembers that they are gone. A floor beyond `known_to` is ignored: what
    /// is not known yet cannot be missed.
    pub fn raise_gc_floor(&mut self, floor: Version) {
        if floor <= self.gc_floor || floor > self.known_to {
            return;
        }
        self.gc_floor = floor;
        self.slots.drop_tombstones(floor);
    }

    /// The version of the `n`th oldest tombstone.
    pub(super) fn nth_tombstone(&self, n: usize) -> Option<Version> {
        let tombstones = self.slots.after(0).filter(|slot| slot.is_tombstone());
        tombstones.map(Slot::version).nth(n)
    }

    /// Applies the entries of a delta of this epoch, key by key, and returns the keys that changed. `known_to` moves
    /// over the delta's range only when nothing before it is missing.
    ///
    /// A delta does not tell which keys were deleted up to its `gc_floor`. When that lies beyond `known_to`, only what is
    /// above the floor is taken; the rest must come as a whole state.
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

    /// Takes what a delta tells of the versions after `above`, and leaves the floor alone.
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

    /// Something that was taken was overwritten up to `head` at the latest.
    pub(super) fn settle_after(&mut self, head: Version) {
        self.settled_at = self.settled_at.max(head);
    }

    /// Takes over what `other`, of the same epoch, knows of beyond a gap.
    pub(super) fn absorb(&mut self, other: &Self) {
        for slot in other.slots() {
            self.adopt(slot.key(), slot.version(), slot.raw());
        }
    }

    /// What a replica that knows everything up to `after` lacks, as far as `budget` bytes go; `None` when nothing is
    /// lacking, or when the first entry alone is larger than the budget. What is known beyond gaps comes after the rest.
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
        // The version numbers of the empty delta may yet shrink; its length and the number of its entries may each grow by
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

    /// The next range after a version of which we know all.
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

    /// One hash of what is known beyond the first gap; 0 when nothing is. The origin may be dead, and those who heard its
    /// last words in part must find out that they heard different parts.
    pub(super) fn beyond_hash(&self) -> u64 {
        if mutant::is(Mutant::IgnoreBeyondGaps) { 0 } else { self.spans.hash() }
    }

    /// What this replica lacks.
    #[must_use]
    pub fn want(&self, origin: NodeId) -> Want {
        Want { origin, epoch: self.epoch, after: self.known_to, gc_floor: self.gc_floor }
    }

    /// Whatever our ranges leave out was overwritten up to here: by what others have, or by what we heard beyond a gap.
    fn head(&self) -> Version {
        self.settled_at.max(self.newest()).max(self.spans.head())
    }

    /// Drops tombstones of long ago without a word: see [`Mutant::ForgetTombstones`].
    pub(super) fn forget_tombstones(&mut self, up_to: Version) {
        let floor = self.gc_floor;
        self.raise_gc_floor(up_to);
        self.gc_floor = floor;
    }

    fn adopt(&mut self, key: &Key, version: Version, value: Option<&RawValue>) -> bool {
        let newer = match self.slots.get(key) {
            Some(slot) => slot.version() < version || mutant::is(Mutant::MergeByArrival),
            // Up to the floor everything is known: what is not there was overwritten or deleted. An honest origin keeps
            // well below twice its limit, whatever part of its history is under way.
            None => version > self.gc_floor && self.slots.len() < 2 * MAX_KEYS_PER_ORIGIN,
        };
        // Of a liar that gives one version to two keys only the first is believed: whoever asks us could not read both.
        let adopted = newer && !self.slots.holds(version);
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
