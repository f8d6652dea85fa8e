//! Joining a cluster: saying hello at the seeds, and answering the hellos of others.

pub(super) mod seeds;

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use crate::base::identity::{Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::liveness::Liveness;
use crate::liveness::facts::Fact;
use crate::wire::{Hello, Message};

/// Least time between two strangers that we say hello to because they compare views with us. The source of a datagram may
/// be forged, and a welcome makes us open a session.
const GREET_STRANGERS_EVERY: Duration = Duration::from_secs(1);

impl Liveness {
    /// Says hello at the seeds and, while we are alone, at the former peers.
    pub(super) fn handle_hello_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::Hello, now) {
            return;
        }
        let stretch = self.hello_stretch();
        let former = self.swim.members().iter().map(|(_, peer)| peer.identity.addr);
        let addresses = self.seeds.take_due(now, !self.connected, former, stretch);
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

    /// A random factor for the time between two hellos. Nodes that started together would otherwise go on saying hello
    /// together.
    pub(super) fn hello_stretch(&mut self) -> f64 {
        0.75 + self.rng.random::<f64>() / 2.0
    }

    /// Brings the next round of hellos forward, because a node answered ours, by a welcome or a referral.
    fn hello_answered(&mut self, now: Time) {
        let stretch = self.hello_stretch();
        self.seeds.answered(now, stretch);
        self.set_hello_timer();
    }

    /// Says hello to a stranger that pings us while we are alone, since it may know other members. The limit on
    /// referrals applies, because the source of a datagram may be forged.
    pub(super) fn hello_back(&mut self, from: SocketAddr) {
        if !self.seeds.follow_referral() {
            return;
        }
        self.out.counters.hellos_sent += 1;
        let hello = Message::Hello(self.hello(self.seeds.token()));
        self.out.send(from, &hello);
    }

    /// Says hello to a stranger that compares views with us. It holds us for a member, and our pongs for those of an
    /// earlier life of ours: we started again at the same address before we had noted it as a peer. Without a hello
    /// neither would ever learn of the other.
    pub(crate) fn greet_stranger(&mut self, stranger: NodeId, from: SocketAddr, now: Time) {
        let is_known = self.swim.members().get(stranger).is_some();
        let greeted = self.greeted_at.is_some_and(|at| now.since(at) < GREET_STRANGERS_EVERY);
        if is_known || greeted || self.leaving {
            return;
        }
        self.greeted_at = Some(now);
        self.out.counters.hellos_sent += 1;
        self.seeds.hello_sent();
        let hello = Message::Hello(self.hello(self.seeds.token()));
        self.out.send(from, &hello);
    }

    /// Answers a hello. `served` is the number of sessions that we serve.
    ///
    /// The answer is as long as the hello, so a forged source address gains nothing. Newcomers beyond our sessions are
    /// referred to random members, so that nodes that have joined help others to join. A node that knows no other
    /// member welcomes all newcomers: a flood of forged hellos must not keep out real ones.
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
            Message::Referral(Hello { identity, ..self.hello(hello.token) })
        } else {
            self.out.counters.welcomes_sent += 1;
            Message::Welcome(self.hello(hello.token))
        };
        self.out.send(from, &answer);
    }

    /// Notes that a node opened a session, perhaps after a welcome of ours.
    pub(crate) fn note_session_opened(&mut self) {
        self.invitations.came();
    }

    /// Ends the request to join: a session with a member has succeeded.
    pub(crate) fn joined(&mut self) {
        self.seeds.joined();
        self.set_hello_timer();
    }

    /// Says hello at these addresses until we have joined, for a limited number of rounds if we are not alone.
    pub(crate) fn join(&mut self, addresses: Vec<SocketAddr>, now: Time) {
        self.seeds.add(addresses, now);
        self.set_hello_timer();
    }

    /// Says hello at the seeds at once: from now on hellos can be sealed.
    pub(crate) fn hurry_hellos(&mut self, now: Time) {
        self.seeds.hurry(now);
        self.set_hello_timer();
    }

    pub(super) fn set_hello_timer(&mut self) {
        self.timers.put(Timer::Hello, self.seeds.next_deadline(!self.connected));
    }

    /// A random member of the newcomer's address family. The newcomer can reach it, and its address is no longer than
    /// its own.
    fn other_than(&mut self, hello: &Hello) -> Option<Identity> {
        let peers = self.swim.random_peers(2);
        let fits = |peer: &Identity| {
            peer.node_id != hello.identity.node_id
                && peer.addr.is_ipv4() == hello.identity.addr.is_ipv4()
        };
        peers.into_iter().find(fits)
    }

    /// Says hello to the member that a referral names, unless we know it.
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
            // The address that the peer gives for itself may be unreachable from here, as behind NAT. The address that
            // it answered from is reachable.
            let mut reachable = peer;
            reachable.addr.set_ip(from.ip());
            self.out.tell(Fact::Reachable(reachable));
        }
    }

    /// The content of our hello or welcome, with this token.
    pub(super) fn hello(&self, token: u64) -> Hello {
        let (datacenter, tables) = (self.datacenter, self.tables);
        Hello { token, identity: *self.identity(), datacenter, tables }
    }
}
