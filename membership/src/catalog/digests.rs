//! The digests of a catalog: one over all origins, and one for each datacenter over its origins.

use std::collections::BTreeMap;

use imbl::OrdMap;

use super::{Catalog, Head};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
#[cfg(feature = "testing")]
use crate::base::shared_map::SharedMap;

/// A part of a catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All origins.
    #[default]
    All,
    /// The origins of one datacenter.
    Datacenter(DatacenterId),
}

impl Scope {
    /// Whether an origin of this datacenter, or of none that is known, is in the scope.
    #[must_use]
    pub fn includes(self, home: Option<DatacenterId>) -> bool {
        match self {
            Self::All => true,
            Self::Datacenter(datacenter) => home == Some(datacenter),
        }
    }

    /// The datacenter, if the scope is one.
    #[must_use]
    pub fn datacenter(self) -> Option<DatacenterId> {
        match self {
            Self::All => None,
            Self::Datacenter(datacenter) => Some(datacenter),
        }
    }
}

impl From<Option<DatacenterId>> for Scope {
    fn from(datacenter: Option<DatacenterId>) -> Self {
        datacenter.map_or(Self::All, Self::Datacenter)
    }
}

/// The digests, and the datacenter of each origin that has one.
///
/// An origin belongs to the datacenter that its node record names. One whose records were dropped stays where it was
/// while its origin tombstone is kept. One whose node record has not arrived belongs to none.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests {
    all: u64,
    of: BTreeMap<DatacenterId, Part>,
    homes: OrdMap<NodeId, DatacenterId>,
}

/// The origins of one datacenter.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    digest: u64,
    /// The number of origins that belong to the datacenter.
    origins: usize,
}

/// Homes follow from the records, except those of origin tombstones: they depend on whether the records were here. So
/// catalogs are equal without regard to homes.
impl PartialEq for Digests {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for Digests {}

impl Digests {
    /// The digest of a part of the catalog; 0 for a datacenter of which nothing is known.
    pub(super) fn get(&self, scope: Scope) -> u64 {
        match scope {
            Scope::All => self.all,
            Scope::Datacenter(datacenter) => self.of.get(&datacenter).map_or(0, |part| part.digest),
        }
    }

    /// Replaces the datacenters of origins by those of another catalog that are equal.
    #[cfg(feature = "testing")]
    pub(super) fn share(&mut self, homes: &mut SharedMap<NodeId, DatacenterId>) {
        homes.share(&mut self.homes);
    }

    /// The datacenter of an origin.
    pub(super) fn home(&self, origin: NodeId) -> Option<DatacenterId> {
        self.homes.get(&origin).copied()
    }

    /// The datacenters to which an origin belongs, with the number of their origins.
    pub(super) fn datacenters(&self) -> impl Iterator<Item = (DatacenterId, usize)> + '_ {
        self.of.iter().map(|(datacenter, part)| (*datacenter, part.origins))
    }

    /// Notes that the hash of an origin changed, and the datacenter that it belongs to now. A hash of 0 stands for none.
    pub(super) fn changed(
        &mut self,
        origin: NodeId,
        before: u64,
        after: u64,
        home: Option<DatacenterId>,
    ) {
        self.all ^= before ^ after;
        let was = self.home(origin);
        if was == home {
            if let Some(part) = home.and_then(|home| self.of.get_mut(&home)) {
                part.digest ^= before ^ after;
            }
            return;
        }
        if let Some(was) = was
            && let Some(part) = self.of.get_mut(&was)
        {
            part.digest ^= before;
            part.origins -= 1;
            if part.origins == 0 {
                self.of.remove(&was);
            }
        }
        match home {
            Some(home) => {
                let part = self.of.entry(home).or_default();
                part.digest ^= after;
                part.origins += 1;
                self.homes.insert(origin, home);
            }
            None => drop(self.homes.remove(&origin)),
        }
    }
}

impl Catalog {
    /// The digest of a part of the catalog.
    #[must_use]
    pub fn digest_of(&self, scope: Scope) -> u64 {
        self.digests.get(scope)
    }

    /// The datacenter that an origin belongs to; `None` while its node record has not arrived.
    #[must_use]
    pub fn datacenter_of(&self, origin: NodeId) -> Option<DatacenterId> {
        self.digests.home(origin)
    }

    /// Whether an origin belongs to the datacenter of this node.
    pub(crate) fn is_home(&self, origin: NodeId) -> bool {
        self.datacenter_of(origin) == self.datacenter_of(self.own)
    }

    /// The datacenters to which an origin belongs, with the number of their origins.
    pub fn datacenters(&self) -> impl Iterator<Item = (DatacenterId, usize)> + '_ {
        self.digests.datacenters()
    }

    /// Whether an origin is in a part of the catalog.
    #[must_use]
    pub fn is_within(&self, origin: NodeId, scope: Scope) -> bool {
        scope == Scope::All || scope.includes(self.datacenter_of(origin))
    }

    /// All heads of a part of the catalog with their hashes. The XOR of the hashes is its digest.
    pub fn head_hashes(&self, scope: Scope) -> impl Iterator<Item = (u64, Head)> + '_ {
        self.heads_of(scope).filter_map(|head| Some((self.head_hash(head.origin)?, head)))
    }

    /// Every head of a part of the catalog.
    pub fn heads_of(&self, scope: Scope) -> impl Iterator<Item = Head> + '_ {
        self.heads().filter(move |head| self.is_within(head.origin, scope))
    }

    /// The datacenter of an origin by what is held of it now.
    pub(super) fn find_home(&self, id: NodeId) -> Option<DatacenterId> {
        let origin = self.origins.get(&id);
        let named = origin.and_then(|origin| origin.node()).map(|node| &node.datacenter);
        if let Some(name) = named {
            return Some(DatacenterId::named(name));
        }
        let is_kept = origin.is_some() || self.origin_tombstones.get(id).is_some();
        self.datacenter_of(id).filter(|_| is_kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: DatacenterId = DatacenterId(1);
    const US: DatacenterId = DatacenterId(2);

    fn digests_of(digests: &Digests) -> [u64; 3] {
        [Scope::All, EU.into_scope(), US.into_scope()].map(|scope| digests.get(scope))
    }

    impl DatacenterId {
        fn into_scope(self) -> Scope {
            Scope::Datacenter(self)
        }
    }

    #[test]
    fn an_origin_counts_where_it_belongs_and_its_hash_follows_it() {
        let mut digests = Digests::default();
        digests.changed(NodeId(1), 0, 5, None);
        assert_eq!(digests_of(&digests), [5, 0, 0], "no node record has arrived");
        digests.changed(NodeId(1), 5, 6, Some(EU));
        digests.changed(NodeId(2), 0, 8, Some(EU));
        assert_eq!(digests_of(&digests), [6 ^ 8, 6 ^ 8, 0]);
        digests.changed(NodeId(2), 8, 9, Some(EU));
        digests.changed(NodeId(1), 6, 7, Some(US));
        assert_eq!(digests_of(&digests), [7 ^ 9, 9, 7], "it moved");
        digests.changed(NodeId(1), 7, 0, None);
        assert_eq!(digests_of(&digests), [9, 9, 0]);
        assert_eq!(digests.datacenters().collect::<Vec<_>>(), [(EU, 1)]);
        assert_eq!(digests.home(NodeId(1)), None);
    }
}
