//! A node's datagrams: rumors, digests and pulls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::Event;
use crate::base::limits::{MAX_ANSWERS_WAITING, MAX_PULL_REPLY_DATAGRAMS};
use crate::base::provenance::{Arrival, Route, Sign};
use crate::base::time::Time;
use crate::catalog::record::Key;
use crate::catalog::{Applied, Delta, Head, Version, Want};
use crate::liveness::members::Peer;
use crate::spread::digests::Round;
use crate::spread::rumors::{Batch, Rumor, ToldBy};
use crate::testing::mutants::{self as mutant, Mutant};
use crate::wire::{
    DatagramBuilder, Digest, Hello, Message, Pull, WireError, decode_datagram, encoded_len,
    source_of, without_members,
};

/// Bytes of the deltas in one datagram, beside the sender's id and their number.
const RUMORS_BUDGET_BYTES: usize = DatagramBuilder::MAX_BODY_BYTES - 8 - 1;
/// Wants in one datagram: each takes at most 32 bytes.
const WANTS_PER_PULL: usize = 40;
/// Digests that differ although no head explains why, before a session looks into it.
const MISMATCHES_BEFORE_SYNC: u32 = 3;
/// With no news for this long, the first such digest is enough.
const QUIET_AFTER: Duration = Duration::from_millis(300);
/// Between the seeds of one round's distances and the next one's; odd, so that none is met again.
const ROUND_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
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
        if self.is_silent() && !matches!(message, Message::Claim(_)) {
            self.counters.ignored_while_silent += 1;
            return;
        }
        match message {
            Message::Claim(claim) => self.handle_claim(from, &claim, now),
            Message::Swim(packet) => self.handle_swim_packet(packet, now),
            Message::Hello(hello) => self.handle_hello(from, &hello, now),
            Message::Welcome(welcome) => self.handle_welcome(from, &welcome, now),
            Message::Referral(referral) => self.handle_referral(from, &referral, now),
            Message::Rumors(sender, deltas) => {
                // News is not answered, so whoever was a member may bring some: who leaves is down to SWIM before the
                // word that it left may have arrived.
                if self.swim.heard(sender, Sign::Rumor, now).is_some() {
                    self.last_contact = Some(now);
                    for delta in deltas {
                        self.handle_rumor(sender, delta, now);
                    }
                } else {
                    self.counters.strangers_ignored += 1;
                }
            }
            Message::Digest(digest) => {
                if let Some(peer) = self.hear(digest.sender, Sign::Digest, now) {
                    self.handle_digest(&peer, &digest, now);
                }
            }
            Message::Ping(ping) => self.handle_ping(from, &ping, now),
            Message::Pong(pong) => self.handle_pong(&pong, false, now),
            Message::Ask(ask) => self.handle_ask(&ask, now),
            Message::Vote(vote) => self.handle_vote(&vote, now),
            Message::MemberUpdates(member_updates) => {
                self.handle_member_updates(from, &member_updates, now)
            }
            Message::Compare(compare) => self.handle_compare(&compare, now),
            Message::Listing(listing) => self.handle_listing(&listing, now),
            Message::Pull(pull) => {
                if let Some(peer) = self.hear(pull.sender, Sign::Pull, now) {
                    for want in &pull.wants {
                        self.compare_epoch(want.origin, want.epoch, now);
                    }
                    self.handle_pull(&peer, &pull);
                }
            }
        }
    }

    fn handle_swim_packet(&mut self, packet: &[u8], now: Time) {
        use crate::liveness::swim::PacketError;
        let news = without_members(packet, |member, incarnation| {
            (incarnation == 0 && self.swim.knows(member)) || !self.takes_on_trust(member, now)
        });
        match self.swim.handle_packet(&news, now) {
            Ok(()) => {
                self.last_contact = Some(now);
                if let Some(source) = source_of(packet) {
                    self.swim.heard(source.node_id, Sign::Swim, now);
                }
            }
            Err(PacketError::RefutedBefore) => self.counters.swim_renewals_put_off += 1,
            Err(PacketError::NotForUs) => self.counters.swim_not_for_us += 1,
            Err(PacketError::Full | PacketError::Foca(_)) => self.counters.swim_refused += 1,
        }
    }

    /// Only active members are listened to, and answers go to where they said that they listen, not to where a
    /// datagram claims to come from: nobody is flooded by a forged source address.
    pub(super) fn hear(&mut self, sender: NodeId, by: Sign, now: Time) -> Option<Identity> {
        let peer = self.swim.heard(sender, by, now).copied().filter(Peer::is_active);
        match peer {
            Some(_) => self.last_contact = Some(now),
            None => self.counters.strangers_ignored += 1,
        }
        peer.map(|peer| peer.identity)
    }

    fn handle_rumor(&mut self, sender: NodeId, delta: Delta, now: Time) {
        self.counters.rumors_received += 1;
        let head = Head { origin: delta.origin, epoch: delta.epoch, known_to: delta.head };
        // A origin_tombstone that was ignored, because its origin lives, is nothing that is missing.
        let origin_tombstone = delta.is_origin_tombstone();
        let pulled = self.gaps.is_pulled(delta.origin);
        let route = if pulled { Route::Pull } else { Route::Rumor };
        if self.learn(&delta, sender, route, now) {
            self.counters.rumors_news += 1;
            self.counters.rumors_dropped +=
                self.rumors.push(Rumor { delta, from: sender }, now) as u64;
        }
        if !origin_tombstone {
            self.note_gap(head, sender, now + self.protocol.pull_after);
        }
    }

    /// Applies a delta, and returns whether anything of it was new.
    pub(super) fn learn(&mut self, delta: &Delta, from: NodeId, by: Route, now: Time) -> bool {
        let origin = delta.origin;
        let lives = self.swim.active_peer(origin).is_some();
        let before = self.catalog.origin(origin).and_then(|origin| origin.node());
        let force_left = before.filter(|_| delta.is_origin_tombstone()).cloned();
        match self.catalog.apply(delta, lives) {
            Applied::Known => false,
            Applied::Full => {
                self.counters.origins_refused += 1;
                false
            }
            Applied::Refuted(epoch) => {
                self.refute(epoch, now);
                false
            }
            Applied::News(changed) => {
                if delta.is_origin_tombstone() {
                    self.note_force_leave(origin, force_left, from, now);
                } else {
                    self.provenances.returned(origin);
                }
                self.refresh(origin, &changed);
                if changed.contains(&Key::Node) {
                    self.refresh_member(origin);
                }
                self.provenances.news(origin, Arrival { at: now, from, by });
                self.recent.moved(origin, now);
                self.digests.news(now);
                self.gaps.check(&self.catalog.want_in(origin, delta.epoch));
                true
            }
        }
    }

    /// Notes that somebody has more of an origin than we do, if so.
    pub(super) fn note_gap(&mut self, head: Head, source: NodeId, due: Time) -> bool {
        let want = self.catalog.want_in(head.origin, head.epoch);
        let own = self.identity().node_id;
        let known = (want.epoch, want.after) >= (head.epoch, head.known_to);
        if head.origin == own || known || mutant::is(Mutant::NeverRepair) {
            return false;
        }
        if !self.gaps.note(head, &want, source, due) {
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
        self.tell_its_origin_tombstone(peer, now);
        let mut explained = false;
        for head in &digest.recent {
            self.compare_epoch(head.origin, head.epoch, now);
            explained |= self.note_gap(*head, peer.node_id, now);
        }
        if explained {
            return;
        }
        self.sync.mismatches += 1;
        let quiet = now.since(self.digests.last_news()) > QUIET_AFTER;
        if quiet || self.sync.mismatches >= MISMATCHES_BEFORE_SYNC {
            self.sync.mismatches = 0;
            self.request_sync(peer);
        }
    }

    fn handle_pull(&mut self, peer: &Identity, pull: &Pull) {
        let waiting = self.answers.iter().any(|(to, _)| *to == peer.addr);
        if waiting || self.answers.len() + MAX_PULL_REPLY_DATAGRAMS > MAX_ANSWERS_WAITING {
            self.counters.pulls_refused += 1;
            return;
        }
        self.counters.pulls_answered += 1;
        let mut datagrams = Vec::new();
        let mut deltas = Vec::new();
        let mut room = RUMORS_BUDGET_BYTES;
        let mut answered = None;
        'wants: for want in &pull.wants {
            // Who receives a new state of an origin asks for the old one too, which is of no use beside the new.
            if answered == Some(want.origin) {
                continue;
            }
            let mut want = *want;
            while let Some(delta) = self.catalog.answer(&want, RUMORS_BUDGET_BYTES) {
                want =
                    Want { epoch: delta.epoch, after: delta.to, gc_floor: delta.gc_floor, ..want };
                let len = encoded_len(&delta);
                if len > room && !deltas.is_empty() {
                    datagrams.push(std::mem::take(&mut deltas));
                    room = RUMORS_BUDGET_BYTES;
                    if datagrams.len() == MAX_PULL_REPLY_DATAGRAMS {
                        break 'wants;
                    }
                }
                room = room.saturating_sub(len);
                deltas.push(delta);
                answered = Some(want.origin);
            }
        }
        if !deltas.is_empty() {
            datagrams.push(deltas);
        }
        let own = self.identity().node_id;
        for deltas in datagrams {
            if let Some(bytes) = self.seal(&Message::Rumors(own, deltas)) {
                self.answers.push_back((peer.addr, bytes));
            }
        }
    }

    pub(super) fn handle_gossip_deadlines(&mut self, now: Time) {
        let jitter = DIGEST_JITTER.mul_f64(self.spread_rng.random());
        if let Some(round) = self.digests.take_burst(now, jitter) {
            self.send_digest(round, self.protocol.digest_fanout, now);
        }
        let jitter = self.protocol.digest_period.mul_f64(self.spread_rng.random::<f64>() / 10.0);
        if let Some(round) = self.digests.take_quiet(now, jitter) {
            self.send_digest(round, 1, now);
        }
        let waiting = self.rumors.backlog_bytes() + self.answers_bytes();
        let due = self.gaps.take_due(now, self.budget.time_for(waiting), &self.protocol);
        for (source, origins) in due.pulls {
            self.pull(source, &origins, now);
        }
        self.counters.pulls_too_large += due.large.len() as u64;
        self.counters.pulls_given_up += due.given_up.len() as u64;
        for source in due.large.into_iter().chain(due.given_up) {
            let peer = self.swim.active_peer(source).copied();
            if let Some(peer) = peer.or_else(|| self.swim.random_peers(1).pop()) {
                self.request_sync(&peer);
            }
        }
    }

    /// To peers at distances along the ring that the round and what we hold decide: of all who hold the same, each
    /// speaks to others, so nobody who lacks something is left out by chance.
    fn send_digest(&mut self, round: Round, fanout: usize, now: Time) {
        let catalog = self.catalog.digest();
        let seed = catalog.wrapping_add(round.0.wrapping_mul(ROUND_STEP));
        let peers = self.swim.offset_peers(seed, fanout);
        let recent =
            self.recent.settled(now).filter_map(|origin| self.catalog.head(origin)).collect();
        let digest = Digest { sender: self.identity().node_id, catalog, recent };
        self.counters.digests_sent += peers.len() as u64;
        let message = Message::Digest(digest);
        for peer in peers {
            self.send_repair(peer.addr, &message, now);
        }
    }

    fn pull(&mut self, source: NodeId, origins: &[NodeId], now: Time) {
        let source =
            self.swim.active_peer(source).copied().or_else(|| self.swim.random_peers(1).pop());
        let Some(peer) = source else { return };
        let wants: Vec<Want> =
            origins.iter().flat_map(|origin| self.catalog.wants(*origin)).collect();
        for wants in wants.chunks(WANTS_PER_PULL) {
            self.counters.pulls_sent += 1;
            let pull = Pull { sender: self.identity().node_id, wants: wants.to_vec() };
            self.send_repair(peer.addr, &Message::Pull(pull), now);
        }
    }

    /// Digests and pulls are small and tell what to send: they do not wait for bandwidth, but they take theirs.
    pub(super) fn send_repair(&mut self, to: SocketAddr, message: &Message<'_>, now: Time) {
        let before = self.counters.datagram_bytes_sent;
        self.send(to, message);
        let sent = self.counters.datagram_bytes_sent - before;
        self.budget.spend(usize::try_from(sent).unwrap_or(usize::MAX), now);
    }

    fn answers_bytes(&self) -> usize {
        self.answers.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// When there is something to send and the bandwidth to do so.
    pub(super) fn next_rumor_deadline(&self) -> Option<Time> {
        let answers = self.answers.front().map(|_| Time::ZERO);
        let waiting = answers.into_iter().chain(self.rumors.next_deadline()).min()?;
        Some(waiting.max(self.budget.ready_at()))
    }

    /// Sends what waits, as far as the bandwidth goes: answers, which somebody surely lacks; then what nobody was told
    /// of yet; then further copies.
    pub(super) fn flush_rumors(&mut self, now: Time) {
        while !self.answers.is_empty() && self.budget.is_ready(now) {
            if let Some((to, bytes)) = self.answers.pop_front() {
                self.send_within_budget(to, bytes, now);
            }
        }
        if let Some((mut own, mut heard)) = self.rumors.take_fresh(now) {
            while self.budget.is_ready(now) && (own.is_some() || !heard.is_empty()) {
                own = own.and_then(|after| self.send_own(after, now));
                if !heard.is_empty() && self.budget.is_ready(now) {
                    self.send_heard(&mut heard, now);
                }
            }
            self.rumors.put_back(own, heard, now);
        }
        while self.budget.is_ready(now)
            && let Some((to, bytes, rumors)) = self.rumors.take_copy()
        {
            self.counters.rumors_sent += rumors as u64;
            self.send_within_budget(to, bytes, now);
        }
    }

    fn send_within_budget(&mut self, to: SocketAddr, bytes: Vec<u8>, now: Time) {
        self.budget.spend(bytes.len(), now);
        self.send_datagram(to, bytes);
    }

    /// Cuts one datagram of our own writes after a version and sends the first copy of it. Returns after which version to
    /// go on. What does not fit a datagram is left to digests and sessions.
    fn send_own(&mut self, after: Version, now: Time) -> Option<Version> {
        let own = self.identity().node_id;
        let replica = self.catalog.origin(own)?.current()?;
        let last = replica.known_to();
        if after >= last {
            return None;
        }
        let Some(delta) = replica.delta_after(own, after, RUMORS_BUDGET_BYTES) else {
            return Some(after + 1);
        };
        let after = delta.to;
        let targets = self.swim.rumor_targets(self.protocol.origin_fanout);
        self.send_batch(vec![delta], targets.iter().map(|target| target.addr), now);
        (after < last).then_some(after)
    }

    /// Packs one datagram of what we heard and sends the first copy of it.
    fn send_heard(&mut self, heard: &mut VecDeque<Rumor>, now: Time) {
        let mut told_by = ToldBy::new();
        let mut room = RUMORS_BUDGET_BYTES;
        let mut deltas = Vec::new();
        while let Some(rumor) = heard.front() {
            let len = encoded_len(&rumor.delta);
            if len > room && !deltas.is_empty() {
                break;
            }
            let Some(rumor) = heard.pop_front() else { break };
            room = room.saturating_sub(len);
            told_by.insert(rumor.from);
            deltas.push(rumor.delta);
        }
        let targets = self.swim.rumor_targets(self.protocol.rumor_fanout);
        // Who alone told us all of this needs none of it.
        let needing = targets
            .iter()
            .filter(|target| told_by.len() > 1 || !told_by.contains(&target.node_id))
            .map(|target| target.addr);
        self.send_batch(deltas, needing, now);
    }

    fn send_batch(
        &mut self,
        deltas: Vec<Delta>,
        targets: impl Iterator<Item = SocketAddr>,
        now: Time,
    ) {
        let rumors = deltas.len();
        let Some(bytes) = self.seal(&Message::Rumors(self.identity().node_id, deltas)) else {
            return;
        };
        let targets = targets.collect();
        let dropped = self.rumors.push_batch(Batch { bytes, rumors, targets });
        self.counters.rumors_dropped += dropped as u64;
        if let Some((to, bytes, rumors)) = self.rumors.take_copy() {
            self.counters.rumors_sent += rumors as u64;
            self.send_within_budget(to, bytes, now);
        }
    }

    pub(super) fn hello(&self, token: u64) -> Hello {
        Hello { token, identity: *self.identity() }
    }
}
