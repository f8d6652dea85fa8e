//! Telling others the news of members.

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::liveness::detector::{Cause, Verdict};
use crate::node::Node;
use crate::wire::{DatagramBuilder, MemberUpdates, Message, Update};

/// Random members that news of members go to, beside the two ring neighbours.
const MEMBER_UPDATE_FANOUT: usize = 2;
/// News in one message; a datagram takes several.
const UPDATES_PER_MESSAGE: usize = 8;
/// More new members than this at once came in a bulk, which others get as we did.
const FEW_ARRIVALS: usize = 16;

impl Node {
    /// Tells all members that we leave.
    pub(in crate::node) fn tell_leaving(&mut self, now: Time) {
        let own = *self.identity();
        let verdict = Verdict {
            node: own.node_id,
            epoch: own.epoch,
            cause: Cause::Left,
            accuser: own.node_id,
            referees: Vec::new(),
        };
        self.tell(Update::Down(verdict), now);
    }

    pub(super) fn tell(&mut self, update: Update, now: Time) {
        if !self.detection.member_updates.push(update, now) {
            self.counters.member_updates_dropped += 1;
        }
    }

    /// New members are worth telling, unless they came in a bulk.
    pub(in crate::node) fn tell_arrivals(&mut self, arrivals: &[NodeId], now: Time) {
        if arrivals.len() > FEW_ARRIVALS {
            return;
        }
        for node in arrivals {
            if let Some(identity) = self.swim.active_peer(*node).copied() {
                self.tell(Update::Alive(identity), now);
            }
        }
    }

    pub(super) fn flush_member_updates(&mut self, now: Time) {
        let updates = self.detection.member_updates.take_due(now);
        if updates.is_empty() {
            return;
        }
        let targets = self.swim.rumor_targets(MEMBER_UPDATE_FANOUT);
        for datagram in self.pack_member_updates(&updates) {
            for target in &targets {
                self.counters.member_updates_sent += 1;
                self.send_datagram(target.addr, datagram.clone());
            }
        }
    }

    fn pack_member_updates(&mut self, updates: &[Update]) -> Vec<Vec<u8>> {
        let sender = self.identity().node_id;
        let messages = updates.chunks(UPDATES_PER_MESSAGE).map(|updates| {
            let updates = updates.to_vec();
            Message::MemberUpdates(MemberUpdates { sender, updates })
        });
        self.pack(messages.collect())
    }

    /// As few datagrams as hold these messages.
    pub(super) fn pack(&mut self, messages: Vec<Message<'_>>) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut datagram = DatagramBuilder::default();
        for message in messages {
            if datagram.push(&message).is_err() {
                datagrams.push(std::mem::take(&mut datagram).finish(self.cluster));
                if datagram.push(&message).is_err() {
                    self.counters.encoding_errors += 1;
                }
            }
        }
        if !datagram.is_empty() {
            datagrams.push(datagram.finish(self.cluster));
        }
        datagrams
    }
}
