//! Member updates from peers: they are believed, checked or refuted.

use std::net::SocketAddr;

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::Liveness;
use crate::liveness::detector::{Belief, Cause, Said, Verdict};
use crate::liveness::facts::Fact;
use crate::liveness::members::Peer;
use crate::wire::{MemberUpdates, Message, Update};

impl Liveness {
    /// Declares a member down, and tells all members. The member refutes it if it lives. Returns whether it was active.
    pub(crate) fn declare_down(&mut self, node: NodeId, now: Time) -> bool {
        let Some(identity) = self.swim.active_peer(node).copied() else { return false };
        let own = self.identity().node_id;
        let verdict = Verdict {
            node,
            epoch: identity.epoch,
            cause: Cause::ForceLeft,
            accuser: own,
            referees: Vec::new(),
            exited: false,
        };
        self.believe(verdict, own, now);
        true
    }

    /// Takes member updates. A sender that is no active member is believed about itself alone, except that any sender
    /// may tell us of a verdict on us.
    pub(crate) fn handle_member_updates(
        &mut self,
        from: SocketAddr,
        member_updates: &MemberUpdates,
        now: Time,
    ) {
        if self.leaving {
            return;
        }
        let own = self.identity().node_id;
        let sender = member_updates.sender;
        let member = self.swim.active_peer(sender).is_some();
        // A peer that only tells us that we are down does not hear us. Such messages are no contact, so that we become
        // isolated if there are no others.
        let about_us =
            |update: &Update| matches!(update, Update::Down(verdict) if verdict.node == own);
        let unheard = member_updates.updates.iter().all(about_us);
        if member && !unheard {
            self.note_contact(now);
        }
        let updates = &member_updates.updates;
        self.check_doubted(sender, now);
        let settles = |update: &Update| update.node() == own || update.node() == sender;
        if !member && !updates.iter().any(settles) {
            // The sender lives, and does not know that we hold it down. After a cut, the two halves learn of each other
            // in this way.
            self.warn(sender, now);
        }
        for update in updates {
            match update {
                Update::Alive(identity) if identity.node_id == own => {
                    if identity.epoch >= self.identity().epoch {
                        self.meet_duplicate(identity, now);
                    }
                }
                Update::Alive(identity) if identity.node_id == sender => {
                    self.believe_alive(*identity, now);
                }
                Update::Alive(identity) if member => self.take_alive(*identity, now),
                Update::Down(verdict) if verdict.node == own => {
                    self.refute_verdict(verdict, sender, from, now);
                }
                Update::Down(verdict) if member => self.judge(verdict, sender, now),
                Update::Remote(_)
                | Update::Reach(_)
                | Update::Isolation(_)
                | Update::RoundTrip(_)
                    if member =>
                {
                    self.out.tell(Fact::Remote(update.clone()));
                }
                _ => self.out.counters.strangers_ignored += 1,
            }
            self.take_swim_events(now);
        }
    }

    /// Takes a peer's word that a third member lives. A disputed member that we hold down is checked first, because we
    /// may be among the nodes that do not reach it.
    pub(super) fn take_alive(&mut self, identity: Identity, now: Time) {
        if self.takes_on_trust(&identity, now) {
            self.believe_alive(identity, now);
        }
    }

    /// Whether a peer's word is enough to believe that a member lives. If it is not, the member is pinged.
    pub(crate) fn takes_on_trust(&mut self, identity: &Identity, now: Time) -> bool {
        let node = identity.node_id;
        let known = self.swim.members().get(node).map(|peer| peer.identity);
        if self.swim.is_doubted(node) && known.is_some_and(|known| identity.epoch <= known.epoch) {
            self.check_doubted(node, now);
            return false;
        }
        if !self.disputes.is_disputed(node, now) {
            return true;
        }
        let held_down = |peer: &Peer| !peer.is_active() && peer.identity.epoch < identity.epoch;
        let doubted = self.swim.members().get(node).is_some_and(held_down);
        if doubted {
            self.detector.check(node, Said::Back(*identity), now);
        }
        !doubted
    }

    pub(super) fn believe_alive(&mut self, identity: Identity, now: Time) {
        let known = self.swim.members().get(identity.node_id).map(|peer| peer.identity.epoch);
        if known.is_none_or(|epoch| epoch < identity.epoch)
            && self.swim.apply_alive(identity, now).is_err()
        {
            self.out.counters.swim_refused += 1;
        }
    }

    /// Believes a verdict of our own without a witness. It is not told to anybody, and ends with the first sign of life.
    pub(super) fn believe_alone(&mut self, verdict: Verdict, now: Time) {
        let (node, own) = (verdict.node, self.identity().node_id);
        self.out.counters.verdicts_without_witness += 1;
        self.beliefs.insert(node, Belief { verdict, told_by: own, since: now });
        self.swim.doubt(node, now);
    }

    /// Pings a member that we alone hold down, because something says that it lives.
    pub(super) fn check_doubted(&mut self, node: NodeId, now: Time) {
        if let Some(peer) = self.swim.members().get(node).filter(|_| self.swim.is_doubted(node)) {
            self.detector.check(node, Said::Back(peer.identity), now);
        }
    }

    /// Notes that a member lives in another datacenter now, in a later life. Here it has left.
    pub(crate) fn note_moved(&mut self, node: NodeId, now: Time) {
        let Some(identity) = self.swim.held_alive(node).copied() else { return };
        let accuser = self.identity().node_id;
        let (epoch, cause) = (identity.epoch, Cause::Left);
        let verdict = Verdict { node, epoch, cause, accuser, referees: Vec::new(), exited: false };
        self.believe(verdict, accuser, now);
    }

    /// Ends the belief that a member is down if we are alone in it.
    pub(super) fn trust_again(&mut self, node: NodeId, now: Time) {
        if self.swim.trust_again(node) {
            self.take_swim_events(now);
        }
    }

    /// Passes a verdict that another datacenter holds to the member of our pool on which it is, and which lives. It refutes by a new
    /// epoch.
    pub(crate) fn pass_accusation(
        &mut self,
        node: NodeId,
        epoch: Epoch,
        accuser: Option<NodeId>,
        now: Time,
    ) {
        let own = self.identity().node_id;
        let verdict = Verdict {
            node,
            epoch,
            cause: Cause::Hearsay,
            accuser: accuser.unwrap_or(own),
            referees: Vec::new(),
            exited: false,
        };
        if node == own {
            // Nobody vouches for a node that hears no member of its pool.
            if self.connected {
                self.refute(&verdict, now);
                self.take_swim_events(now);
            }
            return;
        }
        let Some(addr) = self.swim.active_peer(node).map(|peer| peer.addr) else { return };
        let updates = vec![Update::Down(verdict)];
        let member_updates = MemberUpdates { sender: own, updates, datacenter: self.datacenter };
        self.out.send_to(addr, node, &Message::MemberUpdates(member_updates));
    }

    /// Refutes a verdict on us, and tells the sender that we live.
    fn refute_verdict(&mut self, verdict: &Verdict, sender: NodeId, from: SocketAddr, now: Time) {
        self.refute(verdict, now);
        self.answer_refuted(verdict, sender, from);
    }

    /// Takes a higher epoch if a verdict on us is on the one that we have, and tells all members of it.
    fn refute(&mut self, verdict: &Verdict, now: Time) {
        let own = *self.identity();
        if verdict.epoch >= own.epoch && !mutant::is(Mutant::NeverRefute) {
            self.out.counters.verdicts_refuted += 1;
            self.out.tell(Fact::DeclaredDown(verdict.clone()));
            if verdict.epoch > own.epoch {
                self.refute_epoch(verdict.epoch, now);
            } else {
                match self.swim.renew(now) {
                    Ok(true) => {}
                    Ok(false) => self.out.counters.refutations_put_off += 1,
                    Err(_) => self.out.counters.swim_refused += 1,
                }
            }
            let alive = Update::Alive(*self.identity());
            self.tell(alive, now);
        }
    }

    /// Tells the sender of a verdict on us that we live.
    fn answer_refuted(&mut self, verdict: &Verdict, sender: NodeId, from: SocketAddr) {
        let own = self.identity().node_id;
        // An answer under an epoch that the sender holds down refutes nothing, and two such nodes would answer each
        // other for ever.
        if verdict.epoch < self.identity().epoch {
            let mut updates = vec![Update::Alive(*self.identity())];
            // The sender answers this in the same way, and then both hold each other active again.
            if let Some(peer) = self.swim.members().get(sender).filter(|peer| !peer.is_active()) {
                updates.push(Update::Down(self.warning(&peer.identity, from)));
            }
            let member_updates =
                MemberUpdates { sender: own, updates, datacenter: self.datacenter };
            self.answer(from, &Message::MemberUpdates(member_updates));
        }
        if !self.connected {
            let hello = Message::Hello(self.hello(self.seeds.token()));
            self.out.counters.hellos_sent += 1;
            self.out.send(from, &hello);
        }
    }

    /// Believes a verdict on a third member, or checks it first: hearsay is checked, and so is a verdict of silence on
    /// a member that answered us lately. A verdict of silence without a witness is ignored.
    fn judge(&mut self, verdict: &Verdict, sender: NodeId, now: Time) {
        let node = verdict.node;
        let Some(identity) = self.swim.held_alive(node).copied() else { return };
        if identity.epoch > verdict.epoch {
            return;
        }
        match verdict.cause {
            // The accuser may be the one that is cut off. The monitors of the member will find out.
            Cause::Silence if verdict.referees.is_empty() => {
                self.out.counters.verdicts_doubted += 1;
            }
            Cause::Silence if verdict.exited && self.exits.is_witness_of(node) => {
                self.believe(verdict.clone(), sender, now);
            }
            Cause::Silence if self.detector.is_witness_of(node, now) => {
                self.out.counters.verdicts_doubted += 1;
                let said = Said::Down(verdict.clone(), sender);
                self.detector.check(node, said, now);
            }
            Cause::Silence | Cause::Left | Cause::ForceLeft => {
                self.believe(verdict.clone(), sender, now);
            }
            Cause::Hearsay => {
                self.detector.check(node, Said::NotActive, now);
            }
        }
    }

    /// Believes a verdict, and passes it on.
    pub(super) fn believe(&mut self, verdict: Verdict, told_by: NodeId, now: Time) {
        let node = verdict.node;
        let Some(identity) = self.swim.held_alive(node).copied() else { return };
        if identity.epoch > verdict.epoch {
            return;
        }
        let own = self.identity().node_id;
        self.out.counters.verdicts_believed += u64::from(told_by != own);
        // That a process exited is certain, and no sign that others reach the member.
        if verdict.cause == Cause::Silence && !verdict.exited {
            self.disputes.declared_down(node, now);
        }
        let belief = Belief { verdict: verdict.clone(), told_by, since: now };
        self.beliefs.insert(node, belief);
        if self.swim.apply_down(node, now).is_err() {
            self.out.counters.swim_refused += 1;
        }
        if mutant::is(Mutant::VerdictNotSpread) {
            return;
        }
        if verdict.accuser == own {
            self.warn(node, now);
        }
        self.tell(Update::Down(verdict), now);
    }

    /// Takes an epoch beyond one that a peer remembers of us, for our identity and for our records.
    pub(super) fn refute_epoch(&mut self, remembered: Epoch, now: Time) {
        if let Some(epoch) = self.pass_epoch(remembered, now) {
            self.out.tell(Fact::EpochPassed(epoch));
        }
    }

    /// The verdict because of which we believe that a member is down. `None` if the member is not down, or if the
    /// verdict itself did not reach us.
    pub(crate) fn belief(&self, node: NodeId) -> Option<&Belief> {
        let down = self.swim.members().get(node).is_some_and(|peer| !peer.is_active());
        self.beliefs.get(&node).filter(|_| down)
    }

    /// Whether a member is down because it said, by a member update, that it leaves.
    pub(crate) fn said_it_leaves(&self, node: NodeId) -> bool {
        let told = self.beliefs.get(&node).map(|belief| &belief.verdict);
        let told = told.filter(|verdict| verdict.cause == Cause::Left);
        let peer = self.swim.members().get(node).filter(|peer| !peer.is_active());
        told.zip(peer).is_some_and(|(verdict, peer)| peer.identity.epoch <= verdict.epoch)
    }

    /// Tells a member that we hold it down, so that it can refute. A member that we alone hold down is pinged instead,
    /// and has nothing to refute.
    pub(super) fn warn(&mut self, node: NodeId, now: Time) {
        if let Some(addr) = self.address_of(node) {
            self.warn_at(node, addr, now);
        }
    }

    /// Tells a member at `addr` that we hold it down. We may know the member at another address, such as that of a
    /// duplicate.
    pub(super) fn warn_at(&mut self, node: NodeId, addr: SocketAddr, now: Time) {
        let Some(peer) = self.swim.members().get(node).copied() else { return };
        if self.swim.is_doubted(node) {
            return self.check_doubted(node, now);
        }
        let verdict = self.warning(&peer.identity, addr);
        let sender = self.identity().node_id;
        let member_updates = MemberUpdates {
            sender,
            updates: vec![Update::Down(verdict)],
            datacenter: self.datacenter,
        };
        self.answer(addr, &Message::MemberUpdates(member_updates));
    }

    /// The verdict on a member, for the member itself. An address that is not proven gets it without the referees, which
    /// the member needs only to tell people of them.
    fn warning(&self, identity: &Identity, to: SocketAddr) -> Verdict {
        let verdict = self.verdict_on(identity);
        let referees = if self.is_proven_at(to) { verdict.referees } else { Vec::new() };
        Verdict { referees, ..verdict }
    }

    /// The verdict on a member that is down. If no verdict reached us, it is one of hearsay.
    pub(super) fn verdict_on(&self, identity: &Identity) -> Verdict {
        let known = self.beliefs.get(&identity.node_id).map(|belief| &belief.verdict);
        match known.filter(|verdict| verdict.epoch >= identity.epoch) {
            Some(verdict) => Verdict { epoch: identity.epoch, ..verdict.clone() },
            None => Verdict {
                node: identity.node_id,
                epoch: identity.epoch,
                cause: Cause::Hearsay,
                accuser: self.identity().node_id,
                referees: Vec::new(),
                exited: false,
            },
        }
    }
}
