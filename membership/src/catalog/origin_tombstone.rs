//! What is left of an origin whose records were dropped, because it was dead for long or its operator said so.

use std::collections::BTreeMap;

use super::{Delta, Head, Replica, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_GRAVES;

/// Where an origin ended: nothing of it up to here is taken any more.
///
/// While the origin is dead, its grave stands for its records: it has their head, so that nobody can tell whether they
/// were dropped, and knows as much as whoever is met. When the origin lives, the grave gives way: nothing is known of
/// the origin, and what is received is served once it is whole and not older than what was served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grave {
    epoch: Epoch,
    known_to: Version,
    /// The newest version that was served here, and the floor there was.
    shown: Version,
    gc_floor: Version,
    left: Option<Epoch>,
    yields: bool,
}

impl Grave {
    /// The grave of a state that is dropped, of an origin that left in the given epoch.
    pub(super) fn of(replica: &Replica, left: Option<Epoch>) -> Self {
        Self {
            epoch: replica.epoch(),
            // Beyond a gap that nobody could close lies the end of all that was heard: a grave has no gaps.
            known_to: replica.farthest(),
            shown: replica.newest(),
            gc_floor: replica.gc_floor(),
            left,
            yields: false,
        }
    }

    /// The grave that a delta tells of, over what was here.
    pub(super) fn told(delta: &Delta, before: Option<Self>) -> Self {
        let left = before.and_then(|grave| grave.left);
        let before = before.filter(|grave| grave.epoch == delta.epoch);
        Self {
            epoch: delta.epoch,
            known_to: delta.to,
            shown: before.map_or(0, |grave| grave.shown),
            gc_floor: before.map_or(0, |grave| grave.gc_floor),
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

    /// Whether a state is new enough to be served over this grave.
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

/// The graves: the latest epochs, when there are too many. As everybody keeps the same, nobody tells of one that another
/// gave up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Graves(BTreeMap<NodeId, Grave>);

impl Graves {
    pub(super) fn get(&self, origin: NodeId) -> Option<&Grave> {
        self.0.get(&origin)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &Grave)> {
        self.0.iter().map(|(origin, grave)| (*origin, grave))
    }

    pub(super) fn remove(&mut self, origin: NodeId) {
        self.0.remove(&origin);
    }

    /// Whether the grave stands, and moved.
    pub(super) fn follow(&mut self, delta: &Delta) -> bool {
        self.0.get_mut(&delta.origin).is_some_and(|grave| grave.follow(delta))
    }

    pub(super) fn set_yields(&mut self, origin: NodeId, yields: bool) {
        if let Some(grave) = self.0.get_mut(&origin) {
            grave.yields = yields;
        }
    }

    /// Adds a grave, and names the one that has to go for it.
    pub(super) fn insert(&mut self, origin: NodeId, grave: Grave) -> Option<NodeId> {
        self.0.insert(origin, grave);
        if self.0.len() <= MAX_GRAVES {
            return None;
        }
        self.0.iter().map(|(origin, grave)| (grave.epoch, *origin)).min().map(|(_, origin)| origin)
    }
}
