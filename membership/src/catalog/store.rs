//! The catalog: all origins together.

use std::cmp::Ordering;
use std::sync::Arc;

use imbl::OrdMap;

use super::digests::{Digests, Scope};
use super::origin_tombstone::OriginTombstones;
use super::room::{Room, Shortage, Standing};
use super::{Delta, Head, Origin, OriginTombstone, Replica, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_ORIGIN_TOMBSTONES;
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::record::Key;

/// The records of all origins, as one node holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub(super) own: NodeId,
    pub(super) epoch: Epoch,
    /// Not in the tree itself, so that the free slots of its nodes stay small. Many simulated nodes can share one.
    pub(super) origins: OrdMap<NodeId, Arc<Origin>>,
    /// The origin tombstones; nothing is served of their origins.
    pub(super) origin_tombstones: OriginTombstones,
    origin_tombstones_given_up: u64,
    pub(super) digests: Digests,
    /// The number of records that this version does not understand.
    unknown: usize,
    pub(super) room: Room,
}

/// The outcome of applying a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Something was learned. These keys of the served state changed.
    News(Vec<Key>),
    /// Nothing was learned.
    Known,
    /// The delta tells writes of our own that we do not know, from a life that we forgot: our epoch must pass this one.
    Refuted(Epoch),
    /// There is no room for it.
    Full(Shortage),
}

impl Catalog {
    /// A catalog that holds only its own origin, which has written nothing yet.
    #[must_use]
    pub fn new(own: NodeId, epoch: Epoch) -> Self {
        let mut catalog = Self {
            own,
            epoch,
            origins: OrdMap::new(),
            origin_tombstones: OriginTombstones::default(),
            origin_tombstones_given_up: 0,
            digests: Digests::default(),
            unknown: 0,
            room: Room::default(),
        };
        catalog.origins.insert(own, Arc::new(Origin::own(Replica::new(epoch))));
        catalog
    }

    /// The epoch of our own records.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// One hash of all heads and of the ranges beyond them, independent of the order of arrival: equal on two nodes
    /// that know the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest_of(Scope::All)
    }

    /// The number of served records that this version does not understand.
    #[must_use]
    pub fn unknown_records(&self) -> usize {
        self.unknown
    }

    /// An origin.
    #[must_use]
    pub fn origin(&self, origin: NodeId) -> Option<&Origin> {
        self.origins.get(&origin).map(Arc::as_ref)
    }

    /// Every origin.
    pub fn origins(&self) -> impl ExactSizeIterator<Item = (NodeId, &Origin)> {
        self.origins.iter().map(|(id, origin)| (*id, origin.as_ref()))
    }

    /// The origin tombstone of an origin whose records were dropped.
    #[must_use]
    pub fn origin_tombstone(&self, origin: NodeId) -> Option<&OriginTombstone> {
        self.origin_tombstones.get(origin)
    }

    /// Every origin tombstone.
    pub fn origin_tombstones(&self) -> impl ExactSizeIterator<Item = (NodeId, &OriginTombstone)> {
        self.origin_tombstones.iter()
    }

    /// Whether another origin tombstone has a place without the removal of one.
    #[must_use]
    pub fn has_room_for_origin_tombstone(&self) -> bool {
        self.origin_tombstones.iter().len() < MAX_ORIGIN_TOMBSTONES
    }

    /// The number of origin tombstones that were removed because there were too many.
    #[must_use]
    pub fn origin_tombstones_given_up(&self) -> u64 {
        self.origin_tombstones_given_up
    }

    /// The epoch of the member that last left on purpose, if its records or its origin tombstone tell it.
    #[must_use]
    pub fn left(&self, origin: NodeId) -> Option<Epoch> {
        let held = self.origins.get(&origin).and_then(|origin| origin.left());
        held.max(self.origin_tombstones.get(origin).and_then(OriginTombstone::left))
    }

    /// The head of an origin. The origin tombstone of a dead origin stands for its records; one that yields has no
    /// head.
    #[must_use]
    pub fn head(&self, origin: NodeId) -> Option<Head> {
        if let Some(origin_tombstone) = self.origin_tombstones.get(origin) {
            let stands = !origin_tombstone.yields() && !mutant::is(Mutant::TombstoneNotInDigest);
            return stands.then(|| origin_tombstone.head(origin));
        }
        let replica = self.origins.get(&origin)?.current()?;
        (replica.known_to() > 0).then(|| Head {
            origin,
            epoch: replica.epoch(),
            known_to: replica.known_to(),
        })
    }

    /// Every head.
    pub fn heads(&self) -> impl Iterator<Item = Head> {
        let served = self.origins.iter().filter(|(_, origin)| origin.current().is_some());
        let known =
            served.map(|(id, _)| *id).chain(self.origin_tombstones.iter().map(|(id, _)| id));
        known.filter_map(|id| self.head(id))
    }

    /// The wants for an origin: first that of the received replica, then that of the served one, since the peer may
    /// have only the latter. When the origin is unknown, one want for everything.
    pub fn wants(&self, origin: NodeId) -> impl Iterator<Item = Want> {
        let held = self.origins.get(&origin).into_iter().flat_map(move |held| held.wants(origin));
        let origin_tombstone = self
            .origin_tombstones
            .get(origin)
            .filter(|origin_tombstone| !origin_tombstone.yields());
        let origin_tombstone =
            origin_tombstone.map(|origin_tombstone| origin_tombstone.want(origin));
        let mut wants = held.chain(origin_tombstone).peekable();
        let nothing = Want { origin, epoch: Epoch(0), after: 0, gc_floor: 0 };
        let nothing = wants.peek().is_none().then_some(nothing);
        wants.chain(nothing)
    }

    /// The wants of all replicas that are being received, to be served when they are complete.
    pub fn half_received(&self) -> impl Iterator<Item = Want> {
        self.origins.iter().filter_map(|(id, origin)| origin.receiving(*id))
    }

    /// The first of [`Catalog::wants`].
    #[must_use]
    pub fn want(&self, origin: NodeId) -> Want {
        let nothing = Want { origin, epoch: Epoch(0), after: 0, gc_floor: 0 };
        self.wants(origin).next().unwrap_or(nothing)
    }

    /// The want of this epoch among [`Catalog::wants`], else the first want.
    #[must_use]
    pub fn want_in(&self, origin: NodeId, epoch: Epoch) -> Want {
        let of_epoch = self.wants(origin).find(|want| want.epoch == epoch);
        of_epoch.unwrap_or_else(|| self.want(origin))
    }

    /// The wants of all origins of a part of the catalog that are known, for a peer to answer.
    pub fn all_wants(&self, scope: Scope) -> impl Iterator<Item = Want> {
        let held = self.origins.iter().flat_map(|(id, origin)| origin.wants(*id));
        let origin_tombstones = self
            .origin_tombstones
            .iter()
            .filter(|(_, origin_tombstone)| !origin_tombstone.yields());
        held.chain(origin_tombstones.map(|(id, origin_tombstone)| origin_tombstone.want(id)))
            .filter(move |want| self.is_within(want.origin, scope))
    }

    /// Applies a delta of a peer. The delta must be [valid](Delta::validate). `standing` says what liveness knows of its
    /// origin.
    pub fn apply(&mut self, delta: &Delta, standing: Standing) -> Applied {
        if delta.origin == self.own {
            return self.compare_with_own(delta);
        }
        let lives = standing == Standing::Active;
        self.set_standing(delta.origin, standing);
        if delta.is_origin_tombstone() {
            return self.apply_origin_tombstone(delta, lives);
        }
        let origin_tombstone = self.origin_tombstones.get(delta.origin).copied();
        if let Some(origin_tombstone) =
            origin_tombstone.filter(|origin_tombstone| origin_tombstone.refuses(delta))
        {
            let dead = delta.epoch == origin_tombstone.epoch() && !origin_tombstone.yields();
            let moved = dead
                && self.change(delta.origin, |catalog| catalog.origin_tombstones.follow(delta));
            return if moved { Applied::News(Vec::new()) } else { Applied::Known };
        }
        if let Some(refusal) = self.refusal(delta, standing) {
            return refusal;
        }
        let applied = self.change(delta.origin, |catalog| {
            let origin = Arc::make_mut(catalog.origins.entry(delta.origin).or_default());
            let applied = origin.apply(delta, origin_tombstone);
            if origin_tombstone.is_some() && origin.current().is_some() {
                catalog.origin_tombstones.remove(delta.origin);
            }
            applied
        });
        self.note_standing(delta.origin, standing);
        if applied.news { Applied::News(applied.changed) } else { Applied::Known }
    }

    /// Notes whether an origin is an active member. The origin tombstone of an active member yields.
    pub fn set_lives(&mut self, id: NodeId, lives: bool) {
        let Some(origin_tombstone) = self.origin_tombstones.get(id).copied() else { return };
        if origin_tombstone.yields() == lives || mutant::is(Mutant::TombstoneForGood) {
            return;
        }
        self.change(id, |catalog| catalog.origin_tombstones.set_yields(id, lives));
        if !lives {
            self.end(id, origin_tombstone.standing());
        }
    }

    /// Drops the records of a dead origin and leaves an origin tombstone. Returns the keys that were served. Peers
    /// cannot tell the difference.
    pub fn reap(&mut self, id: NodeId) -> Vec<Key> {
        let Some(origin) = self.origins.get(&id).filter(|_| id != self.own) else {
            return Vec::new();
        };
        match origin.current().map(|replica| OriginTombstone::of(replica, origin.left())) {
            Some(origin_tombstone) => self.end(id, origin_tombstone),
            None => {
                self.change(id, |catalog| catalog.origins.remove(&id));
                self.room.dropped(id);
                Vec::new()
            }
        }
    }

    /// Drops the records of an origin here and, once the returned delta is told, on every node to which the origin is
    /// no active member: the origin tombstone lies beyond the last write, so every node that has the records is behind.
    /// An origin that lives hears of a write that it did not make, and takes a new epoch. Returns `None` for our own
    /// origin, and for an origin of which nothing is served.
    pub fn force_leave(&mut self, id: NodeId) -> Option<(Delta, Vec<Key>)> {
        let head =
            self.head(id).filter(|_| id != self.own && self.origin_tombstones.get(id).is_none())?;
        let delta = Delta::origin_tombstone(Head { known_to: head.known_to + 1, ..head });
        let keys = self.end(id, self.origin_tombstone_told(&delta));
        Some((delta, keys))
    }

    /// The delta that the sender of `want` lacks, with as many entries as fit into `budget` bytes.
    #[must_use]
    pub fn answer(&self, want: &Want, budget: usize) -> Option<Delta> {
        if let Some(origin_tombstone) = self.origin_tombstones.get(want.origin) {
            return origin_tombstone
                .answers(want)
                .then(|| Delta::origin_tombstone(origin_tombstone.head(want.origin)));
        }
        let replica = self.origins.get(&want.origin)?.current()?;
        let mut gc_floor = replica.gc_floor();
        let after = match want.epoch.cmp(&replica.epoch()) {
            Ordering::Less => 0,
            Ordering::Greater => return None,
            Ordering::Equal => {
                // The asker is receiving a whole state with a floor above ours. States of different floors do not mix,
                // so answer with our state as it would be with that floor.
                if want.after < want.gc_floor && want.gc_floor > gc_floor {
                    if want.gc_floor > replica.known_to() {
                        return None;
                    }
                    gc_floor = want.gc_floor;
                }
                let enough = want.after >= gc_floor || want.gc_floor == gc_floor;
                if enough || mutant::is(Mutant::SuffixBelowFloor) { want.after } else { 0 }
            }
        };
        replica.delta_over_floor(want.origin, after, gc_floor, budget)
    }

    /// The delta after a version of this epoch of an origin, served or received, of at most `budget` bytes.
    pub(crate) fn cut(
        &self,
        origin: NodeId,
        epoch: Epoch,
        after: Version,
        budget: usize,
    ) -> Option<Delta> {
        let (replica, gc_floor) = self.origins.get(&origin)?.of_epoch(epoch)?;
        replica.delta_over_floor(origin, after, gc_floor, budget)
    }

    /// Whether anything is known after a version of this epoch of an origin.
    pub(crate) fn has_after(&self, origin: NodeId, epoch: Epoch, after: Version) -> bool {
        let of_epoch = self.origins.get(&origin).and_then(|origin| origin.of_epoch(epoch));
        of_epoch.is_some_and(|(replica, _)| replica.range_after(after).is_some())
    }

    /// Whether ranges of an origin are known beyond a gap. No head shows them.
    #[must_use]
    pub fn has_beyond(&self, origin: NodeId) -> bool {
        let replica = self.origins.get(&origin).and_then(|origin| origin.current());
        replica.is_some_and(|replica| replica.range_after(replica.known_to()).is_some())
    }

    /// Whether [`Catalog::answer`] would return a delta for a large enough budget.
    #[must_use]
    pub fn has_more(&self, want: &Want) -> bool {
        if let Some(origin_tombstone) = self.origin_tombstones.get(want.origin) {
            return origin_tombstone.answers(want);
        }
        let replica = self.origins.get(&want.origin).and_then(|origin| origin.current());
        replica.is_some_and(|replica| match want.epoch.cmp(&replica.epoch()) {
            Ordering::Less => true,
            Ordering::Equal => replica.range_after(want.after).is_some(),
            Ordering::Greater => false,
        })
    }

    /// The hash of a head and of the ranges beyond it.
    pub(super) fn head_hash(&self, id: NodeId) -> Option<u64> {
        let head = self.head(id)?;
        let beyond = self
            .origins
            .get(&id)
            .and_then(|origin| origin.current())
            .map_or(0, Replica::beyond_hash);
        Some(head.hash_over(beyond))
    }

    fn apply_origin_tombstone(&mut self, delta: &Delta, lives: bool) -> Applied {
        let head = self.head(delta.origin).map(|head| (head.epoch, head.known_to));
        let lives = lives && !mutant::is(Mutant::TombstoneOfTheLiving);
        let kept = self.origins.contains_key(&delta.origin) && mutant::is(Mutant::IgnoreForceLeave);
        if lives || kept || Some((delta.epoch, delta.to)) <= head {
            return Applied::Known;
        }
        Applied::News(self.end(delta.origin, self.origin_tombstone_told(delta)))
    }

    /// The origin tombstone that a delta tells, with the shown version and the floor of what is held here.
    fn origin_tombstone_told(&self, delta: &Delta) -> OriginTombstone {
        let held = self.origins.get(&delta.origin);
        let served = held.and_then(|held| Some(OriginTombstone::of(held.current()?, held.left())));
        OriginTombstone::told(delta, served.or(self.origin_tombstones.get(delta.origin).copied()))
    }

    /// Puts an origin tombstone in place of the records of an origin. Returns the keys that were served.
    fn end(&mut self, id: NodeId, origin_tombstone: OriginTombstone) -> Vec<Key> {
        let (keys, force_left) = self.change(id, |catalog| {
            let keys = catalog
                .origins
                .get_mut(&id)
                .map_or_else(Vec::new, |o| Arc::make_mut(o).end(origin_tombstone.epoch()));
            if catalog.origins.get(&id).is_some_and(|origin| origin.is_empty()) {
                catalog.origins.remove(&id);
            }
            if mutant::is(Mutant::ReapWithoutTombstone) {
                return (keys, None);
            }
            (keys, catalog.origin_tombstones.insert(id, origin_tombstone))
        });
        if let Some(force_left) = force_left {
            self.origin_tombstones_given_up += 1;
            self.change(force_left, |catalog| catalog.origin_tombstones.remove(force_left));
        }
        if !self.origins.contains_key(&id) {
            self.room.dropped(id);
        }
        keys
    }

    pub(super) fn change<T>(&mut self, id: NodeId, change: impl FnOnce(&mut Self) -> T) -> T {
        let (before, unknown_before) = (self.head_hash(id).unwrap_or(0), self.unknown_of(id));
        let bytes_before = self.bytes_of(id);
        let result = change(self);
        let after = self.head_hash(id).unwrap_or(0);
        let home = self.find_home(id);
        self.digests.changed(id, before, after, home);
        self.unknown = self.unknown + self.unknown_of(id) - unknown_before;
        self.room.changed(id, bytes_before, self.bytes_of(id));
        result
    }

    fn unknown_of(&self, id: NodeId) -> usize {
        let replica = self.origins.get(&id).and_then(|origin| origin.current());
        replica.map_or(0, Replica::unknown)
    }
}
