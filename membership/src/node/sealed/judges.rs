//! By what the owner of a node judges the orders of an operator.

use hobnob_keys::{Membership, Revocations, Trust};

use crate::base::time::Time;
use crate::node::Node;

impl Node {
    /// The CA keys that the members of a sealed cluster trust; `None` in a clear cluster.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        self.guard.as_ref().map(|guard| guard.trust())
    }

    /// The revocations; `None` in a clear cluster.
    #[must_use]
    pub fn revoked(&self) -> Option<&Revocations> {
        self.guard.as_ref().map(|guard| guard.revocations())
    }

    /// The membership of this node, and those of all members whose certificates it knows, also of members that are gone.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        let guard = self.guard.as_ref();
        let own = guard.map(|guard| guard.own());
        let others = guard.into_iter().flat_map(|guard| guard.members());
        own.into_iter().chain(others)
    }

    /// When another generation comes into use.
    #[must_use]
    pub fn next_switch(&self, now: Time) -> Option<Time> {
        self.guard.as_ref().and_then(|guard| guard.sealer.keyring.next_switch(now))
    }
}
