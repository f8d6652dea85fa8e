//! A node that meets another under its own id.

use std::net::SocketAddr;

use rand::Rng;

use super::Node;
use crate::base::identity::Identity;
use crate::base::io::Event;
use crate::base::time::Time;
use crate::liveness::duplicate::{Claim, Due, Duplicate, Verdict};
use crate::wire::Message;

impl Node {
    /// Another live agent under our node id, if we know of one.
    #[must_use]
    pub fn duplicate(&self, now: Time) -> Option<&Duplicate> {
        self.duplicates.met(now)
    }

    /// Whether we gave way to another agent under our node id: then we say nothing but to ask whether it is still there.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.duplicates.is_silent()
    }

    /// Somebody goes by our node id elsewhere, or did: asks whether it lives.
    pub(super) fn meet_duplicate(&mut self, identity: &Identity, now: Time) {
        let elsewhere = identity.addr != self.identity().addr;
        if elsewhere && self.leaving.is_none() && self.duplicates.may_ask(now) {
            self.send_claim(identity.addr, 0, now);
        }
    }

    pub(super) fn handle_claim(&mut self, from: SocketAddr, claim: &Claim, now: Time) {
        let own = *self.identity();
        if claim.identity.node_id != own.node_id || self.leaving.is_some() {
            self.counters.strangers_ignored += 1;
            return;
        }
        let verdict = self.duplicates.judge(&own, claim, now);
        match verdict {
            Verdict::Ignore => {}
            Verdict::Answer => self.send_claim(from, claim.nonce, now),
            Verdict::GoOn { answer, tell } => {
                if tell {
                    self.emit(Event::DuplicateNodeId { address: claim.identity.addr });
                }
                if answer {
                    self.send_claim(from, claim.nonce, now);
                }
                // The others may follow the other, which was in a later epoch.
                if claim.identity.epoch >= own.epoch {
                    self.refute(claim.identity.epoch, now);
                }
            }
            Verdict::GiveWay { new } => {
                if new {
                    self.fall_silent(claim.identity.addr, now);
                }
                self.send_claim(from, claim.nonce, now);
            }
        }
    }

    pub(super) fn handle_duplicate_deadline(&mut self, now: Time) {
        match self.duplicates.take_due(now) {
            Some(Due::Ask(address)) => self.send_claim(address, 0, now),
            Some(Due::Resume) => {
                self.seeds.hurry(now);
                self.emit(Event::Resumed);
            }
            None => {}
        }
    }

    /// Who has no peers, no sessions and does not knock says nothing.
    fn fall_silent(&mut self, other: SocketAddr, now: Time) {
        self.counters.gave_way += 1;
        self.emit(Event::GaveWay { to: other });
        self.fail_all_sessions();
        self.swim.lose_contact(now);
    }

    /// As long as the one that it answers, or nearly.
    fn send_claim(&mut self, to: SocketAddr, echo: u64, now: Time) {
        let own = *self.identity();
        let claim = self.duplicates.claim(&own, echo, self.liveness_rng.next_u64(), now);
        self.counters.claims_sent += 1;
        self.send(to, &Message::Claim(claim));
    }
}
