//! Proofs of addresses, and answers to addresses that are not proven.
//!
//! The source of a datagram can be forged, and anybody can tell us of a member at any address. The address of a member is
//! *proven* once the member has answered a ping that we sent there. An address that is not proven gets no more than about
//! the bytes that came in its name, so that a node is of no use for a flood.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rand::Rng;

use super::Liveness;
use super::facts::Fact;
use crate::base::identity::NodeId;
use crate::base::limits::{MAX_ANSWER_GROWTH, MAX_PROOFS_AWAITED};
use crate::base::time::Time;
use crate::wire::{Message, Packed, Ping, pong_tag};

/// Pings that prove an address when they are answered, and the bytes that one datagram may cause.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// The member and its address, by the tag that the pong will carry.
    awaited: BTreeMap<[u8; 4], (NodeId, SocketAddr)>,
    /// The same tags, the oldest first.
    sent: VecDeque<[u8; 4]>,
    /// Bytes of the datagram that is being handled; `None` while there is none.
    received: Option<usize>,
    /// Bytes that the datagram has caused so far, for each address that is not proven.
    caused: BTreeMap<SocketAddr, usize>,
}

impl Proofs {
    /// Notes a ping to a member at this address. Forgets the oldest when there are too many.
    pub(super) fn asked(&mut self, node: NodeId, nonce: [u8; 4], addr: SocketAddr) {
        let tag = pong_tag(node, nonce);
        if self.awaited.insert(tag, (node, addr)).is_some() {
            return;
        }
        self.sent.push_back(tag);
        if self.sent.len() > MAX_PROOFS_AWAITED
            && let Some(oldest) = self.sent.pop_front()
        {
            self.awaited.remove(&oldest);
        }
    }

    /// The member and the address that a pong with this tag proves.
    fn answered(&mut self, tag: [u8; 4]) -> Option<(NodeId, SocketAddr)> {
        let answered = self.awaited.remove(&tag)?;
        self.sent.retain(|other| *other != tag);
        Some(answered)
    }

    /// Whether so many bytes may go to an address that is not proven. If they may, they are counted.
    fn allows(&mut self, to: SocketAddr, bytes: usize) -> bool {
        let Some(received) = self.received else { return true };
        let caused = self.caused.entry(to).or_default();
        let allowed = *caused + bytes <= received * MAX_ANSWER_GROWTH;
        *caused += if allowed { bytes } else { 0 };
        allowed
    }
}

impl Liveness {
    /// A datagram of this many bytes is about to be handled.
    pub(crate) fn begin_datagram(&mut self, bytes: usize) {
        self.proofs.received = Some(bytes);
    }

    /// The datagram was handled. What is sent from now on answers none.
    pub(crate) fn end_datagram(&mut self) {
        self.proofs.received = None;
        self.proofs.caused.clear();
    }

    /// Whether a member is active and has not answered at its address yet.
    pub(crate) fn must_prove(&self, node: NodeId) -> bool {
        let peer = self.swim.members().get(node);
        peer.is_some_and(|peer| peer.is_active() && !peer.is_proven)
    }

    /// Whether a member answered a ping at this address.
    pub(super) fn is_proven_at(&self, addr: SocketAddr) -> bool {
        // A socket for both families sees IPv4 addresses as IPv6 ones.
        let plain = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let members = self.swim.members();
        let is_proven = |node| members.get(node).is_some_and(|peer| peer.is_proven);
        members.at(addr).any(is_proven) || (plain != addr && members.at(plain).any(is_proven))
    }

    /// Answers the datagram that is being handled, unless the address is not proven and would get too many bytes. Returns
    /// whether the answer was sent.
    pub(super) fn answer(&mut self, to: SocketAddr, message: &Message) -> bool {
        let packed = self.out.pack_one(message);
        packed.is_some_and(|packed| self.answer_packed(to, packed))
    }

    fn answer_packed(&mut self, to: SocketAddr, packed: Packed) -> bool {
        let is_allowed = self.proofs.received.is_none()
            || self.is_proven_at(to)
            || self.proofs.allows(to, self.out.datagram_bytes(&packed));
        if is_allowed {
            self.out.send_packed(to, packed);
        } else {
            self.out.counters.answers_withheld += 1;
        }
        is_allowed
    }

    /// Pings a member that has to prove its address.
    pub(crate) fn ask_for_proof(&mut self, node: NodeId) {
        let Some(addr) = self.address_of(node) else { return };
        let [nonce @ .., _, _, _, _] = self.rng.next_u64().to_le_bytes();
        let sender = self.identity().node_id;
        let ping = self.out.pack_for(node, &Message::Ping(Ping { sender, nonce }));
        if ping.is_some_and(|ping| self.answer_packed(addr, ping)) {
            self.proofs.asked(node, nonce, addr);
            self.out.counters.proofs_asked += 1;
        }
    }

    /// Takes the tag of a pong: it proves the address that was pinged, if the member is still there. Returns
    /// whether a proof was waited for.
    pub(super) fn note_proof(&mut self, tag: [u8; 4], now: Time) -> bool {
        let Some((node, addr)) = self.proofs.answered(tag) else { return false };
        if !self.swim.prove(node, addr) {
            return true;
        }
        self.out.tell(Fact::Proven(node));
        if self.swim.members().get(node).is_some_and(|peer| !peer.is_active()) {
            self.warn(node, now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 7_946).into()
    }

    #[test]
    fn a_pong_proves_an_address_once() {
        let mut proofs = Proofs::default();
        let (node, nonce) = (NodeId(7), [1; 4]);
        proofs.asked(node, nonce, addr(1));
        proofs.asked(node, nonce, addr(1));
        assert_eq!(proofs.answered(pong_tag(NodeId(8), nonce)), None);
        assert_eq!(proofs.answered(pong_tag(node, nonce)), Some((node, addr(1))));
        assert_eq!(proofs.answered(pong_tag(node, nonce)), None);
        assert!(proofs.sent.is_empty());
    }

    #[test]
    fn the_oldest_pings_are_forgotten() {
        let mut proofs = Proofs::default();
        let nonce = |n: usize| u32::try_from(n).expect("small").to_le_bytes();
        for n in 0..=MAX_PROOFS_AWAITED {
            proofs.asked(NodeId(7), nonce(n), addr(1));
        }
        assert_eq!(proofs.awaited.len(), MAX_PROOFS_AWAITED);
        assert_eq!(proofs.answered(pong_tag(NodeId(7), nonce(0))), None);
        assert!(proofs.answered(pong_tag(NodeId(7), nonce(1))).is_some());
    }

    #[test]
    fn a_datagram_allows_each_address_twice_its_bytes() {
        let mut proofs = Proofs { received: Some(50), ..Proofs::default() };
        assert!(proofs.allows(addr(1), 60));
        assert!(!proofs.allows(addr(1), 41), "too many");
        assert!(proofs.allows(addr(1), 40) && !proofs.allows(addr(1), 1));
        assert!(proofs.allows(addr(2), 100));
    }
}
