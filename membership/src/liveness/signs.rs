//! Signs of life: pings, pongs, requests for votes, votes, and answers to TCP probes.

use std::net::SocketAddr;
use std::time::Duration;

use super::orders::short;
use crate::base::identity::Identity;
use crate::base::io::TcpProbeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::Liveness;
use crate::liveness::heard::Sign;
use crate::liveness::members::Peer;
use crate::wire::{Ask, MemberUpdates, Message, Ping, Pong, Update, Vote, pong_tag};

/// Least time between two nodes that are told that their node id also lives at another address.
const TELL_OF_DUPLICATES_EVERY: Duration = Duration::from_millis(200);

impl Liveness {
    /// Answers a ping at the address that it came from, even from a stranger. The answer is shorter than the ping, so a
    /// forged source gains nothing.
    pub(crate) fn handle_ping(&mut self, from: SocketAddr, ping: &Ping, now: Time) {
        if self.leaving || ping.sender == self.identity().node_id {
            return;
        }
        self.out.counters.pings_answered += 1;
        let pong = self.pong(ping, now);
        self.answer(from, &Message::Pong(pong));
        match self.swim.heard(ping.sender, Sign::Ping, now).copied() {
            Some(peer) if peer.is_active() => {
                self.note_contact(now);
                let known = peer.identity.addr;
                // A socket for both families sees IPv4 addresses as IPv6 ones.
                let strange = (known.ip().to_canonical(), known.port())
                    != (from.ip().to_canonical(), from.port());
                if strange && !mutant::is(Mutant::IgnoreStrangeAddress) {
                    self.tell_of_duplicate(from, peer.identity, now);
                }
            }
            // The sender lives, and does not know that we hold it down. A warning is longer than a ping.
            Some(peer) if peer.is_proven => self.warn(ping.sender, now),
            Some(_) => self.ask_for_proof(ping.sender),
            // The sender may take our pongs for those of an earlier life of ours, and never learn of the new one. So we
            // say hello.
            None if !self.connected => self.hello_back(from),
            None => {}
        }
    }

    /// Tells a node that we know its node id at another address. Only the members that the node pings can tell it. The
    /// rate is limited, because every ping looks like this behind NAT, and the source of a datagram may be forged.
    fn tell_of_duplicate(&mut self, from: SocketAddr, duplicate: Identity, now: Time) {
        if self.duplicates_told_at.is_some_and(|at| now.since(at) < TELL_OF_DUPLICATES_EVERY) {
            return;
        }
        self.duplicates_told_at = Some(now);
        self.out.counters.duplicates_told += 1;
        let updates = vec![Update::Alive(duplicate)];
        let member_updates =
            MemberUpdates { sender: self.identity().node_id, updates, datacenter: self.datacenter };
        self.out.send(from, &Message::MemberUpdates(member_updates));
    }

    pub(super) fn pong(&self, ping: &Ping, now: Time) -> Pong {
        Pong {
            tag: pong_tag(self.identity().node_id, ping.nonce),
            members: self.members_mark(),
            local_health: self.detector.local_health(now),
        }
    }

    /// A hash of the members of our pool and of the tables of others. It is compared with that of each member that we watch.
    fn members_mark(&self) -> [u8; 4] {
        let (members, tables) = (short(self.swim.digest()), self.tables);
        std::array::from_fn(|n| members[n] ^ tables[n])
    }

    /// Takes a pong that came from this address by datagram, or by stream if there is none.
    pub(crate) fn handle_pong(&mut self, pong: &Pong, from: Option<SocketAddr>, now: Time) {
        let proves = self.note_proof(pong.tag, now);
        let echoes = from.is_some() && self.echoes.answered(pong.tag, now);
        let members = self.members_mark();
        let answered = self.detector.pong(pong, members, from.is_none(), now);
        if let Some(node) = answered {
            self.swim.heard(node, Sign::Ping, now);
            self.exits.handle_pong(node, pong.tag);
            self.trust_again(node, now);
            self.note_contact(now);
            if let Some(from) = from {
                self.answered_from(node, from);
            }
        } else if !proves && !echoes {
            self.out.counters.pongs_unexpected += 1;
        }
    }

    pub(crate) fn handle_ask(&mut self, ask: &Ask, now: Time) {
        let Some(asker) = self.hear(ask.sender, Sign::Vote, now) else { return };
        let own = self.identity().node_id;
        if ask.suspect == own || ask.suspect == ask.sender || self.leaving {
            return;
        }
        let Some(Peer { identity, .. }) = self.swim.members().get(ask.suspect).copied() else {
            return;
        };
        // We go on looking for a member that we alone hold down.
        let active = self.swim.held_alive(ask.suspect).is_some();
        let update = match (active, identity.epoch.cmp(&ask.epoch)) {
            (true, std::cmp::Ordering::Greater) => Update::Alive(identity),
            // An accuser that still asks has missed the verdict.
            (false, std::cmp::Ordering::Equal | std::cmp::Ordering::Greater) => {
                // A verdict may be much longer than the question. The accuser asks again.
                if self.must_prove(ask.sender) {
                    return self.ask_for_proof(ask.sender);
                }
                Update::Down(self.verdict_on(&identity))
            }
            (true, _) => return self.detector.ask(ask.sender, identity, now),
            (false, std::cmp::Ordering::Less) => return,
        };
        let member_updates =
            MemberUpdates { sender: own, updates: vec![update], datacenter: self.datacenter };
        self.answer(asker.addr, &Message::MemberUpdates(member_updates));
    }

    pub(crate) fn handle_tcp_probe_answered(&mut self, tcp_probe: TcpProbeId) {
        if self.detector.tcp_probe_answered(tcp_probe) {
            self.out.counters.tcp_probes_answered += 1;
        }
    }

    pub(crate) fn handle_vote(&mut self, vote: &Vote, now: Time) {
        if self.hear(vote.sender, Sign::Vote, now).is_some() {
            self.detector.vote(vote, now);
        }
    }
}
