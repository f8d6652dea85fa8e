//! Confirmations: whether other members have applied what this node wrote.
//!
//! A member is asked by a small datagram, and answers with one as small once it serves the versions that the question names; the
//! question waits with it until then. Questions and answers may be lost, so a member that has not confirmed is asked again.

mod answering;
mod asking;

use std::time::Duration;

use rand::seq::SliceRandom;

use super::Spread;
use super::facts::Fact;
use super::peers::Peers;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::{Head, Standing, Version};
use crate::wire::{Confirm, Message};

use answering::{Kept, Waiting};
use asking::Asking;
pub use asking::{ConfirmError, Confirmation, Confirmers};

/// Questions that are sent at one time. The next ones follow after [`PAUSE`], as far as the bandwidth goes.
const ASKED_TOGETHER: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// Both sides of confirmations.
#[derive(Debug, Default)]
pub(super) struct Confirming {
    asking: Asking,
    waiting: Waiting,
    /// When the next questions may be sent.
    paused_until: Time,
}

impl Spread {
    /// Asks members whether they have applied all that this node has written. [`Fact::Confirmation`] tells the outcome.
    ///
    /// # Errors
    /// Nobody is asked: too many confirmations are under way, or a part of the question is out of its range.
    pub(crate) fn confirm(
        &mut self,
        by: &Confirmers,
        within: Duration,
        peers: &dyn Peers,
        now: Time,
    ) -> Result<u64, ConfirmError> {
        let goal =
            (self.catalog.epoch(), self.catalog.head(self.own).map_or(0, |head| head.known_to));
        let mut members = self.confirmers(by, peers);
        members.shuffle(&mut self.rng);
        let enough = match by {
            Confirmers::Any(count) | Confirmers::Home(count) => Some(*count),
            Confirmers::All | Confirmers::Datacenter(_) => None,
        };
        let begun = self.confirming.asking.begin(goal, enough, members, within, now);
        self.end_confirmations(now);
        self.set_timers();
        begun
    }

    /// The other members that may confirm. Those of a datacenter are found by their node records.
    fn confirmers(&self, by: &Confirmers, peers: &dyn Peers) -> Vec<NodeId> {
        let datacenter_of = |node| self.description(node).map(|record| record.datacenter.as_str());
        let wanted = match by {
            Confirmers::Any(_) | Confirmers::All => None,
            Confirmers::Datacenter(Some(name)) => Some(name.as_str()),
            Confirmers::Home(_) | Confirmers::Datacenter(None) => {
                Some(datacenter_of(self.own).unwrap_or_default())
            }
        };
        let far = peers.others().into_iter().flat_map(|datacenter| peers.living(datacenter));
        let others = peers.roster().into_iter().chain(far).map(|member| member.node_id);
        let others = others.filter(|node| *node != self.own);
        let is_wanted =
            |node: &NodeId| wanted.is_none_or(|name| datacenter_of(*node) == Some(name));
        others.filter(is_wanted).collect()
    }

    /// Answers a question of an active peer at once, or when its version is applied. A peer that asks again is taken at its word
    /// that the version exists, and we ask it for what we lack.
    pub(crate) fn handle_confirm(
        &mut self,
        peer: &Identity,
        confirm: &Confirm,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        let Confirm { origin, epoch, version, .. } = *confirm;
        self.compare_epoch(origin, epoch, peers, now);
        match self.applied(origin) {
            Some(applied) if applied >= (epoch, version) => {
                self.send_confirmed(peer, origin, applied, now);
            }
            _ => match self.confirming.waiting.keep((origin, epoch, version, peer.node_id), now) {
                Kept::New => {}
                Kept::Again => {
                    let head = Head { origin, epoch, known_to: version };
                    self.note_gap(head, peer.node_id, now);
                }
                Kept::Refused => self.out.counters.confirms_refused += 1,
            },
        }
    }

    /// Takes the answer of an active peer.
    pub(crate) fn handle_confirmed(&mut self, peer: &Identity, confirmed: &Confirm, now: Time) {
        if confirmed.origin == self.own {
            self.confirming.asking.note(peer.node_id, (confirmed.epoch, confirmed.version));
            self.end_confirmations(now);
        }
    }

    /// The epoch and version up to which an origin is served here.
    fn applied(&self, origin: NodeId) -> Option<(Epoch, Version)> {
        let replica = self.catalog.origin(origin)?.current()?;
        Some((replica.epoch(), replica.known_to()))
    }

    /// Answers the questions about an origin that waited for what is applied now.
    pub(super) fn answer_confirms(&mut self, origin: NodeId, peers: &dyn Peers, now: Time) {
        let Some(applied) = self.applied(origin) else { return };
        for asker in self.confirming.waiting.take(origin, applied, now) {
            if let Some(peer) = reached(asker, peers) {
                self.send_confirmed(&peer, origin, applied, now);
            }
        }
    }

    fn send_confirmed(
        &mut self,
        peer: &Identity,
        origin: NodeId,
        (epoch, version): (Epoch, Version),
        now: Time,
    ) {
        self.out.counters.confirms_answered += 1;
        let confirm = Confirm { sender: self.own, origin, epoch, version };
        self.send_repair(peer, &Message::Confirmed(confirm), now);
    }

    /// Asks those that are due, and tells the outcomes of confirmations that are over.
    pub(super) fn handle_confirm_deadline(&mut self, peers: &dyn Peers, now: Time) {
        if self.confirming.asking.len() == 0 {
            return;
        }
        if now >= self.confirming.paused_until && self.budget.is_ready(now) {
            let is_active = |node| reached(node, peers).is_some();
            let due = self.confirming.asking.take_due(ASKED_TOGETHER, now, is_active);
            if due.len() == ASKED_TOGETHER {
                self.confirming.paused_until = now + PAUSE;
            }
            for (node, epoch, version) in due {
                let Some(peer) = reached(node, peers) else { continue };
                self.out.counters.confirms_asked += 1;
                let confirm = Confirm { sender: self.own, origin: self.own, epoch, version };
                self.send_repair(&peer, &Message::Confirm(confirm), now);
            }
        }
        self.end_confirmations(now);
    }

    fn end_confirmations(&mut self, now: Time) {
        for outcome in self.confirming.asking.take_over(now) {
            self.out.tell(Fact::Confirmation(outcome));
        }
    }

    pub(super) fn set_confirm_timer(&mut self) {
        let Confirming { asking, paused_until, .. } = &self.confirming;
        let paused = (*paused_until).max(self.budget.ready_at());
        let due = asking.next_deadline().map(|at| at.max(paused));
        self.timers.put(Timer::Confirm, due);
    }

    /// The number of confirmations under way, and of questions of others that wait.
    pub(crate) fn confirms_waiting(&self) -> usize {
        self.confirming.asking.len() + self.confirming.waiting.len()
    }
}

/// An active member of the own pool, or a living one of another datacenter.
fn reached(node: NodeId, peers: &dyn Peers) -> Option<Identity> {
    let far = || peers.remote(node).filter(|_| peers.standing(node) == Standing::Active);
    peers.active(node).or_else(far)
}
