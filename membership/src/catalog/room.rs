//! The room of a catalog: how many origins it holds beside our own, and how many bytes of records.
//!
//! Anybody can make up an origin. So origins that liveness does not know as members have a small part of the room, and
//! yield to members.

use std::collections::BTreeSet;

use super::origin::Growth;
use super::{Applied, Catalog, Delta, Origin};
use crate::base::identity::NodeId;
use crate::base::limits::{
    MAX_CATALOG_BYTES, MAX_ORIGIN_BYTES, MAX_ORIGINS, MAX_UNVOUCHED_BYTES, MAX_UNVOUCHED_ORIGINS,
};

/// The knowledge that liveness has of an origin. A later one has more right to room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// No member.
    Unvouched,
    /// A member that is down.
    Down,
    /// An active member.
    Active,
}

impl Standing {
    /// The standing of a member.
    #[must_use]
    pub fn of_member(is_active: bool) -> Self {
        if is_active { Self::Active } else { Self::Down }
    }
}

/// The limit because of which a delta is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// There are too many origins.
    Origins,
    /// The records of all origins, or of those that are no members, would take too many bytes.
    Bytes,
    /// The records of the origin would take too many bytes.
    OriginBytes,
}

/// The room that is taken, by all origins but our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    bytes: usize,
    /// The origins that are no members.
    unvouched: BTreeSet<NodeId>,
    unvouched_bytes: usize,
}

impl Room {
    /// Notes that the records of an origin took `before` bytes, and take `after` now.
    pub(super) fn changed(&mut self, id: NodeId, before: usize, after: usize) {
        self.bytes = self.bytes + after - before;
        if self.unvouched.contains(&id) {
            self.unvouched_bytes = self.unvouched_bytes + after - before;
        }
    }

    /// Notes that an origin of so many bytes is a member, or that it is none.
    fn set_vouched(&mut self, id: NodeId, bytes: usize, is_vouched: bool) {
        if is_vouched && self.unvouched.remove(&id) {
            self.unvouched_bytes -= bytes;
        } else if !is_vouched && self.unvouched.insert(id) {
            self.unvouched_bytes += bytes;
        }
    }

    /// Takes the room of another node for that of ours: our records, of so many bytes, count no more, and the others' do.
    #[cfg(feature = "testing")]
    pub(super) fn exchange(&mut self, own: usize, other: usize) {
        self.bytes = self.bytes + other - own;
    }

    /// Notes that nothing of an origin is held.
    pub(super) fn dropped(&mut self, id: NodeId) {
        self.unvouched.remove(&id);
    }

    /// Why another origin has no place; `None` if it has one. `origins` is the number of all origins.
    fn lacks_place(&self, origins: usize, standing: Standing) -> Option<Shortage> {
        let is_unvouched = standing == Standing::Unvouched;
        let is_full = origins >= MAX_ORIGINS
            || (is_unvouched && self.unvouched.len() >= MAX_UNVOUCHED_ORIGINS);
        is_full.then_some(Shortage::Origins)
    }

    /// Why the growth of an origin has no room; `None` if it has.
    fn lacks_bytes(&self, growth: Growth, standing: Standing) -> Option<Shortage> {
        let Growth { added: more, largest } = growth;
        let is_unvouched = standing == Standing::Unvouched;
        if more == 0 {
            None
        } else if largest > MAX_ORIGIN_BYTES {
            Some(Shortage::OriginBytes)
        } else if self.bytes + more > MAX_CATALOG_BYTES
            || (is_unvouched && self.unvouched_bytes + more > MAX_UNVOUCHED_BYTES)
        {
            Some(Shortage::Bytes)
        } else {
            None
        }
    }
}

impl Catalog {
    /// Bytes that the records of all other origins take. Each counts with its key, its value, and
    /// [`RECORD_OVERHEAD_BYTES`](crate::limits::RECORD_OVERHEAD_BYTES).
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        self.room.bytes
    }

    /// The origins that are no members.
    pub fn unvouched(&self) -> impl ExactSizeIterator<Item = NodeId> {
        self.room.unvouched.iter().copied()
    }

    /// Notes what liveness knows of an origin. The origin tombstone of an active member yields.
    pub fn set_standing(&mut self, id: NodeId, standing: Standing) {
        self.set_lives(id, standing == Standing::Active);
        self.note_standing(id, standing);
    }

    pub(super) fn note_standing(&mut self, id: NodeId, standing: Standing) {
        let is_vouched =
            standing != Standing::Unvouched || id == self.own || !self.origins.contains_key(&id);
        let bytes = self.bytes_of(id);
        self.room.set_vouched(id, bytes, is_vouched);
    }

    /// The refusal of a delta of another origin for which there is no room.
    pub(super) fn refusal(&self, delta: &Delta, standing: Standing) -> Option<Applied> {
        let origin = self.origins.get(&delta.origin);
        let shortage = match origin {
            Some(_) => None,
            None => self.room.lacks_place(self.origins.len(), standing),
        };
        let more = || {
            let growth =
                origin.map_or_else(|| Origin::default().growth(delta), |it| it.growth(delta));
            self.room.lacks_bytes(growth, standing)
        };
        shortage.or_else(more).map(Applied::Full)
    }

    /// Bytes that the records of another origin take.
    pub(super) fn bytes_of(&self, id: NodeId) -> usize {
        let origin = self.origins.get(&id).filter(|_| id != self.own);
        origin.map_or(0, |origin| origin.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Active, Down, Unvouched};

    #[test]
    fn origins_that_are_no_members_have_a_part_of_the_places() {
        let mut room = Room::default();
        (0..MAX_UNVOUCHED_ORIGINS as u64).for_each(|id| room.set_vouched(NodeId(id), 0, false));
        let full = Some(Shortage::Origins);
        let lacks = |room: &Room, origins| {
            [Unvouched, Down, Active].map(|standing| room.lacks_place(origins, standing))
        };
        assert_eq!(lacks(&room, MAX_UNVOUCHED_ORIGINS), [full, None, None]);
        assert_eq!(lacks(&room, MAX_ORIGINS), [full; 3]);
        room.set_vouched(NodeId(0), 0, true);
        assert_eq!(lacks(&room, MAX_UNVOUCHED_ORIGINS), [None; 3]);
    }

    #[test]
    fn bytes_are_limited_for_an_origin_for_all_and_for_those_that_are_no_members() {
        let mut room = Room::default();
        let (member, other) = (NodeId(1), NodeId(2));
        room.set_vouched(other, 0, false);
        room.changed(other, 0, MAX_UNVOUCHED_BYTES - 10);
        let lacks = |room: &Room, held, more| {
            let growth = Growth { added: more, largest: held + more };
            [Unvouched, Down, Active].map(|standing| room.lacks_bytes(growth, standing))
        };
        let full = Some(Shortage::Bytes);
        assert_eq!(lacks(&room, 0, 10), [None; 3]);
        assert_eq!(lacks(&room, 0, 11), [full, None, None]);
        assert_eq!(lacks(&room, MAX_ORIGIN_BYTES - 9, 10), [Some(Shortage::OriginBytes); 3]);
        room.changed(member, 0, MAX_CATALOG_BYTES - MAX_UNVOUCHED_BYTES);
        assert_eq!(lacks(&room, 0, 10), [None; 3]);
        assert_eq!(lacks(&room, 0, 11), [full; 3]);
        assert_eq!(lacks(&room, MAX_ORIGIN_BYTES, 0), [None; 3], "nothing new");
        room.changed(other, MAX_UNVOUCHED_BYTES - 10, 0);
        room.set_vouched(other, 0, true);
        assert_eq!((room.unvouched_bytes, room.unvouched.len()), (0, 0));
        assert_eq!(lacks(&room, 0, MAX_UNVOUCHED_BYTES), [None; 3]);
    }
}
