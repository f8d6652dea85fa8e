//! Sending member updates.

use rand::Rng;

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::liveness::Liveness;
use crate::liveness::detector::{Cause, Verdict};
use crate::wire::{MemberUpdates, Message, Packed, Update};

/// Random members that updates go to, besides the two ring neighbours.
const MEMBER_UPDATE_FANOUT: usize = 3;
/// Updates in one message. A datagram holds several messages.
const UPDATES_PER_MESSAGE: usize = 8;
/// Most new members, learned at once, that are passed on. More than this came in bulk, as in a roster, and the other
/// members get the bulk as we did.
const MAX_ARRIVALS_TOLD: usize = 16;

impl Liveness {
    /// Tells all members that we leave.
    pub(super) fn tell_leaving(&mut self, now: Time) {
        let own = *self.identity();
        let verdict = Verdict {
            node: own.node_id,
            epoch: own.epoch,
            cause: Cause::Left,
            accuser: own.node_id,
            referees: Vec::new(),
            exited: false,
        };
        self.tell(Update::Down(verdict), now);
    }

    pub(super) fn tell(&mut self, update: Update, now: Time) {
        if !self.member_updates.push(update, now) {
            self.out.counters.member_updates_dropped += 1;
        }
    }

    /// Passes on new members, unless they came in bulk.
    pub(super) fn tell_arrivals(&mut self, arrivals: &[NodeId], now: Time) {
        if arrivals.len() > MAX_ARRIVALS_TOLD {
            return;
        }
        for node in arrivals {
            if let Some(identity) = self.swim.active_peer(*node).copied() {
                self.tell(Update::Alive(identity), now);
            }
        }
    }

    pub(super) fn flush_member_updates(&mut self, now: Time) {
        let updates = self.member_updates.take_due(now);
        if updates.is_empty() {
            return;
        }
        let targets = self.swim.rumor_targets(self.rng.next_u64(), MEMBER_UPDATE_FANOUT);
        for packed in self.pack_member_updates(&updates) {
            for target in &targets {
                self.out.counters.member_updates_sent += 1;
                self.out.send_packed(target.addr, packed.clone());
            }
        }
    }

    fn pack_member_updates(&mut self, updates: &[Update]) -> Vec<Packed> {
        let sender = self.identity().node_id;
        let messages = updates.chunks(UPDATES_PER_MESSAGE).map(|updates| {
            let updates = updates.to_vec();
            Message::MemberUpdates(MemberUpdates { sender, updates, datacenter: self.datacenter })
        });
        self.out.pack(messages.collect())
    }
}
