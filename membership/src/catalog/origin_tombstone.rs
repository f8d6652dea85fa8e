//! Origin tombstones: the rest of an origin whose records were dropped, because its retention ended or an operator made
//! it force-leave.

use std::collections::BTreeMap;

use super::{Delta, Head, Replica, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_ORIGIN_TOMBSTONES;

/// The end of an origin: the epoch and version up to which deltas of it are refused.
///
/// While the origin is dead, its origin tombstone stands for its records. It has their head, so peers cannot tell
/// whether the records were dropped, and it follows the heads of peers that knew more. While the origin lives, its
/// origin tombstone yields: the node knows nothing of the origin, and serves a received state once that is complete and
/// not older than the state that it served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginTombstone {
    epoch: Epoch,
    known_to: Version,
    /// The newest version that was served here.
    shown: Version,
    /// The floor of the state that was served here.
    gc_floor: Version,
    /// The epoch in which the member left on purpose, if it did.
    left: Option<Epoch>,
    yields: bool,
}

impl OriginTombstone {
    /// The origin tombstone of a replica that is dropped. `left` is the epoch in which the member left on purpose.
    pub(super) fn of(replica: &Replica, left: Option<Epoch>) -> Self {
        Self {
            epoch: replica.epoch(),
            // An origin tombstone has no gaps, so it includes what was heard beyond a gap that nobody could close.
            known_to: replica.farthest(),
            shown: replica.newest(),
            gc_floor: replica.gc_floor(),
            left,
            yields: false,
        }
    }

    /// The origin tombstone that a delta tells. `before` is the origin tombstone that was here, or the one that the
    /// served state would leave.
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

    /// The version up to which nodes that have, or had, the records know the origin.
    #[must_use]
    pub fn known_to(&self) -> Version {
        self.known_to
    }

    /// Whether the origin lives again, so that its records are received anew.
    #[must_use]
    pub fn yields(&self) -> bool {
        self.yields
    }

    pub(super) fn left(&self) -> Option<Epoch> {
        self.left
    }

    /// The same origin tombstone for an origin that is dead.
    pub(super) fn standing(self) -> Self {
        Self { yields: false, ..self }
    }

    /// Whether the entries of a delta are refused. Only the sender's head is of use then; see
    /// [`OriginTombstone::follow`].
    pub(super) fn refuses(&self, delta: &Delta) -> bool {
        delta.epoch < self.epoch || (delta.epoch == self.epoch && !self.yields)
    }

    /// Whether the sender of a want has to be told this origin tombstone.
    pub(super) fn answers(&self, want: &Want) -> bool {
        !self.yields && (want.epoch, want.after) < (self.epoch, self.known_to)
    }

    /// The want for everything beyond this origin tombstone.
    pub(super) fn want(&self, origin: NodeId) -> Want {
        Want { origin, epoch: self.epoch, after: self.known_to, gc_floor: self.known_to }
    }

    /// The head of the records that this origin tombstone stands for.
    pub(crate) fn head(&self, origin: NodeId) -> Head {
        Head { origin, epoch: self.epoch, known_to: self.known_to }
    }

    /// The floor for a state of `epoch` that is about to be served: the floor of the state that was served before if
    /// that had the same epoch, else 0.
    pub(super) fn gc_floor_of(&self, epoch: Epoch) -> Version {
        if epoch == self.epoch { self.gc_floor } else { 0 }
    }

    /// Whether a state is new enough to replace this origin tombstone.
    pub(super) fn admits(&self, replica: &Replica) -> bool {
        replica.epoch() > self.epoch || replica.known_to() >= self.known_to.max(self.shown)
    }

    /// Raises `known_to` to the end of a delta of the same epoch whose sender knew more. Returns whether it moved.
    pub(super) fn follow(&mut self, delta: &Delta) -> bool {
        let moves = delta.to > self.known_to;
        if moves {
            self.known_to = delta.to;
        }
        moves
    }
}

/// All origin tombstones. When there are too many, the lowest by (epoch, node id) has to go. All nodes choose the same,
/// so no node tells another one of an origin tombstone that the other gave up.
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

    /// [`OriginTombstone::follow`] for the origin of a delta. Returns whether an origin tombstone moved.
    pub(super) fn follow(&mut self, delta: &Delta) -> bool {
        self.0.get_mut(&delta.origin).is_some_and(|origin_tombstone| origin_tombstone.follow(delta))
    }

    pub(super) fn set_yields(&mut self, origin: NodeId, yields: bool) {
        if let Some(origin_tombstone) = self.0.get_mut(&origin) {
            origin_tombstone.yields = yields;
        }
    }

    /// Adds an origin tombstone. When there are too many, returns the origin whose origin tombstone the caller must
    /// remove.
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
