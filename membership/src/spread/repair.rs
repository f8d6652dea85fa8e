//! Repair by datagram: digests that show differences, and pulls of missing versions.

use std::time::Duration;

use rand::RngExt;

use super::Spread;
use super::digests::Round;
use super::gateway::withholding::is_far;
use super::peers::Peers;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::{MAX_ANSWERS_WAITING, MAX_PULL_REPLY_DATAGRAMS};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::catalog::{Delta, Want};
use crate::wire::{Ages, Digest, Message, Pull};

/// Wants in one datagram. A want takes at most 32 bytes.
pub(super) const WANTS_PER_PULL: usize = 40;
/// Differing digests in a row, without a head that explains the difference, after which a session is requested.
const MISMATCHES_BEFORE_SYNC: u32 = 3;
/// Without news for this long, the first such digest is enough.
const QUIET_AFTER: Duration = Duration::from_millis(300);
/// The step from the seed of one round's distances to that of the next round. It is odd, so that no seed repeats.
const ROUND_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// The jitter of the digests of a burst, so that nodes which heard of a change together do not all send together.
const DIGEST_JITTER: Duration = Duration::from_millis(5);

impl Spread {
    /// Compares the digest of an active peer with ours.
    pub(crate) fn handle_digest(
        &mut self,
        peer: &Identity,
        digest: &Digest,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        if digest.catalog == self.catalog.digest() || mutant::is(Mutant::NeverRepair) {
            self.out.counters.digests_equal += 1;
            self.sync.mismatches = 0;
            return;
        }
        self.out.counters.digests_different += 1;
        self.tell_its_origin_tombstone(peer, now);
        let mut explained = false;
        for head in &digest.recent {
            self.compare_epoch(head.origin, head.epoch, peers, now);
            explained |= self.note_gap(*head, peer.node_id, now);
        }
        if explained || self.is_bulk_under_way(now) {
            return;
        }
        self.sync.mismatches += 1;
        let quiet = now.since(self.digests.last_news()) > QUIET_AFTER;
        if quiet || self.sync.mismatches >= MISMATCHES_BEFORE_SYNC {
            self.sync.mismatches = 0;
            self.request_sync(peer);
        }
    }

    /// Answers a pull of an active peer.
    pub(crate) fn handle_pull(
        &mut self,
        peer: &Identity,
        pull: &Pull,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        for want in &pull.wants {
            self.compare_epoch(want.origin, want.epoch, peers, now);
        }
        let waiting = self.answers.iter().any(|(to, _)| *to == peer.addr);
        if waiting || self.answers.len() + MAX_PULL_REPLY_DATAGRAMS > MAX_ANSWERS_WAITING {
            self.out.counters.pulls_refused += 1;
            return;
        }
        self.out.counters.pulls_answered += 1;
        for mut deltas in self.answer(&pull.wants) {
            if is_far(peer, peers) {
                self.withhold(&mut deltas);
            }
            let message = Message::Rumors(self.own, deltas, Ages::default());
            if let Some(packed) = self.out.pack_one(&message) {
                self.answers.push_back((peer.addr, packed));
            }
        }
    }

    /// The deltas that answer some wants, grouped into datagrams, at most [`MAX_PULL_REPLY_DATAGRAMS`].
    fn answer(&self, wants: &[Want]) -> Vec<Vec<Delta>> {
        let mut datagrams = Vec::new();
        let mut deltas = Vec::new();
        let mut room = self.rumors_bytes();
        let mut answered = None;
        for want in wants {
            // A peer that receives a new state of an origin also asks for the old one. It does not need both.
            if answered == Some(want.origin) {
                continue;
            }
            let mut want = *want;
            while let Some(delta) = self.catalog.answer(&want, self.rumors_bytes()) {
                want =
                    Want { epoch: delta.epoch, after: delta.to, gc_floor: delta.gc_floor, ..want };
                let len = delta.encoded_len();
                if len > room && !deltas.is_empty() {
                    datagrams.push(std::mem::take(&mut deltas));
                    room = self.rumors_bytes();
                    if datagrams.len() == MAX_PULL_REPLY_DATAGRAMS {
                        return datagrams;
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
        datagrams
    }

    /// Sends the digests and pulls that are due.
    pub(super) fn handle_repair_deadlines(&mut self, peers: &mut dyn Peers, now: Time) {
        let jitter = DIGEST_JITTER.mul_f64(self.rng.random());
        if let Some(round) = self.digests.take_burst(now, jitter) {
            self.send_digest(round, self.protocol.digest_fanout, peers, now);
        }
        let jitter = self.protocol.digest_period.mul_f64(self.rng.random::<f64>() / 10.0);
        if let Some(round) = self.digests.take_quiet(now, jitter) {
            self.review_datacenters(peers, now);
            self.send_digest(round, 1, peers, now);
        }
        let waiting = self.rumors.backlog_bytes() + self.answers_bytes();
        let backlog = self.budget.time_for(waiting);
        let due =
            self.gaps.take_due(now, backlog, &self.protocol, |source| peers.must_prove(source));
        for (source, origins) in due.pulls {
            let is_first = due.first.contains(&source);
            match peers.active(source) {
                Some(peer) => self.pull(&peer, &origins, is_first, peers, now),
                None => self.pull_elsewhere(source, &origins, peers, now),
            }
        }
        for (source, origins) in due.elsewhere {
            self.pull_elsewhere(source, &origins, peers, now);
        }
        self.out.counters.pulls_too_large += due.large.len() as u64;
        self.out.counters.pulls_given_up += due.given_up.len() as u64;
        for source in due.large.into_iter().chain(due.given_up) {
            if let Some(peer) = peers.active(source).or_else(|| peers.random()) {
                self.request_sync(&peer);
            }
        }
    }

    /// Sends our digest to peers at distances along the ring that the round and our catalog decide. All nodes with the
    /// same catalog send to different peers, so no node that lacks something is left out by chance.
    fn send_digest(&mut self, round: Round, fanout: usize, peers: &mut dyn Peers, now: Time) {
        let catalog = self.catalog.digest();
        let seed = catalog.wrapping_add(round.0.wrapping_mul(ROUND_STEP));
        let targets = peers.at_offsets(seed, fanout);
        let recent = self
            .recent
            .settled(now, |_| true)
            .filter_map(|origin| self.catalog.head(origin))
            .collect();
        let message = Message::Digest(Digest { sender: self.own, catalog, recent });
        self.out.counters.digests_sent += targets.len() as u64;
        for peer in targets {
            self.send_repair(&peer, &message, now);
        }
    }

    /// Pulls origins from a random peer, but not from their source.
    fn pull_elsewhere(
        &mut self,
        source: NodeId,
        origins: &[NodeId],
        peers: &mut dyn Peers,
        now: Time,
    ) {
        if let Some(peer) = peers.random().filter(|peer| peer.node_id != source) {
            self.pull(&peer, origins, true, peers, now);
        }
    }

    /// Pulls origins from a peer. With the first pull, a peer whose address is not proven is asked for a proof.
    fn pull(
        &mut self,
        peer: &Identity,
        origins: &[NodeId],
        is_first: bool,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        if is_first && peers.must_prove(peer.node_id) {
            peers.ask_for_proof(peer.node_id);
        }
        let wants: Vec<Want> =
            origins.iter().flat_map(|origin| self.catalog.wants(*origin)).collect();
        for wants in wants.chunks(WANTS_PER_PULL) {
            self.send_pull(peer, wants.to_vec(), now);
        }
    }

    /// Sends a pull to a peer. Returns its bytes.
    pub(super) fn send_pull(&mut self, peer: &Identity, wants: Vec<Want>, now: Time) -> usize {
        self.out.counters.pulls_sent += 1;
        self.send_repair(peer, &Message::Pull(Pull { sender: self.own, wants }), now)
    }

    /// Sends a digest, a pull or a similar message. Such messages are small and decide what else is sent, so they do
    /// not wait for bandwidth, but they count. Returns the bytes.
    pub(super) fn send_repair(&mut self, to: &Identity, message: &Message, now: Time) -> usize {
        let sent = self.out.send_to(to.addr, to.node_id, message);
        self.budget.spend(sent, now);
        sent
    }
}
