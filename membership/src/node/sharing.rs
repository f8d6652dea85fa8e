//! Sharing of what the nodes of one simulation hold alike.

use std::collections::BTreeMap;

use super::Node;
use super::view::SharedView;
use crate::base::datacenter::DatacenterId;
use crate::catalog::sharing::SharedOrigins;
use crate::datacenters::table::SharedTable;

/// What some node of a simulation holds. Nodes of one datacenter are the most alike: they learn the same at the same time.
#[derive(Debug, Default)]
pub struct Shared(BTreeMap<DatacenterId, SharedByPool>);

#[derive(Debug, Default)]
struct SharedByPool {
    origins: SharedOrigins,
    table: SharedTable,
    view: SharedView,
}

impl Node {
    /// Replaces what this node holds by equal parts that other nodes hold, and shares the rest. Nothing that the node does
    /// changes by that.
    pub fn share(&mut self, shared: &mut Shared) {
        let shared = shared.0.entry(self.wan.own()).or_default();
        self.spread.catalog_mut().share(&mut shared.origins);
        self.wan.table_mut().share(&mut shared.table);
        self.view.share(&mut shared.view);
    }
}
