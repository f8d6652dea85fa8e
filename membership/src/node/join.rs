//! A node on its way into a cluster.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rand::RngExt;
use rand::seq::IteratorRandom;

use super::Node;
use crate::base::identity::Identity;
use crate::base::io::Event;
use crate::base::time::Time;
use crate::node::view::OriginStatus;
use crate::testing::mutants::{self as mutant, Mutant};
use crate::wire::{Hello, Message};

impl Node {
    pub(super) fn handle_join_deadline(&mut self, now: Time) {
        if self.seeds.next_deadline(!self.connected).is_none_or(|due| due > now) {
            return;
        }
        let former: Vec<SocketAddr> =
            self.swim.members().iter().map(|(_, peer)| peer.identity.addr).collect();
        let stretch = self.hello_stretch();
        let addresses = self.seeds.take_due(now, !self.connected, former.into_iter(), stretch);
        if self.last_contact.is_some() && mutant::is(Mutant::NeverRetrySeeds) {
            return;
        }
        let own = self.identity().addr;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        for address in addresses.into_iter().filter(|address| *address != own) {
            self.counters.hellos_sent += 1;
            self.send(address, &hello);
        }
    }

    /// Those who started together do not knock together for ever.
    fn hello_stretch(&mut self) -> f64 {
        0.75 + self.liveness_rng.random::<f64>() / 2.0
    }

    /// Somebody answered a knock, if only to say that there is no room: the next one is not put off for long.
    pub(super) fn hello_answered(&mut self, now: Time) {
        let stretch = self.hello_stretch();
        self.seeds.answered(now, stretch);
    }

    /// Islands that each think themselves whole would never meet: whoever is on one asks, now and then, one address of
    /// those that it has lost or was told of.
    pub(super) fn handle_reunion_deadline(&mut self, now: Time) {
        if self.reunion_at > now {
            return;
        }
        let stretch = self.hello_stretch();
        self.reunion_at = now + self.protocol.reunion_period.mul_f64(stretch);
        if !self.connected || mutant::is(Mutant::NeverRetrySeeds) {
            return;
        }
        let members = self.swim.members();
        let lost = members
            .iter_down()
            .filter(|(node, _)| matches!(self.origin_status(*node), OriginStatus::Down { .. }))
            .map(|(_, peer)| peer.identity.addr);
        let mut silent: BTreeSet<SocketAddr> = lost.chain(self.seeds.addresses()).collect();
        silent.remove(&self.identity().addr);
        if !silent.is_empty() {
            for heard in members.iter_active() {
                silent.remove(&heard.addr);
            }
        }
        if let Some(address) = silent.into_iter().choose(&mut self.liveness_rng) {
            self.counters.hellos_sent += 1;
            self.seeds.hello_sent();
            let hello = Message::Hello(self.hello(self.seeds.token()));
            self.send(address, &hello);
        }
    }

    /// Somebody speaks to us although we know nobody: it knows where the others are. As often as referrals are followed,
    /// for the source of a datagram may be forged.
    pub(super) fn hello_back(&mut self, from: SocketAddr) {
        if !self.seeds.follow_referral() {
            return;
        }
        self.counters.hellos_sent += 1;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        self.send(from, &hello);
    }

    /// The answer is as long as the question, so a forged source address gains nothing. When more knock than we have
    /// places for, the others are referred to members at random, so that whoever has joined helps those who follow.
    /// Who knows of nobody else asks all in: a flood of forged knocks must not keep out those who mean it.
    pub(super) fn handle_hello(&mut self, from: SocketAddr, hello: &Hello, now: Time) {
        if hello.identity.node_id == self.identity().node_id {
            return self.meet_duplicate(&hello.identity, now);
        }
        if self.leaving.is_some() {
            return;
        }
        let served = self.sessions.keys().filter(|stream| stream.is_accepted()).count();
        let other =
            if self.invitations.invite(served, now) { None } else { self.other_than(hello) };
        let answer = if let Some(identity) = other {
            self.counters.referrals_sent += 1;
            Message::Referral(Hello { token: hello.token, identity })
        } else {
            self.counters.welcomes_sent += 1;
            Message::Welcome(self.hello(hello.token))
        };
        self.send(from, &answer);
    }

    /// A member that who knocks can reach, and that takes no more bytes to name.
    fn other_than(&mut self, hello: &Hello) -> Option<Identity> {
        let peers = self.swim.random_peers(2);
        let fits = |peer: &Identity| {
            peer.node_id != hello.identity.node_id
                && peer.addr.is_ipv4() == hello.identity.addr.is_ipv4()
        };
        peers.into_iter().find(fits)
    }

    /// Knocks where we are referred to by somebody at whom we hello_sent, unless we know that member.
    pub(super) fn handle_referral(&mut self, from: SocketAddr, referral: &Hello, now: Time) {
        let Identity { node_id, addr, .. } = referral.identity;
        if referral.token != self.seeds.token() || self.leaving.is_some() {
            self.counters.strangers_ignored += 1;
            return;
        }
        self.emit(Event::Welcomed { by: from });
        self.hello_answered(now);
        let known = node_id == self.identity().node_id || self.swim.active_peer(node_id).is_some();
        if known || mutant::is(Mutant::IgnoreReferral) || !self.seeds.follow_referral() {
            return;
        }
        self.counters.referrals_followed += 1;
        self.counters.hellos_sent += 1;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        self.send(addr, &hello);
    }

    pub(super) fn handle_welcome(&mut self, from: SocketAddr, welcome: &Hello, now: Time) {
        let peer = welcome.identity;
        if peer.node_id == self.identity().node_id {
            return self.meet_duplicate(&peer, now);
        }
        if welcome.token != self.seeds.token() || self.leaving.is_some() {
            self.counters.strangers_ignored += 1;
            return;
        }
        self.emit(Event::Welcomed { by: from });
        self.hello_answered(now);
        let stranger = self.swim.active_peer(peer.node_id).is_none();
        let wanted = !self.connected || self.seeds.is_eager() || stranger;
        let already = self
            .sessions
            .values()
            .any(|session| session.peer().is_some_and(|other| other.node_id == peer.node_id));
        if !wanted || already {
            return;
        }
        // Loopback and NAT may hide where the peer says it listens; where it answered from is surely reachable.
        let mut reachable = peer;
        reachable.addr.set_ip(from.ip());
        if let Some(stream) = self.open_session(&reachable, now) {
            self.sync.joins.insert(stream);
        }
    }
}
