//! What others say of members: believed, looked into, or contradicted.

use std::net::SocketAddr;

use rand::RngExt;

use crate::base::identity::{Identity, NodeId};
use crate::base::io::Event;
use crate::base::time::Time;
use crate::liveness::detector::{Belief, Cause, Said, Verdict};
use crate::liveness::members::Peer;
use crate::node::Node;
use crate::node::view::OriginStatus;
use crate::testing::mutants::{self as mutant, Mutant};
use crate::wire::{MemberUpdates, Message, Update};

impl Node {
    /// Says that a member is down, and tells everybody. If it lives, it contradicts.
    pub fn declare_down(&mut self, node: NodeId, now: Time) -> bool {
        let Some(identity) = self.swim.active_peer(node).copied() else { return false };
        let own = self.identity().node_id;
        let verdict = Verdict {
            node,
            epoch: identity.epoch,
            cause: Cause::Declared,
            accuser: own,
            referees: Vec::new(),
        };
        self.believe(verdict, own, now);
        self.settle(now);
        true
    }

    /// Members are believed what they say of others, and everybody what it says of itself; that we are down we want to
    /// hear from whoever thinks so.
    pub(in crate::node) fn handle_member_updates(
        &mut self,
        from: SocketAddr,
        member_updates: &MemberUpdates,
        now: Time,
    ) {
        if self.leaving.is_some() {
            return;
        }
        let own = self.identity().node_id;
        let member = self.swim.active_peer(member_updates.sender).is_some();
        // Who only says that we are down does not hear us; to hear that from all is to be alone.
        let about_us =
            |update: &Update| matches!(update, Update::Down(verdict) if verdict.node == own);
        let unheard = member_updates.updates.iter().all(about_us);
        if member && (!unheard || mutant::is(Mutant::VerdictsAreContact)) {
            self.last_contact = Some(now);
        }
        for update in &member_updates.updates {
            match update {
                Update::Alive(identity) if identity.node_id == own => {
                    if identity.epoch >= self.identity().epoch {
                        self.meet_duplicate(identity, now);
                    }
                }
                Update::Alive(identity) if identity.node_id == member_updates.sender => {
                    self.believe_alive(*identity, now);
                }
                Update::Alive(identity) if member => self.hear_alive(*identity, now),
                Update::Down(verdict) if verdict.node == own => {
                    self.refute_verdict(verdict, member_updates.sender, from, now);
                }
                Update::Down(verdict) if member => self.judge(verdict, member_updates.sender, now),
                _ => self.counters.strangers_ignored += 1,
            }
            self.pass_on_swim_events(now);
        }
    }

    /// What a third says of a member that is held down here and disputed is looked into: we may be among those who do not
    /// reach it.
    pub(super) fn hear_alive(&mut self, identity: Identity, now: Time) {
        if self.takes_on_trust(&identity, now) {
            self.believe_alive(identity, now);
        }
    }

    /// Whether the word of others that a member lives is enough; if it is not, the member is asked.
    pub(in crate::node) fn takes_on_trust(&mut self, identity: &Identity, now: Time) -> bool {
        let node = identity.node_id;
        if !self.detection.disputes.is_disputed(node, now) {
            return true;
        }
        let held_down = |peer: &Peer| !peer.is_active() && peer.identity.epoch < identity.epoch;
        let doubted = self.swim.members().get(node).is_some_and(held_down);
        if doubted {
            self.detection.detector.check(node, Said::Back(*identity), now);
        }
        !doubted
    }

    pub(super) fn believe_alive(&mut self, identity: Identity, now: Time) {
        let known = self.swim.members().get(identity.node_id).map(|peer| peer.identity.epoch);
        if known.is_none_or(|epoch| epoch < identity.epoch)
            && self.swim.apply_alive(identity, now).is_err()
        {
            self.counters.swim_refused += 1;
        }
    }

    /// Takes a higher epoch if that is needed, and says that we live to whoever thinks otherwise.
    fn refute_verdict(&mut self, verdict: &Verdict, sender: NodeId, from: SocketAddr, now: Time) {
        let own = *self.identity();
        if verdict.epoch >= own.epoch && !mutant::is(Mutant::NeverRefute) {
            self.counters.verdicts_refuted += 1;
            self.emit(Event::CalledDown(verdict.clone()));
            if verdict.epoch > own.epoch {
                self.refute(verdict.epoch, now);
            } else if self.swim.raise_epoch(own.epoch.next(), now).is_err() {
                self.counters.swim_refused += 1;
            }
            let alive = Update::Alive(*self.identity());
            self.tell(alive, now);
        }
        let mut updates = vec![Update::Alive(*self.identity())];
        // It answers in the same way, and both know each other again.
        if let Some(peer) =
            self.swim.members().get(sender).copied().filter(|peer| !peer.is_active())
        {
            updates.push(Update::Down(self.verdict_on(&peer.identity)));
        }
        let member_updates = MemberUpdates { sender: own.node_id, updates };
        self.send(from, &Message::MemberUpdates(member_updates));
        if !self.connected {
            let hello = Message::Hello(self.hello(self.seeds.token()));
            self.counters.hellos_sent += 1;
            self.send(from, &hello);
        }
    }

    /// What somebody says of a third is believed, unless it is only hearsay, or we know better.
    fn judge(&mut self, verdict: &Verdict, sender: NodeId, now: Time) {
        let node = verdict.node;
        let Some(identity) = self.swim.active_peer(node).copied() else { return };
        if identity.epoch > verdict.epoch {
            return;
        }
        match verdict.cause {
            Cause::Silence if self.detection.detector.is_witness_of(node, now) => {
                self.counters.verdicts_doubted += 1;
                let said = Said::Down(verdict.clone(), sender);
                self.detection.detector.check(node, said, now);
            }
            Cause::Silence | Cause::Left | Cause::Declared => {
                self.believe(verdict.clone(), sender, now);
            }
            Cause::Hearsay | Cause::Isolation => {
                self.detection.detector.check(node, Said::NotActive, now);
            }
        }
    }

    /// Takes a verdict for true, and passes it on.
    pub(super) fn believe(&mut self, verdict: Verdict, told_by: NodeId, now: Time) {
        let node = verdict.node;
        let Some(identity) = self.swim.active_peer(node).copied() else { return };
        if identity.epoch > verdict.epoch {
            return;
        }
        let own = self.identity().node_id;
        self.counters.verdicts_believed += u64::from(told_by != own);
        if verdict.cause == Cause::Silence {
            self.detection.disputes.called_down(node, now);
        }
        let belief = Belief { verdict: verdict.clone(), told_by, since: now };
        self.detection.beliefs.insert(node, belief);
        let spread = !mutant::is(Mutant::VerdictNotSpread);
        if self.swim.apply_down(node, spread, now).is_err() {
            self.counters.swim_refused += 1;
        }
        if !spread {
            return;
        }
        if verdict.accuser == own {
            self.warn(node);
        }
        self.tell(Update::Down(verdict), now);
    }

    /// Tells a member that we hold it down, so that it can contradict.
    pub(super) fn warn(&mut self, node: NodeId) {
        if let Some(addr) = self.address_of(node) {
            self.warn_at(node, addr);
        }
    }

    /// The same, where it lives as others have it: the life that is down may have been elsewhere, as that of a copy is.
    pub(super) fn warn_at(&mut self, node: NodeId, addr: SocketAddr) {
        let Some(peer) = self.swim.members().get(node).copied() else { return };
        let verdict = self.verdict_on(&peer.identity);
        let sender = self.identity().node_id;
        let member_updates = MemberUpdates { sender, updates: vec![Update::Down(verdict)] };
        self.send(addr, &Message::MemberUpdates(member_updates));
    }

    /// The verdict on a member that is down, as far as we know it.
    pub(super) fn verdict_on(&self, identity: &Identity) -> Verdict {
        let known = self.detection.beliefs.get(&identity.node_id).map(|belief| &belief.verdict);
        match known.filter(|verdict| verdict.epoch >= identity.epoch) {
            Some(verdict) => Verdict { epoch: identity.epoch, ..verdict.clone() },
            None => Verdict {
                node: identity.node_id,
                epoch: identity.epoch,
                cause: Cause::Hearsay,
                accuser: self.identity().node_id,
                referees: Vec::new(),
            },
        }
    }

    /// Asks one of the members that we lost whether it is there. All who share a view share the work: each turn, each
    /// asks another one, at a rate that does not depend on how many we are, and when few are lost, seldom.
    pub(super) fn ask_the_lost(&mut self) {
        let down = self.swim.members().down();
        if down.is_empty() || !self.connected {
            return;
        }
        let share = down.len() as f64 / self.active_members() as f64;
        if !self.liveness_rng.random_bool(share.min(1.0)) {
            return;
        }
        self.detection.lost_turn += 1;
        let place = self.swim.ring().rank(self.identity().node_id) + self.detection.lost_turn;
        let down = self.swim.members().down();
        let Some(node) = down.iter().nth(place % down.len()).copied() else { return };
        // Who left is not lost; its turn passes, so that the others are not asked more often for it.
        if matches!(self.origin_status(node), OriginStatus::Down { .. }) {
            self.counters.lost_asked += 1;
            self.warn(node);
        }
    }
}
