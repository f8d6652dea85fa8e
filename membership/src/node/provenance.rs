//! What a node can say of where its beliefs come from.

use super::Node;
use crate::identity::NodeId;
use crate::provenance::{Provenance, Sign};
use crate::time::Time;

impl Node {
    /// When a node was last heard, and how the latest news of its records came.
    #[must_use]
    pub fn provenance(&self, node: NodeId) -> Provenance {
        self.provenances.get(node)
    }

    /// Since when a member is no longer active; `None` while it is, or when it is unknown.
    #[must_use]
    pub fn down_since(&self, node: NodeId) -> Option<Time> {
        self.swim.peers().get(&node)?.down_since
    }

    /// Whether we know that others have records of an origin that we do not.
    #[must_use]
    pub fn lacks(&self, origin: NodeId) -> bool {
        self.gaps.is_open(origin)
    }

    /// Notes that a member was heard; strangers may claim any name.
    pub(super) fn note_heard(&mut self, node: NodeId, by: Sign, now: Time) {
        if self.swim.peers().contains_key(&node) {
            self.provenances.heard(node, by, now);
        }
    }

    /// Forgets where news came from of a node that nobody speaks of any more.
    pub(super) fn forget_provenance(&mut self, node: NodeId) {
        if !self.swim.peers().contains_key(&node) && self.catalog.origin(node).is_none() {
            self.provenances.forget(node);
        }
    }
}
