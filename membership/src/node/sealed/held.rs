//! The keys, certificates and revocations that a node of a sealed cluster holds: for its owner, who keeps them on the disk and judges orders
//! by them.

use std::collections::BTreeSet;

use hobnob_keys::{
    Certificate, Generation, Membership, PublicKey, Revocations, SignedCommand, Trust,
};

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::node::Node;

impl Node {
    /// The public key of this node; `None` in a clear cluster.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.guard.as_ref().map(|guard| guard.own().public_key())
    }

    /// The generations that the disk should keep, each with whether it is in use.
    #[must_use]
    pub fn generations(&self, now: Time) -> Vec<(Generation, bool)> {
        self.guard.as_ref().map(|guard| guard.generations(now)).unwrap_or_default()
    }

    /// The generations that open what other members seal, each with whether this node seals with it.
    pub fn opening_generations(&self, now: Time) -> impl Iterator<Item = (&Generation, bool)> {
        let keyring = self.guard.as_ref().map(|guard| &guard.sealer.keyring);
        keyring.into_iter().flat_map(move |keyring| keyring.opening(now))
    }

    /// The revocations that the disk should keep.
    #[must_use]
    pub fn revocations(&self) -> Vec<SignedCommand> {
        let revocations = self.guard.as_ref().map(|guard| guard.revocations().iter());
        revocations.into_iter().flatten().map(|(_, command)| command.clone()).collect()
    }

    /// The certificates of other members that the disk should keep. A member with one of them is let in whatever the clocks say.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        let members = self.guard.as_ref().map(|guard| guard.members());
        members.into_iter().flatten().map(|member| member.certificate().clone()).collect()
    }

    /// Whether a member may be about to let this node in: an agent answers where it was told to join, and has not shown lately
    /// that it waits outside itself.
    #[must_use]
    pub fn may_be_let_in(&self, now: Time) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.may_be_let_in(now))
    }

    /// Whether a node is revoked.
    #[must_use]
    pub fn is_revoked(&self, node: NodeId) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.is_revoked(node))
    }

    /// The nodes that are revoked, as far as their keys or their certificates are known.
    pub fn revoked_nodes(&self) -> impl ExactSizeIterator<Item = NodeId> {
        static NONE: BTreeSet<NodeId> = BTreeSet::new();
        self.guard.as_ref().map_or(&NONE, |guard| guard.revoked_nodes()).iter().copied()
    }

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
