//! Our own origin: what we write, and what peers remember of it.

use std::sync::Arc;

use super::{Applied, Catalog, Delta, Entry, Origin, Replica, Slot, Version};
use crate::base::identity::Epoch;
use crate::base::limits::{MAX_OWN_RECORDS, MAX_REGISTRATIONS, MAX_TOMBSTONES};
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::record::{Key, RawValue, RecordError, Text, Value};

/// The reason for refusing a write. Nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The record breaks a rule.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// This agent already holds the most registrations that it may.
    #[error(
        "this agent already holds {MAX_REGISTRATIONS} registrations, the most that one agent may: deregister some instances, or register them with another agent"
    )]
    Full,
    /// The token with which this node joined a sealed cluster does not allow it to serve the service.
    #[error("this agent may not serve `{service}`: its token {token} allows {allowed}")]
    NotAllowed {
        /// The service.
        service: Text,
        /// The services that the token allows.
        allowed: String,
        /// The fingerprint of the token.
        token: String,
    },
}

impl Catalog {
    /// Checks that [`Catalog::write`] would take these records.
    ///
    /// Each registration takes the room of its definition and of a health, whether it has one yet or not. So a health of
    /// a registered instance always has room, and so has the node record.
    ///
    /// # Errors
    /// The first rule that one of them breaks, or that there is no room for them.
    pub fn check(&self, records: &[(Key, Option<Value>)]) -> Result<(), WriteError> {
        let own = self.own_replica();
        let (mut added, mut instances_added) = (0_isize, 0_isize);
        for (key, value) in records {
            Entry::own(Version::MAX, key.clone(), value.clone())?;
            let is_held = own.and_then(|own| own.slot(key)).and_then(Slot::raw).is_some();
            let more = isize::from(value.is_some()) - isize::from(is_held);
            added += more;
            instances_added += if matches!(key, Key::Service(_)) { more } else { 0 };
        }
        // Garbage collection makes room for tombstones, but not for live records.
        let live = own.map_or(0, |own| own.len() - own.tombstones());
        let instances = own.map_or(0, Replica::instances);
        let is_over = |held: usize, added: isize, limit: usize| {
            added > 0 && held.saturating_add_signed(added) > limit
        };
        let is_full = is_over(instances, instances_added, MAX_REGISTRATIONS)
            || is_over(live, added, MAX_OWN_RECORDS);
        if is_full { Err(WriteError::Full) } else { Ok(()) }
    }

    /// Writes records of our own, each with the next version. Returns the version before the first, and the keys that
    /// changed. A record that would change nothing takes no version.
    ///
    /// # Errors
    /// One of the records breaks a rule, or there is no room for them. None is written then.
    pub fn write(
        &mut self,
        records: Vec<(Key, Option<Value>)>,
    ) -> Result<(Version, Vec<Key>), WriteError> {
        self.check(&records)?;
        let mut changed = Vec::new();
        let mut before = 0;
        self.change(self.own, |catalog| {
            let own = catalog.origins.get_mut(&catalog.own);
            let Some(own) = own.and_then(|own| Arc::make_mut(own).current_mut()) else { return };
            before = own.known_to();
            for (key, value) in records {
                if own.write(key.clone(), value.map(RawValue::from)) {
                    changed.push(key);
                }
            }
            if mutant::is(Mutant::ForgetTombstones) {
                own.forget_tombstones(before);
            }
            if let Some(excess) = own.tombstones().checked_sub(MAX_TOMBSTONES)
                && let Some(floor) = own.nth_tombstone(excess + MAX_TOMBSTONES / 2)
            {
                // The rumor of this write must not begin below the floor: a peer that has all earlier writes would then
                // need the whole state to learn what was deleted.
                own.raise_gc_floor(floor.min(before));
            }
        });
        Ok((before, changed))
    }

    /// Drops our own tombstones up to `floor`, as [`Catalog::write`] does by itself when there are many. A peer that
    /// knows less than `floor` needs the whole state from then on.
    pub fn raise_gc_floor(&mut self, floor: Version) {
        self.change(self.own, |catalog| {
            let own = catalog.origins.get_mut(&catalog.own);
            if let Some(own) = own.and_then(|own| Arc::make_mut(own).current_mut()) {
                own.raise_gc_floor(floor);
            }
        });
    }

    /// Begins a new epoch of our own with the live records of the old one.
    pub fn raise_epoch(&mut self, epoch: Epoch) {
        let records: Vec<_> = self.own_replica().into_iter().flat_map(Replica::slots).collect();
        let records: Vec<_> = records
            .into_iter()
            .filter_map(|slot| Some((slot.key().clone(), Some(slot.raw()?.clone()))))
            .collect();
        self.epoch = epoch;
        self.change(self.own, |catalog| {
            let mut fresh = Replica::new(epoch);
            for (key, value) in records {
                fresh.write(key, value);
            }
            catalog.origins.insert(catalog.own, Arc::new(Origin::own(fresh)));
        });
    }

    pub(super) fn own_replica(&self) -> Option<&Replica> {
        self.origins.get(&self.own)?.current()
    }

    /// Compares a delta of our own origin with our records. Only we write these records, so a peer that knows more of
    /// them remembers a life that we forgot.
    pub(super) fn compare_with_own(&self, delta: &Delta) -> Applied {
        let known_to = self.own_replica().map_or(0, Replica::known_to);
        let forgotten = (delta.epoch, delta.head) > (self.epoch, known_to);
        if forgotten && !mutant::is(Mutant::IgnoreRememberedEpoch) {
            Applied::Refuted(delta.epoch)
        } else {
            Applied::Known
        }
    }
}
