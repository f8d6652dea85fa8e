//! The index of each service: the revision of its latest change. Questions that wait for a service compare it.
//!
//! The index of a service only grows, whatever comes and goes. A change has a higher revision than all before it. A service that
//! goes keeps the revision of its end. When that is forgotten, every service that is not there has an index at least as high.
//! Revisions of a later run are higher than those of this one, so no index comes twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ServiceKey;

/// Services that went whose ends are remembered one by one. Beyond that, those that are not there share an index.
const MAX_ENDED: usize = 4_096;

/// The indexes of all services.
#[derive(Debug)]
pub(super) struct ServiceIndexes {
    present: BTreeMap<Arc<ServiceKey>, u64>,
    ended: BTreeMap<Arc<ServiceKey>, u64>,
    /// The same by their revisions.
    ends: BTreeMap<u64, Arc<ServiceKey>>,
    /// The index of services that are not there, and whose end is not remembered.
    absent: u64,
    /// The latest change of any service.
    latest: u64,
    limit: usize,
}

impl ServiceIndexes {
    /// No service is there yet. Every index is this revision at least.
    pub(super) fn new(first_revision: u64) -> Self {
        Self {
            present: BTreeMap::new(),
            ended: BTreeMap::new(),
            ends: BTreeMap::new(),
            absent: first_revision,
            latest: first_revision,
            limit: MAX_ENDED,
        }
    }

    /// Takes a change of a service, and whether the service is there afterwards. Revisions come in order.
    pub(super) fn change(&mut self, key: &Arc<ServiceKey>, revision: u64, is_there: bool) {
        debug_assert!(revision > self.latest, "revisions come in order");
        self.latest = revision;
        if let Some(end) = self.ended.remove(key) {
            self.ends.remove(&end);
        }
        if is_there {
            self.present.insert(key.clone(), revision);
            return;
        }
        self.present.remove(key);
        self.ended.insert(key.clone(), revision);
        self.ends.insert(revision, key.clone());
        if self.ended.len() > self.limit
            && let Some((end, key)) = self.ends.pop_first()
        {
            self.ended.remove(&key);
            self.absent = end;
        }
    }

    /// The index of a service, whether or not it is there.
    pub(super) fn of(&self, key: &ServiceKey) -> u64 {
        let known = self.present.get(key).or_else(|| self.ended.get(key));
        known.copied().unwrap_or(self.absent)
    }

    /// The index of all services together.
    pub(super) fn of_all(&self) -> u64 {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::services::testing::key;

    #[test]
    fn a_change_moves_the_index_of_its_service_and_no_other() {
        let (web, api) = (Arc::new(key("web")), Arc::new(key("api")));
        let mut indexes = ServiceIndexes::new(10);
        assert_eq!((indexes.of(&web), indexes.of_all()), (10, 10));
        indexes.change(&web, 11, true);
        indexes.change(&api, 12, true);
        assert_eq!((indexes.of(&web), indexes.of(&api), indexes.of_all()), (11, 12, 12));
        indexes.change(&web, 13, false);
        assert_eq!((indexes.of(&web), indexes.of(&api)), (13, 12));
        assert_eq!(indexes.of(&key("never")), 10, "the end of another one is no change of it");
        indexes.change(&web, 14, true);
        assert_eq!(indexes.of(&web), 14);
        assert!(indexes.ended.is_empty() && indexes.ends.is_empty());
    }

    #[test]
    fn an_end_that_is_forgotten_leaves_an_index_that_is_as_high() {
        let mut indexes = ServiceIndexes { limit: 2, ..ServiceIndexes::new(10) };
        for (revision, name) in (11..).zip(["a", "b", "c"]) {
            indexes.change(&Arc::new(key(name)), revision, false);
        }
        let of = |name| indexes.of(&key(name));
        assert_eq!([of("a"), of("b"), of("c"), of("never")], [11, 12, 13, 11]);
    }

    proptest! {
        /// Whatever comes and goes, each index grows with a change of its service, and falls never.
        #[test]
        fn an_index_never_falls(changes in prop::collection::vec((0..6_u8, any::<bool>()), 0..200)) {
            let name = |n: u8| Arc::new(key(&format!("s{n}")));
            let mut indexes = ServiceIndexes { limit: 3, ..ServiceIndexes::new(100) };
            let mut before = [100; 8];
            for (revision, (changed, is_there)) in (101..).zip(changes) {
                indexes.change(&name(changed), revision, is_there);
                prop_assert!(indexes.ended.len() <= 3 && indexes.ended.len() == indexes.ends.len());
                for n in 0..8 {
                    let now = indexes.of(&name(n));
                    prop_assert!(now >= before[usize::from(n)] && now <= revision);
                    prop_assert!(n != changed || now == revision);
                    before[usize::from(n)] = now;
                }
            }
        }
    }
}
