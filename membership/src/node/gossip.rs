//! A node's datagrams: rumors, digests and pulls.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::catalog::{Applied, Delta, Head, Want};
use crate::identity::{Identity, NodeId};
use crate::io::Event;
use crate::limits::MAX_PULL_REPLY_DATAGRAMS;
use crate::mutant::{self, Mutant};
use crate::record::Key;
use crate::rumor::Rumor;
use crate::time::Time;
use crate::wire::{DatagramBuilder, Digest, Hello, Message, Pull, WireError, decode_datagram};

/// Bytes of a delta in a datagram of its own, beside the sender's id.
pub(super) const RUMOR_BUDGET_BYTES: usize = DatagramBuilder::MAX_BODY_BYTES - 8;
/// Wants in one datagram: each takes at most 32 bytes.
const WANTS_PER_PULL: usize = 40;
/// Digests that differ although no head explains why, before a session looks into it.
const MISMATCHES_BEFORE_SYNC: u32 = 3;
/// With no news for this long, the first such digest is enough.
const QUIET_AFTER: Duration = Duration::from_millis(300);
/// Spreads the digests of a burst, so that nodes which heard of a change together do not all speak together.
const DIGEST_JITTER: Duration = Duration::from_millis(5);

impl Node {
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Time) {
        self.counters.datagrams_received += 1;
        let messages = match decode_datagram(bytes, self.cluster) {
            Ok(messages) => messages,
            Err(WireError::OtherCluster) => {
                self.counters.datagrams_other_cluster += 1;
                if self.foreigners.heard(from) {
                    self.emit(Event::OtherCluster { address: from });
                }
                return;
            }
            Err(_) => {
                self.counters.datagrams_malformed += 1;
                return;
            }
        };
        for message in messages {
            match message {
                Ok(message) => self.handle_message(from, message, now),
                Err(_) => self.counters.messages_invalid += 1,
            }
        }
    }

    fn handle_message(&mut self, from: SocketAddr, message: Message<'_>, now: Time) {
        match message {
            Message::Swim(packet) => self.handle_swim_packet(packet, now),
            Message::Hello(hello) => self.handle_hello(from, &hello),
            Message::Welcome(welcome) => self.handle_welcome(from, &welcome, now),
            Message::Rumor(sender, delta) => {
                // News is not answered, so whoever was a member may bring some: who leaves is down to SWIM before the
                // word that it left may have arrived.
                if self.swim.peers().contains_key(&sender) {
                    self.last_contact = Some(now);
                    self.handle_rumor(sender, delta, now);
                } else {
                    self.counters.strangers_ignored += 1;
                }
            }
            Message::Digest(digest) => {
                if let Some(peer) = self.hear(digest.sender, now) {
                    self.handle_digest(&peer, &digest, now);
                }
            }
            Message::Pull(pull) => {
                if let Some(peer) = self.hear(pull.sender, now) {
                    for want in &pull.wants {
                        self.compare_epoch(want.origin, want.epoch, now);
                    }
                    self.handle_pull(&peer, &pull);
                }
            }
        }
    }

    fn handle_swim_packet(&mut self, packet: &[u8], now: Time) {
        use crate::swim::PacketError;
        match self.swim.handle_packet(packet, now) {
            Ok(()) => self.last_contact = Some(now),
            Err(PacketError::NotForUs) => self.counters.swim_not_for_us += 1,
            Err(PacketError::Full | PacketError::Foca(_)) => self.counters.swim_refused += 1,
        }
    }

    /// Only active members are listened to, and answers go to where they said that they listen, not to where a
    /// datagram claims to come from: nobody is flooded by a forged source address.
    fn hear(&mut self, sender: NodeId, now: Time) -> Option<Identity> {
        let peer = self.swim.active_peer(sender).copied();
        match peer {
            Some(_) => self.last_contact = Some(now),
            None => self.counters.strangers_ignored += 1,
        }
        peer
    }

    fn handle_rumor(&mut self, sender: NodeId, delta: Delta, now: Time) {
        self.counters.rumors_received += 1;
        let head = Head { origin: delta.origin, epoch: delta.epoch, known_to: delta.head };
        if self.learn(&delta, now) {
            self.counters.rumors_news += 1;
            if !self.rumors.push(Rumor { delta, from: Some(sender) }, now) {
                self.counters.rumors_dropped += 1;
            }
        }
        self.note_gap(head, sender, now + self.protocol.pull_after);
    }

    /// Applies a delta, and returns whether anything of it was new.
    pub(super) fn learn(&mut self, delta: &Delta, now: Time) -> bool {
        let origin = delta.origin;
        match self.catalog.apply(delta) {
            Applied::Known => false,
            Applied::Full => {
                self.counters.origins_refused += 1;
                false
            }
            Applied::Contradicted(epoch) => {
                self.contradict(epoch, now);
                false
            }
            Applied::News(changed) => {
                self.refresh(origin, &changed);
                if changed.contains(&Key::Node) {
                    self.refresh_member(origin);
                }
                self.recent.moved(origin, now);
                self.digests.news(now);
                self.gaps.check(&self.catalog.want(origin));
                true
            }
        }
    }

    /// Notes that somebody has more of an origin than we do, if so.
    fn note_gap(&mut self, head: Head, source: NodeId, due: Time) -> bool {
        let want = self.catalog.want(head.origin);
        let own = self.identity().node_id;
        let known = (want.epoch, want.after) >= (head.epoch, head.known_to);
        if head.origin == own || known || mutant::is(Mutant::NeverRepair) {
            return false;
        }
        if !self.gaps.note(head, source, due) {
            self.counters.gaps_dropped += 1;
        }
        true
    }

    fn handle_digest(&mut self, peer: &Identity, digest: &Digest, now: Time) {
        if digest.catalog == self.catalog.digest() || mutant::is(Mutant::NeverRepair) {
            self.counters.digests_equal += 1;
            self.sync.mismatches = 0;
            return;
        }
        self.counters.digests_different += 1;
        let mut explained = false;
        for head in &digest.recent {
            self.compare_epoch(head.origin, head.epoch, now);
            explained |= self.note_gap(*head, peer.node_id, now);
        }
        if explained {
            return;
        }
        self.sync.mismatches += 1;
        let quiet = self.recent.last_moved().is_none_or(|at| now.since(at) > QUIET_AFTER);
        if quiet || self.sync.mismatches >= MISMATCHES_BEFORE_SYNC {
            self.sync.mismatches = 0;
            self.request_sync(peer);
        }
    }

    fn handle_pull(&mut self, peer: &Identity, pull: &Pull) {
        self.counters.pulls_answered += 1;
        let own = self.identity().node_id;
        let mut room = MAX_PULL_REPLY_DATAGRAMS;
        let mut datagram = DatagramBuilder::default();
        let mut datagrams = Vec::new();
        'wants: for want in &pull.wants {
            let mut want = *want;
            while let Some(delta) = self.catalog.answer(&want, RUMOR_BUDGET_BYTES) {
                want =
                    Want { epoch: delta.epoch, after: delta.to, gc_floor: delta.gc_floor, ..want };
                let rumor = Message::Rumor(own, delta);
                if datagram.push(&rumor).is_err() {
                    datagrams.push(std::mem::take(&mut datagram).finish(self.cluster));
                    room -= 1;
                    if room == 0 {
                        break 'wants;
                    }
                    if datagram.push(&rumor).is_err() {
                        self.counters.encoding_errors += 1;
                    }
                }
            }
        }
        if !datagram.is_empty() {
            datagrams.push(datagram.finish(self.cluster));
        }
        for bytes in datagrams {
            self.send_datagram(peer.addr, bytes);
        }
    }

    pub(super) fn handle_gossip_deadlines(&mut self, now: Time) {
        let jitter = DIGEST_JITTER.mul_f64(self.rng.random());
        if self.digests.take_burst(now, jitter) {
            self.send_digest(self.protocol.digest_fanout, now);
        }
        let jitter = self.protocol.digest_period.mul_f64(self.rng.random::<f64>() / 10.0);
        if self.digests.take_quiet(now, jitter) {
            self.send_digest(1, now);
        }
        let due = self.gaps.take_due(now, &self.protocol);
        for (source, origins) in due.pulls {
            self.pull(source, &origins);
        }
        for source in due.given_up {
            self.counters.pulls_given_up += 1;
            let peer =
                self.swim.active_peer(source).copied().or_else(|| self.swim.random_peers(1).pop());
            if let Some(peer) = peer {
                self.request_sync(&peer);
            }
        }
    }

    fn send_digest(&mut self, fanout: usize, now: Time) {
        let peers = self.swim.random_peers(fanout);
        let recent =
            self.recent.settled(now).filter_map(|origin| self.catalog.head(origin)).collect();
        let digest =
            Digest { sender: self.identity().node_id, catalog: self.catalog.digest(), recent };
        self.counters.digests_sent += peers.len() as u64;
        let message = Message::Digest(digest);
        for peer in peers {
            self.send(peer.addr, &message);
        }
    }

    fn pull(&mut self, source: NodeId, origins: &[NodeId]) {
        let source =
            self.swim.active_peer(source).copied().or_else(|| self.swim.random_peers(1).pop());
        let Some(peer) = source else { return };
        let wants: Vec<Want> = origins.iter().map(|origin| self.catalog.want(*origin)).collect();
        for wants in wants.chunks(WANTS_PER_PULL) {
            self.counters.pulls_sent += 1;
            let pull = Pull { sender: self.identity().node_id, wants: wants.to_vec() };
            self.send(peer.addr, &Message::Pull(pull));
        }
    }

    /// Sends what waits: our own rumors to more peers than those of others.
    pub(super) fn flush_rumors(&mut self, now: Time) {
        let due = self.rumors.take_due(now);
        let (own, foreign): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|rumor| rumor.from.is_none());
        self.send_rumors(own, self.protocol.origin_fanout);
        self.send_rumors(foreign, self.protocol.rumor_fanout);
    }

    fn send_rumors(&mut self, rumors: Vec<Rumor>, fanout: usize) {
        if rumors.is_empty() {
            return;
        }
        let targets = self.swim.rumor_targets(fanout);
        let sender = self.identity().node_id;
        for (bytes, told_by) in self.pack(sender, rumors) {
            for target in &targets {
                // Who alone told us all of this needs none of it.
                if told_by.len() == 1 && told_by.contains(&Some(target.node_id)) {
                    continue;
                }
                self.counters.rumors_sent += 1;
                self.send_datagram(target.addr, bytes.clone());
            }
        }
    }

    /// Datagrams, each with the set of those who told us what is in it.
    fn pack(
        &mut self,
        sender: NodeId,
        rumors: Vec<Rumor>,
    ) -> Vec<(Vec<u8>, BTreeSet<Option<NodeId>>)> {
        let mut packed = Vec::new();
        let mut datagram = DatagramBuilder::default();
        let mut told_by = BTreeSet::new();
        for Rumor { delta, from } in rumors {
            let message = Message::Rumor(sender, delta);
            if datagram.push(&message).is_err() {
                packed.push((
                    std::mem::take(&mut datagram).finish(self.cluster),
                    std::mem::take(&mut told_by),
                ));
                if datagram.push(&message).is_err() {
                    self.counters.encoding_errors += 1;
                }
            }
            told_by.insert(from);
        }
        if !datagram.is_empty() {
            packed.push((datagram.finish(self.cluster), told_by));
        }
        packed
    }

    pub(super) fn hello(&self, token: u64) -> Hello {
        Hello { token, identity: *self.identity() }
    }
}
