//! Sharing of equal records between the nodes of one simulation.
//!
//! In a cluster that has settled, all nodes hold the same records. A simulation of thousands of nodes has no room for a copy
//! in each: they keep one together, and a node that changes a part copies that part first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Catalog, Origin};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::base::shared_map::SharedMap;

/// The origins as some node holds them.
#[derive(Debug, Default)]
pub(crate) struct SharedOrigins {
    each: BTreeMap<NodeId, Arc<Origin>>,
    all: SharedMap<NodeId, Arc<Origin>>,
    homes: SharedMap<NodeId, DatacenterId>,
}

impl Catalog {
    /// Takes all records that another node holds, which knows ours.
    pub(crate) fn adopt(&mut self, other: &Self) {
        let bytes_of = |id: NodeId| other.origins.get(&id).map_or(0, |origin| origin.bytes());
        let (own, others) = (bytes_of(self.own), bytes_of(other.own));
        let before = std::mem::replace(self, other.clone());
        (self.own, self.epoch) = (before.own, before.epoch);
        if let Some(origin) = before.origins.get(&before.own) {
            self.origins.insert(before.own, Arc::clone(origin));
        }
        self.room.exchange(own, others);
    }

    /// Replaces each origin by an equal one that is shared already, and shares the others.
    pub(crate) fn share(&mut self, shared: &mut SharedOrigins) {
        self.digests.share(&mut shared.homes);
        if shared.all.share(&mut self.origins) {
            return;
        }
        let mut equal = Vec::new();
        for (id, own) in &self.origins {
            let known = shared.each.entry(*id).or_insert_with(|| Arc::clone(own));
            if Arc::ptr_eq(known, own) {
                continue;
            }
            if known == own {
                equal.push((*id, Arc::clone(known)));
            } else if is_later(own, known) {
                *known = Arc::clone(own);
            }
        }
        for (id, known) in equal {
            self.origins.insert(id, known);
        }
    }
}

/// Whether an origin is known further in one catalog than in another.
fn is_later(origin: &Origin, other: &Origin) -> bool {
    let head = |origin: &Origin| origin.current().map(|it| (it.epoch(), it.known_to()));
    head(origin) >= head(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;
    use crate::catalog::{Applied, Standing};
    use crate::record::{Health, Key, Value};
    use crate::testing::{health, instance, record};

    #[test]
    fn equal_origins_are_kept_once_until_one_changes() {
        let ids = [1, 2, 3].map(NodeId);
        let [mut origin, mut left, mut right] = ids.map(|id| Catalog::new(id, Epoch(1)));
        let mut shared = SharedOrigins::default();
        let write = |origin: &mut Catalog, records| {
            origin.write(records).expect("legal records");
        };
        let copy = |origin: &Catalog, to: &mut Catalog| {
            let delta = origin.answer(&to.want(ids[0]), 1_000).expect("news");
            assert!(matches!(to.apply(&delta, Standing::Active), Applied::News(_)));
        };
        let node = vec![(Key::Node, Some(Value::Node(record(1).into())))];
        write(&mut origin, node.into_iter().chain(instance("web")).collect());
        copy(&origin, &mut left);
        copy(&origin, &mut right);
        [&mut left, &mut right].into_iter().for_each(|catalog| catalog.share(&mut shared));
        let is_shared = |left: &Catalog, right: &Catalog| {
            Arc::ptr_eq(&left.origins[&ids[0]], &right.origins[&ids[0]])
        };
        assert!(is_shared(&left, &right));
        let before = right.clone();
        write(&mut origin, health("web", Health::Passing));
        copy(&origin, &mut left);
        assert_eq!(right, before, "a change of one copy concerns no other");
        right.share(&mut shared);
        left.share(&mut shared);
        assert!(!is_shared(&left, &right));
        copy(&origin, &mut right);
        right.share(&mut shared);
        assert!(is_shared(&left, &right));
    }
}
