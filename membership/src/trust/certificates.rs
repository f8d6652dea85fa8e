//! The members whose certificates this node has verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_keys::{Membership, PublicKey, Revocations};

use super::node_of;
use crate::base::identity::NodeId;
use crate::base::limits::MAX_CERTIFICATES;

/// Verified memberships, each pinned to the full key of its node.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    members: BTreeMap<NodeId, Arc<Membership>>,
    /// Members that were not remembered because there were too many.
    given_up: u64,
}

impl Certificates {
    /// Remembers a membership that counts, and returns whether it is news. A node id stays with the key that had it first.
    pub(crate) fn remember(&mut self, membership: Arc<Membership>) -> bool {
        let node = node_of(&membership.public_key());
        match self.members.get(&node) {
            Some(known) if *known == membership => return false,
            Some(known) if known.public_key() != membership.public_key() => return false,
            None if self.members.len() >= MAX_CERTIFICATES => {
                self.given_up += 1;
                return false;
            }
            _ => {}
        }
        self.members.insert(node, membership);
        true
    }

    /// Whether a node with this very key is known.
    pub(crate) fn knows(&self, key: &PublicKey) -> bool {
        self.get(node_of(key)).is_some_and(|known| known.public_key() == *key)
    }

    /// Whether the node id of this key belongs to another key.
    pub(crate) fn contradicts(&self, key: &PublicKey) -> bool {
        self.get(node_of(key)).is_some_and(|known| known.public_key() != *key)
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Arc<Membership>> {
        self.members.get(&node)
    }

    /// Forgets all members but those with some property.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&Membership) -> bool) {
        self.members.retain(|_, member| keeps(member));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Membership> {
        self.members.values().map(|member| &**member)
    }

    /// The nodes that these revocations revoke, by their key or by their token.
    pub(crate) fn revoked_by(&self, revocations: &Revocations) -> impl Iterator<Item = NodeId> {
        let revoked = self.members.iter().filter(|(_, member)| revocations.revokes(member));
        revoked.map(|(node, _)| *node)
    }

    /// Members that were not remembered because there were too many.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }
}
