//! Lost members: those that are down and did not leave. They are asked now and then whether they are back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IteratorRandom;

use super::Liveness;
use super::detector::LocalHealth;
use super::members::Peer;
use crate::base::identity::{Epoch, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::wire::Message;

/// Time between two turns to ask a lost member. The probability that a turn is used is the number of members that are
/// down divided by the number of active members.
pub(super) const ASK_LOST_EVERY: Duration = Duration::from_secs(1);

impl Liveness {
    /// Tells one lost member, if its turn has come, that we hold it down. The member refutes that if it lives. Nodes
    /// that share a view share the work: in each turn each node asks another lost member. Each lost member is asked
    /// about once a second, whatever the size of the cluster.
    pub(super) fn ask_the_lost(&mut self, left: impl Fn(NodeId) -> Option<Epoch>, now: Time) {
        if !self.timers.is_expired(Timer::AskLost, now) {
            return;
        }
        self.look_for_successors(now);
        let jitter = 0.9 + self.rng.random::<f64>() / 5.0;
        self.timers.set(Timer::AskLost, now + ASK_LOST_EVERY.mul_f64(jitter));
        if let Some(node) = self.next_of_the_lost()
            // A member that left, or ended otherwise, is not lost. Its turn is skipped, so that the lost ones are not asked
            // more often.
            && self.is_lost(node, &left)
        {
            self.out.counters.lost_asked += 1;
            self.warn(node, now);
        }
        self.disputes.forget_old(now);
    }

    fn next_of_the_lost(&mut self) -> Option<NodeId> {
        let down = self.swim.members().down();
        if down.is_empty() || !self.connected {
            return None;
        }
        let share = down.len() as f64 / (self.swim.active_count() + 1) as f64;
        if !self.rng.random_bool(share.min(1.0)) {
            return None;
        }
        self.lost_turn += 1;
        let place = self.swim.ring().rank(self.identity().node_id) + self.lost_turn;
        down.iter().nth(place % down.len()).copied()
    }

    /// Says hello, now and then, at one address of a lost member or a seed that is no active member. Otherwise separate
    /// clusters whose members all find each other alive would never meet.
    pub(super) fn handle_reunion_deadline(
        &mut self,
        left: impl Fn(NodeId) -> Option<Epoch>,
        now: Time,
    ) {
        if !self.timers.is_expired(Timer::Reunion, now) {
            return;
        }
        let stretch = self.hello_stretch();
        self.timers.set(Timer::Reunion, now + self.protocol.reunion_period.mul_f64(stretch));
        if !self.connected || mutant::is(Mutant::NeverRetrySeeds) {
            return;
        }
        let members = self.swim.members();
        let lost = members.iter_down().filter(|(node, _)| self.is_lost(*node, &left));
        let lost = lost.map(|(_, peer)| peer.identity.addr);
        let mut silent: BTreeSet<SocketAddr> = lost.chain(self.seeds.addresses()).collect();
        silent.remove(&self.identity().addr);
        if !silent.is_empty() {
            for heard in members.iter_active() {
                silent.remove(&heard.addr);
            }
        }
        if let Some(address) = silent.into_iter().choose(&mut self.rng) {
            self.out.counters.hellos_sent += 1;
            self.seeds.hello_sent();
            let hello = Message::Hello(self.hello(self.seeds.token()));
            self.out.send(address, &hello);
        }
    }

    /// Whether a member is down and may come back: it did not leave on purpose, and its life did not end otherwise.
    fn is_lost(&self, node: NodeId, left: impl Fn(NodeId) -> Option<Epoch>) -> bool {
        let Some(peer) = self.swim.members().get(node) else { return false };
        let has_left = left(node).is_some_and(|epoch| peer.identity.epoch <= epoch);
        !peer.is_active() && !has_left && !self.said_it_leaves(node) && self.end_of(node).is_none()
    }

    /// The latest time at which a node was alive, as far as we can tell.
    ///
    /// In general it is the time at which we last heard the node. The monitors of a member that we do not watch tell
    /// something too: while we hear other members and no verdict comes, the member was alive at the time before which a
    /// verdict would have come. A verdict must not make this time later. So of a member that we watched when it went down, its
    /// last answer goes on to count.
    ///
    /// Our own stalls prove nothing about other members. A message that may have waited for the end of a stall counts from
    /// its beginning. Verdicts that passed meanwhile come a little later, so until then the lack of them proves nothing.
    pub(crate) fn last_alive(&self, node: NodeId, now: Time) -> Time {
        if node == self.identity().node_id {
            return now;
        }
        let peer = self.swim.members().get(node);
        let arrived = |handled| self.awake.arrived(handled);
        let heard = peer.and_then(|peer| peer.heard).map(|heard| arrived(heard.at));
        let answered = self.detector.last_watched(node).map(arrived);
        if answered.is_some() {
            return heard.max(answered).unwrap_or(Time::ZERO);
        }
        let contact = self.last_contact().unwrap_or(Time::ZERO);
        let attentive_until = |at| contact.min(self.awake.attentive_until(at));
        let unaccused = match peer {
            Some(Peer { down_since: Some(since), .. }) => attentive_until(*since).min(*since),
            Some(_) => attentive_until(now),
            None => Time::ZERO,
        };
        let unaccused =
            unaccused.since(Time::ZERO).saturating_sub(LocalHealth::UNPROVEN.suspicion_timeout());
        heard.unwrap_or(Time::ZERO).max(unaccused.into())
    }
}
