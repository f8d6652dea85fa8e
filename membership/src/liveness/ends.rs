//! Ended lives: members that are down and are not expected back as they were.
//!
//! An operator ends a life by force-leave. A new life ends an earlier one at its address: a host that lost its disk comes
//! back under a new node id. Each node believes that of its own accord, so that a mistake stays with one node, and on
//! two conditions. The node holds the earlier life down. And the new life answers a ping of this node from exactly that
//! address after that; nobody can answer such a ping without having received it. A member that is active again for this
//! node, under whatever epoch, is not ended any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Liveness;
use super::detector::Said;
use super::facts::Fact;
use super::members::Peer;
use crate::base::identity::NodeId;
use crate::base::limits::MAX_SUCCESSORS_PINGED;
use crate::base::time::Time;

/// Pings of a successor before we give up: it may answer by stream only, or be known by hearsay only.
const MAX_TRIES: u8 = 5;

/// The cause for which a member that is down is not expected back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An operator forced it to leave.
    ForceLeft,
    /// This other node runs at its address now.
    Replaced(NodeId),
    /// An operator revoked it.
    Revoked,
}

/// The members that are down for good, and those that may have ended another. Both are known members, so there are no
/// more of them than members.
#[derive(Debug, Default)]
pub(super) struct Ends {
    ended: BTreeMap<NodeId, End>,
    /// Active members at the address of a member that is down, and how often each was pinged because of that. Ourselves
    /// among them.
    successors: BTreeMap<NodeId, u8>,
}

impl Liveness {
    /// The end of a member that is down for good.
    pub(crate) fn end_of(&self, node: NodeId) -> Option<End> {
        self.ends.ended.get(&node).copied()
    }

    /// Notes that an operator forced a member to leave, unless the member is active.
    pub(crate) fn note_force_leave(&mut self, node: NodeId) {
        if self.swim.members().get(node).is_some_and(|peer| !peer.is_active()) {
            self.end(node, End::ForceLeft);
        }
    }

    /// Takes a revoked node out of the members for good, whatever anybody says of it.
    pub(crate) fn shut_out(&mut self, node: NodeId, now: Time) {
        if self.swim.shut_out(node, now).is_err() {
            self.out.counters.swim_refused += 1;
        }
        self.take_swim_events(now);
        if self.swim.members().get(node).is_some() {
            self.end(node, End::Revoked);
        }
    }

    fn end(&mut self, node: NodeId, end: End) {
        self.ends.ended.insert(node, end);
        self.out.tell(Fact::Member(node));
    }

    /// Reviews a member that came, went or changed: whether it ended, and whether it may have ended another.
    pub(super) fn review_ends(&mut self, node: NodeId) {
        let members = self.swim.members();
        let peer = members.get(node).copied();
        if peer.is_none_or(|peer| peer.is_active()) {
            self.ends.ended.remove(&node);
        }
        self.ends.successors.remove(&node);
        let Some(Peer { identity, .. }) = peer else { return };
        let has_place = identity.addr == self.identity().addr;
        let active = members.at(identity.addr).filter(|at| members.active(*at).is_some());
        let successors: Vec<NodeId> =
            active.chain(has_place.then_some(self.identity().node_id)).collect();
        if members.at(identity.addr).count() + usize::from(has_place) > 1 {
            self.ends.successors.extend(successors.into_iter().map(|node| (node, 0)));
        }
    }

    /// Pings some members at the addresses of earlier lives that are down. The nodes that watch them hear them anyway.
    pub(super) fn look_for_successors(&mut self, now: Time) {
        let (own, addr) = (self.identity().node_id, self.identity().addr);
        if self.ends.successors.remove(&own).is_some() {
            self.end_earlier_lives(own, addr);
        }
        let due: Vec<NodeId> =
            self.ends.successors.keys().copied().take(MAX_SUCCESSORS_PINGED).collect();
        for node in due {
            let tries = self.ends.successors.remove(&node).unwrap_or(MAX_TRIES);
            let addr = self.swim.active_peer(node).map(|identity| identity.addr);
            if tries < MAX_TRIES
                && addr.is_some_and(|addr| !self.earlier_lives(node, addr).is_empty())
            {
                self.ends.successors.insert(node, tries + 1);
                self.detector.check(node, Said::Successor, now);
            }
        }
    }

    /// Notes that a member answered a ping of ours from this address.
    pub(super) fn answered_from(&mut self, node: NodeId, from: SocketAddr) {
        let addr = self.swim.active_peer(node).map(|identity| identity.addr);
        // A socket for both families sees IPv4 addresses as IPv6 ones.
        let is_there = |addr: &SocketAddr| {
            (addr.ip().to_canonical(), addr.port()) == (from.ip().to_canonical(), from.port())
        };
        if let Some(addr) = addr.filter(is_there) {
            self.end_earlier_lives(node, addr);
        }
    }

    fn end_earlier_lives(&mut self, by: NodeId, addr: SocketAddr) {
        for node in self.earlier_lives(by, addr) {
            self.out.counters.lives_replaced += 1;
            self.end(node, End::Replaced(by));
        }
    }

    /// Members that are down, were last known at this address, and did not end yet.
    fn earlier_lives(&self, by: NodeId, addr: SocketAddr) -> Vec<NodeId> {
        let members = self.swim.members();
        if members.down().is_empty() {
            return Vec::new();
        }
        let is_down = |node: &NodeId| members.get(*node).is_some_and(|peer| !peer.is_active());
        let others = members.at(addr).filter(|node| *node != by && is_down(node));
        others.filter(|node| !self.ends.ended.contains_key(node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cluster::ClusterId;
    use crate::base::identity::{Epoch, Identity};
    use crate::base::io::StreamNumbers;
    use crate::base::protocol::Protocol;
    use crate::wire::Envelope;

    /// The host of a node; 2 and 3 are lives of one host.
    fn identity(node: u64) -> Identity {
        let host = if node == 3 { 2 } else { node as u8 };
        let addr = ([10, 0, 0, host], 7_946).into();
        Identity { node_id: NodeId(node), epoch: Epoch(5), addr, sync_port: 7_947 }
    }

    /// A node that knows three others, of which one is down.
    fn with_one_down() -> Liveness {
        let envelope = Envelope::clear(ClusterId::default());
        let streams = StreamNumbers::new(2, 2);
        let protocol = Protocol::default();
        let mut liveness =
            Liveness::new(envelope, identity(1), 0, &protocol, streams, 3, Time::ZERO);
        for node in [2, 3, 4] {
            liveness.believe_alive(identity(node), Time::ZERO);
        }
        assert!(liveness.declare_down(NodeId(2), Time::ZERO));
        liveness.settle(Time::ZERO);
        liveness
    }

    #[test]
    fn only_an_answer_from_the_very_address_ends_an_earlier_life_there() {
        let mut liveness = with_one_down();
        liveness.answered_from(NodeId(3), identity(4).addr);
        liveness.answered_from(NodeId(4), identity(2).addr);
        liveness.answered_from(NodeId(2), identity(2).addr);
        assert_eq!(liveness.end_of(NodeId(2)), None);
        let mapped = "[::ffff:10.0.0.2]:7946".parse().expect("an address");
        liveness.answered_from(NodeId(3), mapped);
        assert_eq!(liveness.end_of(NodeId(2)), Some(End::Replaced(NodeId(3))));
        assert_eq!(liveness.end_of(NodeId(3)), None);
        let back = Identity { epoch: Epoch(6), ..identity(2) };
        liveness.believe_alive(back, Time::ZERO);
        liveness.settle(Time::ZERO);
        assert_eq!(liveness.end_of(NodeId(2)), None, "it is active again");
        liveness.answered_from(NodeId(3), mapped);
        assert_eq!(liveness.end_of(NodeId(2)), None, "a living member is not ended");
    }

    #[test]
    fn nothing_of_a_forgotten_member_is_kept() {
        let mut liveness = with_one_down();
        liveness.note_force_leave(NodeId(2));
        liveness.note_force_leave(NodeId(4));
        assert_eq!(liveness.end_of(NodeId(2)), Some(End::ForceLeft));
        assert_eq!(liveness.end_of(NodeId(4)), None, "it is alive");
        assert!(liveness.belief(NodeId(2)).is_some());
        liveness.prune(NodeId(2), Time::ZERO);
        liveness.settle(Time::ZERO);
        assert!(liveness.members().get(NodeId(2)).is_none());
        assert!(liveness.beliefs.is_empty() && liveness.ends.ended.is_empty());
    }
}
