//! Carrying out the orders of the detector, and noticing that datagrams are blocked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Liveness;
use super::detector::Order;
use super::facts::Fact;
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::wire::{Ask, Compare, Message, Ping};

/// Datagrams count as blocked after this time without an answer by datagram. A shorter loss may be chance.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);

/// Whether datagrams get through to the members that we watch.
#[derive(Debug, Default)]
pub(super) struct DatagramPath {
    /// Since when all members that we watch answer by stream alone.
    by_stream_since: Option<Time>,
    is_blocked: bool,
}

impl Liveness {
    /// Whether all members that we watch answer by stream alone, and have done so for some time.
    pub(crate) fn are_datagrams_blocked(&self) -> bool {
        self.datagram_path.is_blocked
    }

    /// Notes whether datagrams get through to the members that we watch, and tells the node of a change. Blocked
    /// datagrams leave only streams, which are slower, and the owner should know the reason.
    pub(super) fn note_blocked_datagrams(&mut self, now: Time) {
        let path = &mut self.datagram_path;
        let since = self.detector.hears_by_stream_alone(now);
        path.by_stream_since = since.then(|| path.by_stream_since.unwrap_or(now));
        let blocked = path.by_stream_since.is_some_and(|since| now.since(since) >= BLOCKED_AFTER);
        match (std::mem::replace(&mut path.is_blocked, blocked), blocked) {
            (false, true) => self.out.tell(Fact::DatagramsBlocked),
            (true, false) => self.out.tell(Fact::DatagramsPass),
            _ => {}
        }
    }

    /// Carries out the orders of the detector, and sends the member updates that are due.
    pub(super) fn follow_detector(&mut self, now: Time) {
        self.detector.reassign(&self.swim, now);
        let mut questions = BTreeMap::new();
        while let Some(order) = self.detector.poll_order() {
            self.carry_out(order, &mut questions, now);
            self.take_swim_events(now);
        }
        for (addr, messages) in questions {
            for packed in self.out.pack(messages) {
                self.out.send_packed(addr, packed);
            }
        }
        self.detector.reassign(&self.swim, now);
        if let Some(round_trip) = self.detector.take_far_pool() {
            self.out.counters.pool_is_far += 1;
            self.out.tell(Fact::FarPool(round_trip));
        }
        let tally = self.detector.take_tally();
        self.out.counters.accusations += tally.accusations;
        self.out.counters.acquittals += tally.acquittals;
        self.out.counters.indirect_probes_refused += tally.refused;
        self.out.counters.stalls += tally.stalls;
        self.flush_member_updates(now);
    }

    /// Carries out an order. Questions to referees and votes are left to be sent together, since there are very many of
    /// them when most of the cluster vanishes at once.
    fn carry_out(
        &mut self,
        order: Order,
        questions: &mut BTreeMap<SocketAddr, Vec<Message>>,
        now: Time,
    ) {
        let own = self.identity().node_id;
        match order {
            Order::Ping(node, nonce) => self.ping(node, nonce),
            Order::StreamProbe(node, nonce) => self.stream_probe(node, nonce, now),
            Order::TcpProbe(node, nonce) => {
                if let Some(to) = self.address_of(node).filter(|to| !self.has_successor(node, *to))
                {
                    self.out.counters.tcp_probes_sent += 1;
                    self.out.probe_tcp(to, node, nonce);
                }
            }
            Order::Ask(referee, suspect, epoch) => {
                if let Some(addr) = self.address_of(referee) {
                    let ask = Message::Ask(Ask { sender: own, suspect, epoch });
                    questions.entry(addr).or_default().push(ask);
                }
            }
            Order::Vote(asker, vote) => {
                if let Some(addr) = self.address_of(asker) {
                    questions.entry(addr).or_default().push(Message::Vote(vote));
                }
            }
            Order::Decide(verdict, told_by) => {
                if verdict.accuser == own {
                    self.out.counters.verdicts_passed += 1;
                }
                if verdict.accuser == own && verdict.referees.is_empty() {
                    self.believe_alone(verdict, now);
                } else {
                    self.believe(verdict, told_by, now);
                }
            }
            // Nodes that hold a disputed member down ask it themselves, if they reach it.
            Order::Warn(node) if self.disputes.is_disputed(node, now) => {}
            Order::Warn(node) => self.warn(node, now),
            Order::Revive(identity) => {
                self.trust_again(identity.node_id, now);
                self.believe_alive(identity, now);
            }
            Order::LinkBroken(node) => {
                self.out.counters.link_breaks += 1;
                self.out.tell(Fact::LinkBroken(node));
            }
            Order::LinkEnded(node, end) => self.out.tell(Fact::LinkEnded(node, end)),
            Order::Compare(node) => {
                if let Some(addr) = self.address_of(node) {
                    self.out.counters.views_compared += 1;
                    let buckets = self.short_digests();
                    let compare = Compare { sender: own, buckets, tables: self.tables };
                    self.out.send(addr, &Message::Compare(compare));
                }
            }
        }
    }

    fn ping(&mut self, node: NodeId, nonce: [u8; 4]) {
        let Some(peer) = self.swim.members().get(node).copied() else { return };
        let addr = peer.identity.addr;
        if !peer.is_proven {
            self.proofs.asked(node, nonce, addr);
        }
        let sender = self.identity().node_id;
        self.out.counters.pings_sent += 1;
        self.out.send_to(addr, node, &Message::Ping(Ping { sender, nonce }));
    }

    /// Pings a member whose process may have exited.
    pub(super) fn ping_suspect(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        self.detector.expect_pong(node, nonce, now);
        self.ping(node, nonce);
    }

    /// Whether another member is alive at the address of a suspect, and would answer a TCP probe of the suspect. A host
    /// that lost its disk comes back with a new node id at the old address.
    pub(super) fn has_successor(&self, node: NodeId, addr: SocketAddr) -> bool {
        let members = self.swim.members();
        let mut others = members.at(addr).filter(|other| *other != node);
        addr == self.identity().addr || others.any(|other| members.active(other).is_some())
    }

    pub(super) fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.swim.members().get(node).map(|peer| peer.identity.addr)
    }
}

/// The low half of a digest.
pub(super) fn short(digest: u64) -> [u8; 4] {
    let [short @ .., _, _, _, _] = digest.to_le_bytes();
    short
}
