//! Nodes that know each other from the start.
//!
//! That thousands of nodes join takes a simulation far longer than what is to be measured afterwards. So nodes can be given
//! what they would know if they had joined long ago. Those of one datacenter share it, and take room for one alone.

use std::collections::BTreeMap;

use super::Node;
use super::view::View;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::catalog::{Applied, Catalog, Delta, Standing};
use crate::datacenters::table::Table;
use crate::wire::RemoteMember;

/// What all nodes of a clear cluster know once they have joined.
#[derive(Default)]
pub struct Settled {
    members: BTreeMap<DatacenterId, Vec<Acquaintance>>,
    /// What the first node of each datacenter made of it.
    known: BTreeMap<DatacenterId, Known>,
}

/// A node, as it tells of itself.
struct Acquaintance {
    identity: Identity,
    member: Option<RemoteMember>,
    records: Option<Delta>,
}

/// What a node of a datacenter knows.
struct Known {
    catalog: Catalog,
    table: Table,
    view: View,
}

impl Settled {
    /// All that these nodes tell of themselves.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let mut settled = Self::default();
        for node in nodes {
            let identity = *node.identity();
            let table = node.wan.table();
            let nothing = Catalog::new(NodeId(0), identity.epoch).want(identity.node_id);
            settled.members.entry(node.wan.own()).or_default().push(Acquaintance {
                identity,
                member: table.get(identity.node_id).map(|entry| table.told(entry)),
                records: node.catalog().answer(&nothing, usize::MAX),
            });
        }
        settled
    }
}

impl Node {
    /// Makes this node know all others, as if it had joined long ago. Only the first node of a datacenter tells its owner of
    /// them. As after [`handle`](Self::handle), the driver takes the outputs.
    pub fn settle_among(&mut self, settled: &mut Settled, now: Time) {
        let home = self.wan.own();
        self.spread.forget_own_news();
        let known = settled.known.get(&home);
        if let Some(known) = known {
            self.spread.catalog_mut().adopt(&known.catalog);
            self.wan.adopt(&known.table);
            self.view = known.view.clone();
        }
        let is_first = known.is_none();
        let mates = settled.members.get(&home).into_iter().flatten();
        let roster = mates.map(|mate| mate.identity).collect();
        self.liveness.handle_roster(roster, None, now);
        self.settle(now);
        if is_first {
            self.learn_of_all(settled, now);
            let catalog = self.catalog().clone();
            let (table, view) = (self.wan.table().clone(), self.view.clone());
            settled.known.insert(home, Known { catalog, table, view });
        }
    }

    fn learn_of_all(&mut self, settled: &Settled, now: Time) {
        for (datacenter, members) in &settled.members {
            let told: Vec<_> = members.iter().filter_map(|it| it.member.clone()).collect();
            if *datacenter != self.wan.own() {
                self.wan.merge_told(&told, *datacenter, now);
            }
        }
        self.settle(now);
        let records = settled.members.values().flatten().filter_map(|it| it.records.as_ref());
        for delta in records {
            let applied = self.spread.catalog_mut().apply(delta, Standing::Active);
            if let Applied::News(keys) = applied {
                self.refresh(delta.origin, &keys);
                self.review_home(delta.origin, now);
                self.refresh_member(delta.origin, now);
            }
        }
        self.settle(now);
    }
}
