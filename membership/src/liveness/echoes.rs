//! Echoes: pings that this node sends because its owner asks whether datagrams pass both ways. They decide nothing.

use std::collections::VecDeque;
use std::time::Duration;

use rand::Rng;

use super::Liveness;
use super::members::Peer;
use crate::base::identity::NodeId;
use crate::base::limits::MAX_ECHOES;
use crate::base::time::Time;
use crate::wire::{Message, Ping, pong_tag};

/// A ping for an echo.
#[derive(Clone, Copy, Debug)]
struct Sent {
    node: NodeId,
    /// The tag that the pong carries.
    tag: [u8; 4],
    at: Time,
    /// The time until the pong came, by datagram.
    took: Option<Duration>,
}

/// The last pings for echoes, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    sent: VecDeque<Sent>,
}

impl Echoes {
    /// Notes a ping. Forgets earlier ones to the same node, and the oldest when there are too many.
    fn expect(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        self.sent.retain(|sent| sent.node != node);
        if self.sent.len() >= MAX_ECHOES {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { node, tag: pong_tag(node, nonce), at: now, took: None });
    }

    /// Takes the tag of a pong. Returns whether an echo waited for it.
    pub(super) fn answered(&mut self, tag: [u8; 4], now: Time) -> bool {
        let waiting = self.sent.iter_mut().find(|sent| sent.tag == tag && sent.took.is_none());
        let Some(sent) = waiting else { return false };
        sent.took = Some(now.since(sent.at));
        true
    }

    fn took(&self, node: NodeId) -> Option<Duration> {
        self.sent.iter().find(|sent| sent.node == node)?.took
    }
}

impl Liveness {
    /// Pings an active member for an echo. Returns whether a ping was sent.
    pub(crate) fn ask_for_echo(&mut self, node: NodeId, now: Time) -> bool {
        let is_active = self.swim.members().get(node).is_some_and(Peer::is_active);
        let Some(addr) = self.address_of(node).filter(|_| is_active) else { return false };
        let [nonce @ .., _, _, _, _] = self.rng.next_u64().to_le_bytes();
        let sender = self.identity().node_id;
        let Some(ping) = self.out.pack_for(node, &Message::Ping(Ping { sender, nonce })) else {
            return false;
        };
        self.out.send_packed(addr, ping);
        self.echoes.expect(node, nonce, now);
        true
    }

    /// The time that the last echo of a member took; `None` while there is none.
    pub(crate) fn echo(&self, node: NodeId) -> Option<Duration> {
        self.echoes.took(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_timed_once_and_only_the_last_ones_are_kept() {
        let mut echoes = Echoes::default();
        let (node, nonce) = (NodeId(7), [1; 4]);
        echoes.expect(node, nonce, Time::ZERO);
        assert_eq!(echoes.took(node), None);
        assert!(!echoes.answered(pong_tag(NodeId(8), nonce), Time::from_millis(3)));
        assert!(echoes.answered(pong_tag(node, nonce), Time::from_millis(3)));
        assert!(!echoes.answered(pong_tag(node, nonce), Time::from_millis(9)));
        assert_eq!(echoes.took(node), Some(Duration::from_millis(3)));
        echoes.expect(node, [2; 4], Time::from_millis(10));
        assert_eq!(echoes.took(node), None, "the earlier echo does not count");
        for other in 0..MAX_ECHOES {
            echoes.expect(NodeId(100 + other as u64), nonce, Time::from_millis(10));
        }
        assert_eq!(echoes.sent.len(), MAX_ECHOES);
        assert!(!echoes.answered(pong_tag(node, [2; 4]), Time::from_millis(11)));
    }
}
