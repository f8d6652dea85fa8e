//! One origin as a node holds it: the replica that is served, and the replica that is being received to replace it.

use std::sync::Arc;

use super::{Delta, OriginTombstone, Replica, Slot, Version, Want};
use crate::base::identity::{Epoch, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::record::{Key, NodeRecord, RawValue, Value};

/// One origin.
///
/// A newer epoch, or a whole state for a replica below the garbage collection floor, is received beside the served
/// replica and takes its place in one step when it is complete. So instances do not vanish and return when their origin
/// restarts, and no client sees a state of which half was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    current: Option<Replica>,
    /// Boxed because it is rare.
    pending: Option<Box<Pending>>,
    /// The epoch of the member that last left on purpose, from node records that were replaced since.
    left: Option<Epoch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    replica: Replica,
    /// The floor of the whole state that is being received. No entry up to the floor comes from a state with another
    /// floor. The floor takes effect with the replacement.
    gc_floor: Version,
}

/// The effects of applying a delta.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OriginApplied {
    /// The keys of the served state that changed.
    pub(super) changed: Vec<Key>,
    /// Whether anything was learned, in the served or in the received replica.
    pub(super) news: bool,
}

/// The growth of an origin by a delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    /// Bytes that are added, to the served and to the received replica.
    pub(super) added: usize,
    /// Bytes of the larger replica of the delta's epoch afterwards.
    pub(super) largest: usize,
}

impl Origin {
    /// The node's own origin, with the replica that the node writes to.
    pub(super) fn own(replica: Replica) -> Self {
        Self { current: Some(replica), pending: None, left: None }
    }

    /// The replica that is served.
    #[must_use]
    pub fn current(&self) -> Option<&Replica> {
        self.current.as_ref()
    }

    /// The epoch of the member that last left on purpose. The records of a new life often arrive before SWIM knows of
    /// the new life; until SWIM does, the member shows as left, not as down.
    #[must_use]
    pub fn left(&self) -> Option<Epoch> {
        self.left.max(self.node().and_then(|node| node.left))
    }

    fn replicas(&self) -> impl Iterator<Item = &Replica> {
        let pending = self.pending.as_deref().map(|pending| &pending.replica);
        self.current.iter().chain(pending)
    }

    /// Bytes of the records of the served replica and of the received one.
    pub(super) fn bytes(&self) -> usize {
        self.replicas().map(Replica::bytes).sum()
    }

    /// The growth that a delta would bring at most.
    pub(super) fn growth(&self, delta: &Delta) -> Growth {
        let mut growth = Growth::default();
        let mut of_epoch = 0;
        for replica in self.replicas().filter(|replica| replica.epoch() == delta.epoch) {
            let added = replica.added_by(delta);
            growth.added += added;
            growth.largest = growth.largest.max(replica.bytes() + added);
            of_epoch += 1;
        }
        let behind_floor = |current: &Replica| {
            current.epoch() == delta.epoch
                && delta.is_whole()
                && delta.gc_floor > current.known_to()
        };
        // A replica is received anew in a later epoch, and beside the served one beyond a floor. States of earlier epochs are
        // ignored.
        let is_later = self.replicas().all(|replica| replica.epoch() < delta.epoch);
        if is_later || (of_epoch == 1 && self.current.as_ref().is_some_and(behind_floor)) {
            let whole = Replica::new(delta.epoch).added_by(delta);
            growth.added += whole;
            growth.largest = growth.largest.max(whole);
        }
        growth
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Replica> {
        self.current.as_mut()
    }

    /// The node record of the origin.
    #[must_use]
    pub fn node(&self) -> Option<&Arc<NodeRecord>> {
        node_record(self.current.as_ref()?)
    }

    /// The wants of the received replica and of the served one, in this order. When both have the same epoch, only the
    /// want of the received one, which replaces the other.
    pub(super) fn wants(&self, origin: NodeId) -> impl Iterator<Item = Want> {
        let pending = self
            .pending
            .as_ref()
            .map(|pending| Want { gc_floor: pending.gc_floor, ..pending.replica.want(origin) });
        let current = self.current.as_ref().map(|current| current.want(origin));
        let replaced = pending.map(|want| want.epoch);
        pending.into_iter().chain(current.filter(move |want| Some(want.epoch) != replaced))
    }

    /// The replica of an epoch, served or else received, with the floor of the deltas that may be cut from it.
    pub(super) fn of_epoch(&self, epoch: Epoch) -> Option<(&Replica, Version)> {
        let served = self.current.as_ref().filter(|current| current.epoch() == epoch);
        served.map(|current| (current, current.gc_floor())).or_else(|| {
            let pending = self.pending.as_deref()?;
            (pending.replica.epoch() == epoch).then_some((&pending.replica, pending.gc_floor))
        })
    }

    /// The want of the replica that is being received, if there is one.
    pub(super) fn receiving(&self, origin: NodeId) -> Option<Want> {
        self.pending.as_ref().and_then(|_| self.wants(origin).next())
    }

    /// Whether no replica is held, neither served nor received.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.pending.is_none()
    }

    /// Drops the served replica, and a received one of this epoch or an earlier one. Returns the keys that were served.
    pub(super) fn end(&mut self, epoch: Epoch) -> Vec<Key> {
        if self.pending.as_ref().is_some_and(|pending| pending.replica.epoch() <= epoch) {
            self.pending = None;
        }
        let current = self.current.take();
        current.iter().flat_map(Replica::slots).map(|slot| slot.key().clone()).collect()
    }

    /// Applies a delta. A received replica is not served before the origin tombstone of the origin admits it.
    pub(super) fn apply(
        &mut self,
        delta: &Delta,
        origin_tombstone: Option<OriginTombstone>,
    ) -> OriginApplied {
        let mut applied = OriginApplied::default();
        if let Some(current) = &mut self.current {
            if delta.epoch < current.epoch() {
                if mutant::is(Mutant::ApplyOldEpoch) {
                    applied.changed = current.apply(delta);
                    applied.news = !applied.changed.is_empty();
                }
                return applied;
            }
            if delta.epoch == current.epoch() {
                let known_to = current.known_to();
                let behind_floor = delta.is_whole() && delta.gc_floor > known_to;
                applied.changed = current.apply(delta);
                applied.news = !applied.changed.is_empty() || current.known_to() > known_to;
                let receiving = self
                    .pending
                    .as_ref()
                    .is_some_and(|pending| pending.replica.epoch() == delta.epoch);
                if !behind_floor && !receiving {
                    return applied;
                }
            }
        }
        applied.news |= self.receive(delta);
        self.drop_pending_when_passed();
        if let Some(replaced) = self.replace_when_complete(origin_tombstone) {
            applied.changed.extend(replaced);
            applied.changed.sort_unstable();
            applied.changed.dedup();
        }
        applied
    }

    fn receive(&mut self, delta: &Delta) -> bool {
        if self.pending.as_ref().is_none_or(|pending| pending.replica.epoch() < delta.epoch) {
            let fresh = Pending { replica: Replica::new(delta.epoch), gc_floor: 0 };
            self.pending = Some(Box::new(fresh));
        }
        let Some(Pending { replica, gc_floor }) =
            self.pending.as_deref_mut().filter(|pending| pending.replica.epoch() == delta.epoch)
        else {
            return false;
        };
        let known_to = replica.known_to();
        if delta.is_whole() && delta.gc_floor > known_to.max(*gc_floor) {
            // The entries received so far may have been deleted by a tombstone that is gone now: begin again.
            *replica = Replica::new(delta.epoch);
            *gc_floor = delta.gc_floor;
        }
        // A record of one state may be deleted in another one whose floor hides that. So up to the higher floor, states
        // do not mix.
        let above = if delta.gc_floor == *gc_floor { 0 } else { delta.gc_floor.max(*gc_floor) };
        let changed = replica.take(delta, above);
        if above == 0 && delta.entries.first().is_some_and(|entry| entry.version <= *gc_floor) {
            // The sender may hold a record that was deleted up to the floor and written again beyond it, while the
            // sender has not received the later write. So the state is complete only with that write, wherever the
            // range lies.
            replica.settle_after(delta.head);
        }
        !changed.is_empty() || replica.known_to() > known_to
    }

    /// Drops the received replica when the served one, of the same epoch, has reached its floor and its `known_to` in
    /// another way.
    fn drop_pending_when_passed(&mut self) {
        let passed = |current: &Replica, pending: &Pending| {
            current.epoch() == pending.replica.epoch()
                && current.known_to() >= pending.replica.known_to().max(pending.gc_floor)
        };
        if let (Some(current), Some(pending)) = (&self.current, &self.pending)
            && passed(current, pending)
        {
            self.pending = None;
        }
    }

    fn replace_when_complete(
        &mut self,
        origin_tombstone: Option<OriginTombstone>,
    ) -> Option<Vec<Key>> {
        let Pending { replica, gc_floor } = self.pending.as_deref()?;
        let served = self.current.as_ref().filter(|current| current.epoch() == replica.epoch());
        let behind = served.is_some_and(|current| replica.known_to() < current.known_to());
        let whole = replica.known_to() >= *gc_floor && replica.is_settled();
        let whole = whole || mutant::is(Mutant::ReplaceBeforeWhole);
        let older =
            origin_tombstone.is_some_and(|origin_tombstone| !origin_tombstone.admits(replica));
        if !whole || raw(replica, &Key::Node).is_none() || behind || older {
            return None;
        }
        self.left = self.left();
        let Pending { replica: mut fresh, gc_floor } = *self.pending.take()?;
        fresh.raise_gc_floor(gc_floor);
        fresh.raise_gc_floor(
            origin_tombstone
                .map_or(0, |origin_tombstone| origin_tombstone.gc_floor_of(fresh.epoch())),
        );
        let Some(old) = self.current.take() else {
            let keys = fresh.slots().map(|slot| slot.key().clone()).collect();
            self.current = Some(fresh);
            return Some(keys);
        };
        if old.epoch() == fresh.epoch() {
            fresh.raise_gc_floor(old.gc_floor());
            fresh.absorb(&old);
        }
        let mut changed: Vec<Key> = fresh
            .slots()
            .map(Slot::key)
            .filter(|key| raw(&fresh, key) != raw(&old, key))
            .cloned()
            .collect();
        changed
            .extend(old.slots().map(Slot::key).filter(|key| raw(&fresh, key).is_none()).cloned());
        self.current = Some(fresh);
        Some(changed)
    }
}

/// A record as its origin wrote it, whether this version understands it or not.
fn raw<'a>(replica: &'a Replica, key: &Key) -> Option<&'a RawValue> {
    replica.slot(key)?.raw()
}

fn node_record(replica: &Replica) -> Option<&Arc<NodeRecord>> {
    match replica.get(&Key::Node) {
        Some(Value::Node(node)) => Some(node),
        _ => None,
    }
}
