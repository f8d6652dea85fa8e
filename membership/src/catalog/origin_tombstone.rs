//! What is left of an origin whose records were dropped, because it was dead for long or its operator said so.

use std::collections::BTreeMap;

use super::{Delta, Head, Replica, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_ORIGIN_TOMBSTONES;

/// Where an origin ended: nothing of it up to here is taken any more.
///
/// While the origin is dead, its origin_tombstone stands for its records: it has their head, so that nobody can tell whether they
/// were dropped, and knows as much as whoever is met. When the origin lives, the origin_tombstone gives way: nothing is known of
/// the origin, and what is received is served once it is whole and not older than what was served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginTombstone {
    epoch: Epoch,
    known_to: Version,
    /// The newest version that was served here, and the floor there was.
    shown: Version,
    gc_floor: Version,
    left: Option<Epoch>,
    yields: bool,
}

impl OriginTombstone {
    /// The origin_tombstone of a state that is dropped, of an origin that left in the given epoch.
    pub(super) fn of(replica: &Replica, left: Option<Epoch>) -> Self {
        Self {
            epoch: replica.epoch(),
            // Beyond a gap that nobody could close lies the end of all that was heard: a origin_tombstone has no gaps.
            known_to: replica.farthest(),
            shown: replica.newest(),
            gc_floor: replica.gc_floor(),
            left,
            yields: false,
        }
    }

    /// The origin_tombstone that a delta tells of, over what was here.
    pub(super) fn told(delta: &Delta, before: Option<Self>) -> Self {
        let left = before.and_then(|origin_tombstone| origin_tombstone.left);
        let before = before.filter(|origin_tombstone| origin_tombstone.epoch == delta.epoch);
        Self {
            epoch: delta.epoch,
            known_to: delta.to,
            shown: before.map_or(0, |origin_tombstone| origin_tombstone.shown),
            gc_floor: before.map_or(0, |origin_tombstone| origin_tombstone.gc_floor),
            left,
            yields: false,
        }
    }

    /// The epoch that ended.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How far those knew the origin that have, or had, its records.
    #[must_use]
    pub fn known_to(&self) -> Version {
        self.known_to
    }

    /// Whether the origin lives again, and its records are on their way.
    #[must_use]
    pub fn yields(&self) -> bool {
        self.yields
    }

    pub(super) fn left(&self) -> Option<Epoch> {
        self.left
    }

    /// The same, of an origin that is dead.
    pub(super) fn standing(self) -> Self {
        Self { yields: false, ..self }
    }

    /// Whether it has no use for what a delta tells, but for how far its sender knows the origin.
    pub(super) fn refuses(&self, delta: &Delta) -> bool {
        delta.epoch < self.epoch || (delta.epoch == self.epoch && !self.yields)
    }

    /// Whether it has something to say to the sender of a want.
    pub(super) fn answers(&self, want: &Want) -> bool {
        !self.yields && (want.epoch, want.after) < (self.epoch, self.known_to)
    }

    /// Asks for nothing but what lies beyond it.
    pub(super) fn want(&self, origin: NodeId) -> Want {
        Want { origin, epoch: self.epoch, after: self.known_to, gc_floor: self.known_to }
    }

    /// How far those know the origin for whose records this stands.
    pub(crate) fn head(&self, origin: NodeId) -> Head {
        Head { origin, epoch: self.epoch, known_to: self.known_to }
    }

    /// The floor that a state of the same epoch had, which is about to be served.
    pub(super) fn gc_floor_of(&self, epoch: Epoch) -> Version {
        if epoch == self.epoch { self.gc_floor } else { 0 }
    }

    /// Whether a state is new enough to be served over this origin_tombstone.
    pub(super) fn admits(&self, replica: &Replica) -> bool {
        replica.epoch() > self.epoch || replica.known_to() >= self.known_to.max(self.shown)
    }

    /// Takes over the head of somebody who knows more of the dead. Returns whether it moved.
    pub(super) fn follow(&mut self, delta: &Delta) -> bool {
        let moves = delta.to > self.known_to;
        if moves {
            self.known_to = delta.to;
        }
        moves
    }
}

/// The origin_tombstones: the latest epochs, when there are too many. As everybody keeps the same, nobody tells of one that another
/// gave up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OriginTombstones(BTreeMap<NodeId, OriginTombstone>);

impl OriginTombstones {
    pub(super) fn get(&self, origin: NodeId) -> Option<&OriginTombstone> {
        self.0.get(&origin)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &OriginTombstone)> {
        self.0.iter().map(|(origin, origin_tombstone)| (*origin, origin_tombstone))
    }

    pub(super) fn remove(&mut self, origin: NodeId) {
        self.0.remove(&origin);
    }

    /// Whether the origin_tombstone stands, and moved.
    pub(super) fn follow(&mut self, delta: &Delta) -> bool {
        self.0.get_mut(&delta.origin).is_some_and(|origin_tombstone| origin_tombstone.follow(delta))
    }

    pub(super) fn set_yields(&mut self, origin: NodeId, yields: bool) {
        if let Some(origin_tombstone) = self.0.get_mut(&origin) {
            origin_tombstone.yields = yields;
        }
    }

    /// Adds a origin_tombstone, and names the one that has to go for it.
    pub(super) fn insert(
        &mut self,
        origin: NodeId,
        origin_tombstone: OriginTombstone,
    ) -> Option<NodeId> {
        self.0.insert(origin, origin_tombstone);
        if self.0.len() <= MAX_ORIGIN_TOMBSTONES {
            return None;
        }
        self.0
            .iter()
            .map(|(origin, origin_tombstone)| (origin_tombstone.epoch, *origin))
            .min()
            .map(|(_, origin)| origin)
    }
}
