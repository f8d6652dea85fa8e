//! The ledger: all registers that a voter holds. Ledgers form a join semilattice: for each register the write with the highest stamp
//! wins, for each origin the highest end does, and nothing is ever lowered or dropped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;
use xxhash_rust::xxh3::Xxh3;

use super::entry::{Entry, OriginEnd, Place, Stamp};
use crate::base::identity::{Epoch, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::codec::encoded_len;

/// Registers that a ledger holds, those of deregistered instances among them. Writes of further ones are refused.
pub const MAX_ENTRIES: usize = 262_144;

/// A register within its service.
pub(crate) type Spot = (NodeId, SmolStr);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Held {
    stamp: Stamp,
    value: Option<Arc<[u8]>>,
}

#[derive(Clone, Debug, Default)]
struct Service {
    held: BTreeMap<Spot, Held>,
    /// The digest, if nothing has changed since it was made.
    digest: Cell<Option<u128>>,
}

/// All registers that a voter, or a reader, holds.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    services: BTreeMap<SmolStr, Service>,
    ends: BTreeMap<NodeId, Stamp>,
    len: usize,
}

impl Ledger {
    /// Takes the later of two writes of a register. Returns whether that changed anything.
    pub fn join(&mut self, entry: &Entry) -> bool {
        let Entry { place, stamp, value } = entry;
        let service = self.services.entry(place.service.clone()).or_default();
        let held = Held { stamp: *stamp, value: value.clone() };
        let spot = (place.origin, place.id.clone());
        let forgets = mutant::is(Mutant::VoterDropsTombstone) && value.is_none();
        match service.held.get_mut(&spot) {
            Some(before) if *before >= held => return false,
            Some(_) if forgets => drop(service.held.remove(&spot)),
            Some(before) => *before = held,
            None => {
                service.held.insert(spot, held);
                self.len += 1;
            }
        }
        service.digest.set(None);
        true
    }

    /// Takes the later of two ends of an origin. Returns whether that changed anything.
    pub fn join_end(&mut self, end: OriginEnd) -> bool {
        if self.end_of(end.origin) >= end.stamp {
            return false;
        }
        self.ends.insert(end.origin, end.stamp);
        for service in self.services.values() {
            if service
                .held
                .range((end.origin, SmolStr::default())..)
                .next()
                .is_some_and(|(spot, _)| spot.0 == end.origin)
            {
                service.digest.set(None);
            }
        }
        true
    }

    /// Whether there is room for these entries.
    pub(crate) fn has_room(&self, entries: &[Entry]) -> bool {
        let new = |entry: &&Entry| self.stamp(&entry.place).is_none();
        self.len + entries.iter().filter(new).count() <= MAX_ENTRIES
    }

    /// The stamp of the last write of a register.
    pub(crate) fn stamp(&self, place: &Place) -> Option<Stamp> {
        let service = self.services.get(&place.service)?;
        service.held.get(&(place.origin, place.id.clone())).map(|held| held.stamp)
    }

    /// The end of an origin.
    pub(crate) fn end_of(&self, origin: NodeId) -> Stamp {
        self.ends.get(&origin).copied().unwrap_or_default()
    }

    /// The digest of a service: of every register with its stamp, tombstones included, and of the ends of their origins. Two ledgers
    /// with one digest hold the same.
    #[must_use]
    pub fn digest(&self, service: &str) -> u128 {
        let Some(service) = self.services.get(service) else { return 0 };
        if let Some(digest) = service.digest.get() {
            return digest;
        }
        let mut digest = 0_u128;
        let mut last = None;
        for ((origin, id), held) in &service.held {
            let mut hasher = Xxh3::new();
            hasher.update(&origin.0.to_le_bytes());
            hasher.update(&held.stamp.epoch.0.to_le_bytes());
            hasher.update(&held.stamp.version.to_le_bytes());
            hasher.update(&[u8::from(held.value.is_some())]);
            hasher.update(&(id.len() as u64).to_le_bytes());
            hasher.update(id.as_bytes());
            hasher.update(held.value.as_deref().unwrap_or_default());
            digest = digest.wrapping_add(hasher.digest128());
            if last != Some(*origin)
                && let Some(end) = self.ends.get(origin)
            {
                let mut hasher = Xxh3::with_seed(1);
                hasher.update(&origin.0.to_le_bytes());
                hasher.update(&end.epoch.0.to_le_bytes());
                hasher.update(&end.version.to_le_bytes());
                digest = digest.wrapping_add(hasher.digest128());
            }
            last = Some(*origin);
        }
        service.digest.set(Some(digest));
        digest
    }

    /// The registers of a service beyond `after`, as many as take some `bytes`, with the ends of their origins; and the last register
    /// of them if there are more.
    pub(crate) fn page(
        &self,
        service: &SmolStr,
        after: Option<&Spot>,
        bytes: usize,
    ) -> (Vec<Entry>, Vec<OriginEnd>, Option<Spot>) {
        let (mut entries, mut ends, mut left) = (Vec::new(), Vec::new(), bytes);
        let Some(held) = self.services.get(service).map(|service| &service.held) else {
            return (entries, ends, None);
        };
        for ((origin, id), held) in held.range(from(after)) {
            let place = Place { service: service.clone(), origin: *origin, id: id.clone() };
            let entry = Entry { place, stamp: held.stamp, value: held.value.clone() };
            let len = encoded_len(&entry) + 32;
            if len > left && !entries.is_empty() {
                let last: Option<&Entry> = entries.last();
                let next = last.map(|entry| (entry.place.origin, entry.place.id.clone()));
                return (entries, ends, next);
            }
            left = left.saturating_sub(len);
            if let Some(stamp) = self.ends.get(origin)
                && ends.last().is_none_or(|end: &OriginEnd| end.origin != *origin)
            {
                ends.push(OriginEnd { origin: *origin, stamp: *stamp });
            }
            entries.push(entry);
        }
        (entries, ends, None)
    }

    /// The registers of a service, deregistered ones included.
    pub(crate) fn spots(&self, service: &str) -> impl Iterator<Item = (&Spot, Stamp)> {
        let service = self.services.get(service);
        service.into_iter().flat_map(|it| it.held.iter().map(|(spot, held)| (spot, held.stamp)))
    }

    /// A register as it is.
    pub(crate) fn entry(&self, service: &SmolStr, spot: &Spot) -> Option<Entry> {
        let held = self.services.get(service)?.held.get(spot)?;
        let place = Place { service: service.clone(), origin: spot.0, id: spot.1.clone() };
        Some(Entry { place, stamp: held.stamp, value: held.value.clone() })
    }

    /// The instances of a service that are registered.
    #[must_use]
    pub fn live(&self, service: &SmolStr) -> Vec<Entry> {
        let spots = self.spots(service);
        let live = spots.filter(|(spot, stamp)| *stamp > self.end_of(spot.0));
        let entries = live.filter_map(|(spot, _)| self.entry(service, spot));
        entries.filter(|entry| entry.value.is_some()).collect()
    }

    /// Everything, in order, beyond a register.
    pub(crate) fn entries(&self, after: Option<&Place>) -> impl Iterator<Item = Entry> {
        let first = after.map_or_else(SmolStr::default, |place| place.service.clone());
        let spot = after.map(|place| (place.origin, place.id.clone()));
        let services = self.services.range(first.clone()..);
        services.flat_map(move |(name, service)| {
            let after = spot.as_ref().filter(|_| *name == first);
            service.held.range(from(after)).map(move |((origin, id), held)| {
                let place = Place { service: name.clone(), origin: *origin, id: id.clone() };
                Entry { place, stamp: held.stamp, value: held.value.clone() }
            })
        })
    }

    /// The ends of all origins beyond one.
    pub(crate) fn ends_after(&self, after: Option<NodeId>) -> impl Iterator<Item = OriginEnd> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.ends
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .map(|(origin, stamp)| OriginEnd { origin: *origin, stamp: *stamp })
    }

    /// The number of registers, deregistered ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no registers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The range of registers beyond one of them.
fn from(after: Option<&Spot>) -> (std::ops::Bound<Spot>, std::ops::Bound<Spot>) {
    use std::ops::Bound::{Excluded, Unbounded};
    (after.map_or(Unbounded, |spot| Excluded(spot.clone())), Unbounded)
}

/// The highest stamp of a life.
#[must_use]
pub fn last_of(epoch: Epoch) -> Stamp {
    Stamp { epoch, version: u64::MAX }
}
