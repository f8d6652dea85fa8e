//! The ledger: all registers that a voter holds. Ledgers form a join semilattice: of each instance the write with the highest stamp
//! wins, for each origin the highest end does, and nothing is ever lowered or dropped.
//!
//! An instance is in one service at a time. So its last write, in whatever service, is that of all its registers: where the instance is
//! not, the register says that it is gone, with the stamp of that write. A write without a service says so of all of them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use smol_str::SmolStr;
use xxhash_rust::xxh3::Xxh3;

use super::entry::{Elsewhere, Entry, OriginEnd, Place, Stamp};
use crate::base::identity::{Epoch, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::codec::encoded_len;

/// Registers that a ledger holds, those of deregistered instances among them. Writes of further ones are refused.
pub const MAX_ENTRIES: usize = 262_144;

/// An instance: its origin, and its id.
pub(crate) type Spot = (NodeId, SmolStr);

/// The last write of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Latest {
    stamp: Stamp,
    /// The service that the instance is in, and its definition.
    live: Option<(SmolStr, Arc<[u8]>)>,
}

#[derive(Clone, Debug, Default)]
struct Instance {
    latest: Latest,
    /// The services that it has a register in, in order; the empty name if there is none.
    services: Vec<SmolStr>,
}

/// What a ledger holds of an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holding<'a> {
    /// The stamp of its last write.
    pub(crate) stamp: Stamp,
    /// The service that it is in, or else one that it was in.
    pub(crate) service: &'a SmolStr,
    /// Whether it is in a service.
    pub(crate) is_live: bool,
}

impl Instance {
    fn holding(&self) -> Holding<'_> {
        static NONE: SmolStr = SmolStr::new_inline("");
        let Latest { stamp, live } = &self.latest;
        let service = live.as_ref().map(|(service, _)| service).or(self.services.first());
        Holding { stamp: *stamp, service: service.unwrap_or(&NONE), is_live: live.is_some() }
    }

    /// What the register in a service says.
    fn value(&self, service: &str) -> Option<&Arc<[u8]>> {
        self.latest.live.as_ref().filter(|(name, _)| name == service).map(|(_, value)| value)
    }

    /// The hash of the register in a service.
    fn hash(&self, spot: &Spot, service: &str) -> u128 {
        let Latest { stamp: Stamp { epoch, version }, live } = &self.latest;
        let value = self.value(service);
        let mut hasher = Xxh3::new();
        hasher.update(&spot.0.0.to_le_bytes());
        hasher.update(&epoch.0.to_le_bytes());
        hasher.update(&version.to_le_bytes());
        hasher.update(&[u8::from(value.is_some())]);
        hasher.update(&(spot.1.len() as u64).to_le_bytes());
        hasher.update(spot.1.as_bytes());
        // Also of a register that says where else the instance is.
        if let Some((service, value)) = live {
            hasher.update(service.as_bytes());
            hasher.update(value);
        }
        hasher.digest128()
    }

    /// Adds a service; none, if there is one already and this one has no name. Returns the one without a name if it is not needed any
    /// more.
    fn enter(&mut self, service: &SmolStr) -> Option<SmolStr> {
        if let Err(at) = self.services.binary_search(service)
            && (at > 0 || !service.is_empty() || self.services.is_empty())
        {
            self.services.insert(at, service.clone());
        }
        let is_unneeded = self.services.len() > 1 && self.services[0].is_empty();
        is_unneeded.then(|| self.services.remove(0))
    }
}

#[derive(Clone, Debug, Default)]
struct Service {
    spots: BTreeSet<Spot>,
    /// The sum of the hashes of the registers.
    sum: u128,
    /// The sum of the hashes of the ends of their origins, if nothing has changed since it was made.
    ends: Cell<Option<u128>>,
}

impl Service {
    fn has_origin(&self, origin: NodeId) -> bool {
        let first = self.spots.range((origin, SmolStr::default())..).next();
        first.is_some_and(|spot| spot.0 == origin)
    }
}

/// All registers that a voter, or a reader, holds.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    instances: BTreeMap<Spot, Instance>,
    services: BTreeMap<SmolStr, Service>,
    ends: BTreeMap<NodeId, Stamp>,
    len: usize,
}

impl Ledger {
    /// Takes the later of two writes of an instance. Returns whether that changed anything.
    pub fn join(&mut self, entry: &Entry) -> bool {
        let Entry { place, stamp, value, elsewhere } = entry;
        let service = &place.service;
        let here = value.clone().map(|value| (service.clone(), value));
        let there = || elsewhere.clone().map(|it| (it.service, it.value));
        let live = here.or_else(there).filter(|(service, _)| !service.is_empty());
        let latest = Latest { stamp: *stamp, live };
        let spot = (place.origin, place.id.clone());
        let is_later = self.instances.get(&spot).is_none_or(|held| held.latest < latest);
        if !is_later && self.has_register(place) {
            return false;
        }
        let mut instance = self.instances.remove(&spot).unwrap_or_default();
        for name in &instance.services {
            let service = self.services.entry(name.clone()).or_default();
            service.sum = service.sum.wrapping_sub(instance.hash(&spot, name));
        }
        self.len -= instance.services.len();
        let forgets = mutant::is(Mutant::VoterDropsTombstone) && latest.live.is_none();
        if forgets && !instance.services.is_empty() {
            instance.services.iter().for_each(|name| self.leave(name, &spot));
            return true;
        }
        let named = latest.live.as_ref().map(|(service, _)| service);
        for service in [Some(service), named].into_iter().flatten() {
            if let Some(unneeded) = instance.enter(service) {
                self.leave(&unneeded, &spot);
            }
        }
        instance.latest = instance.latest.max(latest);
        for name in &instance.services {
            let service = self.services.entry(name.clone()).or_default();
            service.sum = service.sum.wrapping_add(instance.hash(&spot, name));
            if service.spots.insert(spot.clone()) {
                service.ends.set(None);
            }
        }
        self.len += instance.services.len();
        self.instances.insert(spot, instance);
        true
    }

    fn leave(&mut self, service: &SmolStr, spot: &Spot) {
        if let Some(service) = self.services.get_mut(service) {
            service.spots.remove(spot);
            service.ends.set(None);
        }
    }

    /// Takes the later of two ends of an origin. Returns whether that changed anything.
    pub fn join_end(&mut self, end: OriginEnd) -> bool {
        if self.end_of(end.origin) >= end.stamp {
            return false;
        }
        self.ends.insert(end.origin, end.stamp);
        for service in self.services.values().filter(|service| service.has_origin(end.origin)) {
            service.ends.set(None);
        }
        true
    }

    /// The number of registers that these entries add.
    pub(crate) fn adds(&self, entries: &[Entry]) -> usize {
        let there = |entry: &Entry| {
            let elsewhere = entry.elsewhere.as_ref()?;
            Some(Place { service: elsewhere.service.clone(), ..entry.place.clone() })
        };
        let places = entries.iter().flat_map(|entry| [Some(entry.place.clone()), there(entry)]);
        places.flatten().filter(|place| !self.has_register(place)).count()
    }

    fn has_register(&self, Place { service, origin, id }: &Place) -> bool {
        let instance = self.instances.get(&(*origin, id.clone()));
        instance.is_some_and(|it| service.is_empty() || it.services.binary_search(service).is_ok())
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
        let ends = service.ends.get().unwrap_or_else(|| {
            let ends = self.ends.iter().filter(|(origin, _)| service.has_origin(**origin));
            ends.fold(0, |sum: u128, (origin, end)| {
                let mut hasher = Xxh3::with_seed(1);
                hasher.update(&origin.0.to_le_bytes());
                hasher.update(&end.epoch.0.to_le_bytes());
                hasher.update(&end.version.to_le_bytes());
                sum.wrapping_add(hasher.digest128())
            })
        });
        service.ends.set(Some(ends));
        service.sum.wrapping_add(ends)
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
        for entry in self.registers(service, after.cloned()) {
            let len = encoded_len(&entry) + 32;
            if len > left && !entries.is_empty() {
                let last: Option<&Entry> = entries.last();
                let next = last.map(|entry| (entry.place.origin, entry.place.id.clone()));
                return (entries, ends, next);
            }
            left = left.saturating_sub(len);
            let origin = entry.place.origin;
            if let Some(stamp) = self.ends.get(&origin)
                && ends.last().is_none_or(|end: &OriginEnd| end.origin != origin)
            {
                ends.push(OriginEnd { origin, stamp: *stamp });
            }
            entries.push(entry);
        }
        (entries, ends, None)
    }

    /// The registers of a service, deregistered ones included.
    pub(crate) fn spots(&self, service: &str) -> impl Iterator<Item = (&Spot, Stamp)> {
        let spots = self.services.get(service).into_iter().flat_map(|it| &it.spots);
        spots.filter_map(|spot| Some((spot, self.instances.get(spot)?.latest.stamp)))
    }

    /// A register as it is.
    pub(crate) fn entry(&self, service: &SmolStr, spot: &Spot) -> Option<Entry> {
        let instance = self.instances.get(spot)?;
        let place = Place { service: service.clone(), origin: spot.0, id: spot.1.clone() };
        let Latest { stamp, live } = &instance.latest;
        let is_here = |(name, _): &&(SmolStr, Arc<[u8]>)| name == service;
        let value = live.as_ref().filter(is_here).map(|(_, value)| value.clone());
        let elsewhere = live.as_ref().filter(|it| !is_here(it)).cloned();
        let elsewhere = elsewhere.map(|(service, value)| Elsewhere { service, value });
        Some(Entry { place, stamp: *stamp, value, elsewhere })
    }

    /// The instances of a service that are registered.
    #[must_use]
    pub fn live(&self, service: &SmolStr) -> Vec<Entry> {
        let entries = self.registers(service, None);
        let is_live = |it: &Entry| it.value.is_some() && it.stamp > self.end_of(it.place.origin);
        entries.filter(is_live).collect()
    }

    /// The instances of an origin beyond one of them, in order.
    pub(crate) fn instances(
        &self,
        origin: NodeId,
        after: Option<&SmolStr>,
    ) -> impl Iterator<Item = &SmolStr> {
        let first = after.map(|id| (origin, id.clone()));
        let first = first.map_or(Included((origin, SmolStr::default())), Excluded);
        let instances = self.instances.range((first, Unbounded)).map(|(spot, _)| spot);
        instances.take_while(move |spot| spot.0 == origin).map(|spot| &spot.1)
    }

    /// The last write of one instance.
    pub(crate) fn holding(&self, spot: &Spot) -> Option<Holding<'_>> {
        self.instances.get(spot).map(Instance::holding)
    }

    fn registers<'a>(
        &'a self,
        service: &'a SmolStr,
        after: Option<Spot>,
    ) -> impl Iterator<Item = Entry> + 'a {
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        let spots = self.services.get(service).into_iter();
        let spots = spots.flat_map(move |it| it.spots.range(range.clone()));
        spots.filter_map(move |spot| self.entry(service, spot))
    }

    /// Everything, in order, beyond a register.
    pub(crate) fn entries(&self, after: Option<&Place>) -> impl Iterator<Item = Entry> + use<'_> {
        let first = after.map_or_else(SmolStr::default, |place| place.service.clone());
        let spot = after.map(|place| (place.origin, place.id.clone()));
        let names = self.services.range(first.clone()..).map(|(name, _)| name);
        names.flat_map(move |name| self.registers(name, spot.clone().filter(|_| *name == first)))
    }

    /// The ends of all origins beyond one.
    pub(crate) fn ends_after(&self, after: Option<NodeId>) -> impl Iterator<Item = OriginEnd> {
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

/// The highest stamp of a life.
#[must_use]
pub fn last_of(epoch: Epoch) -> Stamp {
    Stamp { epoch, version: u64::MAX }
}
