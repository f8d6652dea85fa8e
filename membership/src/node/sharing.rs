//! Sharing of what the nodes of one simulation hold alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Node;
use super::view::Instance;
use crate::base::identity::NodeId;
use crate::catalog::record::{NodeRecord, Text};
use crate::catalog::sharing::SharedOrigins;

/// Records and instances as some node of a simulation holds them.
#[derive(Debug, Default)]
pub struct Shared {
    origins: SharedOrigins,
    instances: BTreeMap<(NodeId, Text), Arc<Instance>>,
    nodes: BTreeMap<NodeId, Arc<NodeRecord>>,
}

impl Node {
    /// Replaces what this node holds by equal parts that other nodes hold, and shares the rest. Nothing that the node does
    /// changes by that.
    pub fn share(&mut self, shared: &mut Shared) {
        self.spread.catalog_mut().share(&mut shared.origins);
        for (key, own) in self.view.instances_mut() {
            match shared.instances.get(key) {
                Some(known) if Arc::ptr_eq(known, own) => {}
                Some(known) if known == own => *own = Arc::clone(known),
                _ => {
                    shared.instances.insert(key.clone(), Arc::clone(own));
                }
            }
        }
        for (id, own) in self.view.node_records_mut() {
            let known = shared.nodes.entry(id).or_insert_with(|| Arc::clone(own));
            if known == own {
                *own = Arc::clone(known);
            } else {
                *known = Arc::clone(own);
            }
        }
    }
}
