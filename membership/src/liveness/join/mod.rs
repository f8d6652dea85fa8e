//! The way into a cluster: saying hello at the seeds, and answering the hellos of others.

pub(super) mod seeds;

use std::net::SocketAddr;

use rand::RngExt;

use crate::base::identity::Identity;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::liveness::Liveness;
use crate::liveness::facts::Fact;
use crate::wire::{Hello, Message};

impl Liveness {
    /// Says hello at the seeds and, while we are alone, at the former peers.
    pub(super) fn handle_hello_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::Hello, now) {
            return;
        }
        let former: Vec<SocketAddr> =
            self.swim.members().iter().map(|(_, peer)| peer.identity.addr).collect();
        let stretch = self.hello_stretch();
        let addresses = self.seeds.take_due(now, !self.connected, former.into_iter(), stretch);
        self.set_hello_timer();
        if self.last_contact.is_some() && mutant::is(Mutant::NeverRetrySeeds) {
            return;
        }
        let own = self.identity().addr;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        for address in addresses.into_iter().filter(|address| *address != own) {
            self.out.counters.hellos_sent += 1;
            self.out.send(address, &hello);
        }
    }

    /// A factor for the time between two hellos: nodes that started together do not say hello together for ever.
    pub(super) fn hello_stretch(&mut self) -> f64 {
        0.75 + self.rng.random::<f64>() / 2.0
    }

    /// Somebody answered our hello, if only to say that there is no room: the next one is not put off for long.
    fn hello_answered(&mut self, now: Time) {
        let stretch = self.hello_stretch();
        self.seeds.answered(now, stretch);
        self.set_hello_timer();
    }

    /// Says hello to somebody who speaks to us although we know nobody: it knows where the others are. This happens as
    /// often as referrals are followed, since the source of a datagram may be forged.
    pub(super) fn hello_back(&mut self, from: SocketAddr) {
        if !self.seeds.follow_referral() {
            return;
        }
        self.out.counters.hellos_sent += 1;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        self.out.send(from, &hello);
    }

    /// Answers a hello. `served` is how many sessions we serve.
    ///
    /// The answer is as long as the question, so a forged source address gains nothing. When more come than we have
    /// places for, the others are referred to members at random, so that those who have joined help those who follow.
    /// A node that knows of nobody else invites all: a flood of forged hellos must not keep out real ones.
    pub(crate) fn handle_hello(
        &mut self,
        from: SocketAddr,
        hello: &Hello,
        served: usize,
        now: Time,
    ) {
        if hello.identity.node_id == self.identity().node_id {
            return self.meet_duplicate(&hello.identity, now);
        }
        if self.leaving {
            return;
        }
        let other =
            if self.invitations.invite(served, now) { None } else { self.other_than(hello) };
        let answer = if let Some(identity) = other {
            self.out.counters.referrals_sent += 1;
            Message::Referral(Hello { token: hello.token, identity })
        } else {
            self.out.counters.welcomes_sent += 1;
            Message::Welcome(self.hello(hello.token))
        };
        self.out.send(from, &answer);
    }

    /// Somebody came who may have been invited.
    pub(crate) fn guest_came(&mut self) {
        self.invitations.came();
    }

    /// We joined a member that answered.
    pub(crate) fn joined(&mut self) {
        self.seeds.joined();
        self.set_hello_timer();
    }

    /// Says hello at these addresses until somebody answers.
    pub(crate) fn join(&mut self, addresses: Vec<SocketAddr>, now: Time) {
        self.seeds.add(addresses, now);
        self.set_hello_timer();
    }

    pub(super) fn set_hello_timer(&mut self) {
        self.timers.put(Timer::Hello, self.seeds.next_deadline(!self.connected));
    }

    /// Another member that the newcomer can reach, and that takes no more bytes to name.
    fn other_than(&mut self, hello: &Hello) -> Option<Identity> {
        let peers = self.swim.random_peers(2);
        let fits = |peer: &Identity| {
            peer.node_id != hello.identity.node_id
                && peer.addr.is_ipv4() == hello.identity.addr.is_ipv4()
        };
        peers.into_iter().find(fits)
    }

    /// Says hello to the member that we are referred to, unless we know it.
    pub(crate) fn handle_referral(&mut self, from: SocketAddr, referral: &Hello, now: Time) {
        let Identity { node_id, addr, .. } = referral.identity;
        if referral.token != self.seeds.token() || self.leaving {
            self.out.counters.strangers_ignored += 1;
            return;
        }
        self.out.tell(Fact::Welcomed { by: from });
        self.hello_answered(now);
        let known = node_id == self.identity().node_id || self.swim.active_peer(node_id).is_some();
        if known || mutant::is(Mutant::IgnoreReferral) || !self.seeds.follow_referral() {
            return;
        }
        self.out.counters.referrals_followed += 1;
        self.out.counters.hellos_sent += 1;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        self.out.send(addr, &hello);
    }

    /// Asks for a session with a member that answered our hello, if we need one.
    pub(crate) fn handle_welcome(&mut self, from: SocketAddr, welcome: &Hello, now: Time) {
        let peer = welcome.identity;
        if peer.node_id == self.identity().node_id {
            return self.meet_duplicate(&peer, now);
        }
        if welcome.token != self.seeds.token() || self.leaving {
            self.out.counters.strangers_ignored += 1;
            return;
        }
        self.out.tell(Fact::Welcomed { by: from });
        self.hello_answered(now);
        let stranger = self.swim.active_peer(peer.node_id).is_none();
        let wanted = !self.connected || self.seeds.is_eager() || stranger;
        if wanted {
            // Loopback and NAT may hide where the peer says it listens. The address that it answered from is reachable.
            let mut reachable = peer;
            reachable.addr.set_ip(from.ip());
            self.out.tell(Fact::Reachable(reachable));
        }
    }

    /// Our hello, or the answer to that of another.
    pub(super) fn hello(&self, token: u64) -> Hello {
        Hello { token, identity: *self.identity() }
    }
}
