//! Claims to our node id: sending, judging and answering them.

use std::net::SocketAddr;

use rand::Rng;

use super::{Answer, Due, Duplicate};
use crate::base::identity::Identity;
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::liveness::Liveness;
use crate::liveness::facts::Fact;
use crate::wire::{Claim, Message};

impl Liveness {
    /// Another live agent under our node id, if we know of one.
    pub(crate) fn duplicate(&self, now: Time) -> Option<&Duplicate> {
        self.duplicates.met(now)
    }

    /// Whether we gave way to another agent under our node id, and are silent except for asking whether it is still
    /// there.
    pub(crate) fn is_silent(&self) -> bool {
        self.duplicates.is_silent()
    }

    /// Sends a claim to an address at which a peer says that our node id lives, to find out whether an agent lives
    /// there.
    pub(crate) fn meet_duplicate(&mut self, identity: &Identity, now: Time) {
        let may_be_duplicate = identity.addr != self.identity().addr;
        if may_be_duplicate && !self.leaving && self.duplicates.may_ask(now) {
            self.send_claim(identity.addr, 0, now);
        }
    }

    pub(crate) fn handle_claim(&mut self, from: SocketAddr, claim: &Claim, now: Time) {
        let own = *self.identity();
        if claim.identity.node_id != own.node_id || self.leaving {
            self.out.counters.strangers_ignored += 1;
            return;
        }
        let answer = self.duplicates.judge(&own, claim, now);
        self.timers.put(Timer::Claim, self.duplicates.next_deadline());
        match answer {
            Answer::Nothing => {}
            Answer::Claim => self.send_claim(from, claim.nonce, now),
            Answer::GoOn { answer, tell } => {
                if tell {
                    self.out.tell(Fact::DuplicateNodeId { address: claim.identity.addr });
                }
                if answer {
                    self.send_claim(from, claim.nonce, now);
                }
                // Members may take the duplicate for us, because its epoch is not lower than ours.
                if claim.identity.epoch >= own.epoch {
                    self.refute_epoch(claim.identity.epoch, now);
                }
            }
            Answer::GiveWay { new } => {
                if new {
                    self.fall_silent(claim.identity.addr, now);
                }
                self.send_claim(from, claim.nonce, now);
            }
        }
    }

    pub(in crate::liveness) fn handle_claim_deadline(&mut self, now: Time) {
        let due = self.duplicates.take_due(now);
        self.timers.put(Timer::Claim, self.duplicates.next_deadline());
        match due {
            Some(Due::Ask(address)) => self.send_claim(address, 0, now),
            Some(Due::Resume) => {
                self.seeds.hurry(now);
                self.set_hello_timer();
                self.out.tell(Fact::Resumed);
            }
            None => {}
        }
    }

    /// Falls silent: the loss of all peers ends what we send, and a silent node says no hello.
    fn fall_silent(&mut self, other: SocketAddr, now: Time) {
        self.out.counters.gave_way += 1;
        self.out.tell(Fact::GaveWay { to: other });
        self.swim.lose_contact(now);
    }

    /// Sends our claim, as an answer to the nonce `echo`. It is about as long as the claim that it answers.
    fn send_claim(&mut self, to: SocketAddr, echo: u64, now: Time) {
        let own = *self.identity();
        let claim = self.duplicates.claim(&own, echo, self.rng.next_u64(), now);
        self.out.counters.claims_sent += 1;
        self.out.send(to, &Message::Claim(claim));
    }
}
