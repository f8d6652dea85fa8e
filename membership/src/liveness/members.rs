//! The members that a node knows: a table, a ring of the active ones, and digests of their identities.
//!
//! foca's own list is a vector without an index. This table answers the questions of every packet without a search
//! through all members: which members are active, which are not, and whether two nodes have the same view.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_MEMBER_BUCKETS;
use crate::base::time::Time;
use crate::liveness::heard::Heard;
use crate::liveness::ring::{self, Ring};

/// A member as SWIM sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    /// When it stopped being active; `None` while it is.
    pub(crate) down_since: Option<Time>,
    /// When we last heard it.
    pub(crate) heard: Option<Heard>,
    /// Whether it answered a ping of ours at its address.
    pub(crate) is_proven: bool,
}

impl Peer {
    pub(crate) fn is_active(&self) -> bool {
        self.down_since.is_none()
    }
}

/// Every member that we know, ourselves not included.
#[derive(Debug)]
pub(crate) struct Members {
    peers: BTreeMap<NodeId, Peer>,
    /// The members that are not active.
    down: BTreeSet<NodeId>,
    /// All members by their addresses. Two members have one address when a host comes back under a new node id.
    addresses: BTreeSet<(SocketAddr, NodeId)>,
    ring: Ring,
    /// A digest of the active members on each part of the ring.
    buckets: Vec<u64>,
    /// The digest of all active members: the XOR of `buckets`.
    digest: u64,
    generation: u64,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            down: BTreeSet::new(),
            addresses: BTreeSet::new(),
            ring: Ring::default(),
            buckets: vec![0; MAX_MEMBER_BUCKETS],
            digest: 0,
            generation: 0,
        }
    }
}

impl Members {
    pub(crate) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    pub(crate) fn active(&self, node: NodeId) -> Option<&Identity> {
        self.get(node).filter(|peer| peer.is_active()).map(|peer| &peer.identity)
    }

    /// All members, by node id.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &Peer)> {
        self.peers.iter().map(|(node, peer)| (*node, peer))
    }

    /// The active members, by node id.
    pub(crate) fn iter_active(&self) -> impl Iterator<Item = &Identity> {
        self.peers.values().filter(|peer| peer.is_active()).map(|peer| &peer.identity)
    }

    /// The members that are not active.
    pub(crate) fn down(&self) -> &BTreeSet<NodeId> {
        &self.down
    }

    /// The members that are not active, with their entries, by node id.
    pub(crate) fn iter_down(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.down.iter().filter_map(|node| Some((*node, self.peers.get(node)?)))
    }

    /// The members at an address, active or not.
    pub(crate) fn at(&self, addr: SocketAddr) -> impl Iterator<Item = NodeId> {
        let range = (addr, NodeId(0))..=(addr, NodeId(u64::MAX));
        self.addresses.range(range).map(|(_, node)| *node)
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The active members on the ring.
    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// One hash of the identities of all active members.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// One hash of the identities of the active members on each part of the ring.
    pub(crate) fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// A number that changes whenever an active member comes, goes or changes.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Sets what is believed of a member: its identity, and when it went down, or `None` if it is active.
    pub(crate) fn set(&mut self, identity: Identity, down_since: Option<Time>) {
        let node = identity.node_id;
        let before = self.peers.get(&node).copied();
        if let Some(before) = before.filter(Peer::is_active) {
            self.toggle(&before.identity);
        }
        if down_since.is_none() {
            self.toggle(&identity);
            self.ring.insert(node);
            self.down.remove(&node);
        } else {
            self.ring.remove(node);
            self.down.insert(node);
        }
        self.generation += 1;
        if let Some(before) = before {
            self.addresses.remove(&(before.identity.addr, node));
        }
        self.addresses.insert((identity.addr, node));
        let heard = before.and_then(|before| before.heard);
        let is_proven = before.is_some_and(|it| it.is_proven && it.identity.addr == identity.addr);
        self.peers.insert(node, Peer { identity, down_since, heard, is_proven });
    }

    /// Notes that a member answered a ping at this address. Returns whether that is its address, and news.
    pub(crate) fn prove(&mut self, node: NodeId, addr: SocketAddr) -> bool {
        let peer = self.peers.get_mut(&node).filter(|peer| peer.identity.addr == addr);
        peer.is_some_and(|peer| !std::mem::replace(&mut peer.is_proven, true))
    }

    /// Drops a member if it is known under this identity and not active. Returns whether it was dropped.
    pub(crate) fn remove_down(&mut self, identity: &Identity) -> bool {
        let node = identity.node_id;
        let stale = |peer: &Peer| peer.identity == *identity && !peer.is_active();
        if !self.get(node).is_some_and(stale) {
            return false;
        }
        self.peers.remove(&node);
        self.down.remove(&node);
        self.addresses.remove(&(identity.addr, node));
        true
    }

    /// Notes that a member was heard, and returns its entry.
    pub(crate) fn heard(&mut self, node: NodeId, heard: Heard) -> Option<&Peer> {
        let peer = self.peers.get_mut(&node)?;
        peer.heard = Some(heard);
        Some(peer)
    }

    fn toggle(&mut self, identity: &Identity) {
        let hash = member_hash(identity);
        self.buckets[bucket_of(identity.node_id)] ^= hash;
        self.digest ^= hash;
    }
}

/// The hash of one member that goes into the digest.
pub(crate) fn member_hash(identity: &Identity) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&identity.node_id.0.to_le_bytes());
    bytes[8..].copy_from_slice(&identity.epoch.0.to_le_bytes());
    xxh3_64(&bytes)
}

/// The part of the ring on which a member is placed.
pub(crate) fn bucket_of(node: NodeId) -> usize {
    usize::from(ring::position(node).to_be_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;

    fn identity(node: u64, epoch: u64) -> Identity {
        let addr = ([10, 0, 0, 1], 7_950).into();
        Identity { node_id: NodeId(node), epoch: Epoch(epoch), addr, sync_port: 7_950 }
    }

    #[test]
    fn the_digests_and_the_ring_depend_on_the_active_members_alone() {
        let mut straight = Members::default();
        (2..9).for_each(|node| straight.set(identity(node, 2), None));
        let mut winding = Members::default();
        for node in 1..9 {
            winding.set(identity(node, 1), None);
            winding.set(identity(node, 1), Some(Time::from_millis(1)));
        }
        (2..9).for_each(|node| winding.set(identity(node, 2), None));
        assert_eq!(winding.digest(), straight.digest());
        assert_eq!(winding.buckets(), straight.buckets());
        assert_eq!(winding.ring().len(), 7);
        assert_eq!(winding.iter_active().count(), 7);
        assert_eq!(winding.down(), &BTreeSet::from([NodeId(1)]));
        assert!(!winding.remove_down(&identity(2, 2)), "an active member stays");
        assert!(winding.remove_down(&identity(1, 1)));
        assert_eq!((winding.len(), winding.down().len()), (7, 0));
    }

    #[test]
    fn a_proof_holds_for_one_address() {
        let mut members = Members::default();
        let there = ([10, 0, 0, 2], 7_950).into();
        let moved = Identity { addr: there, ..identity(1, 3) };
        let is_proven =
            |members: &Members| members.get(NodeId(1)).is_some_and(|peer| peer.is_proven);
        members.set(identity(1, 1), None);
        assert!(!members.prove(NodeId(1), there) && !is_proven(&members));
        assert!(members.prove(NodeId(1), identity(1, 1).addr));
        assert!(!members.prove(NodeId(1), identity(1, 1).addr), "no news");
        members.set(identity(1, 2), Some(Time::ZERO));
        assert!(is_proven(&members), "the same address in a later epoch");
        members.set(moved, None);
        assert!(!is_proven(&members));
    }

    #[test]
    fn members_are_found_at_the_address_that_they_had_last() {
        let mut members = Members::default();
        let there = ([10, 0, 0, 2], 7_950).into();
        members.set(identity(1, 1), None);
        members.set(identity(2, 1), None);
        members.set(Identity { addr: there, ..identity(2, 2) }, Some(Time::ZERO));
        let at = |members: &Members, addr| members.at(addr).collect::<Vec<_>>();
        assert_eq!(at(&members, identity(1, 1).addr), [NodeId(1)]);
        assert_eq!(at(&members, there), [NodeId(2)]);
        assert!(members.remove_down(&Identity { addr: there, ..identity(2, 2) }));
        assert_eq!(at(&members, there), []);
    }
}
