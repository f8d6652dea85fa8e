//! Sending rumors and answers to pulls within the bandwidth.

use std::collections::VecDeque;
use std::net::SocketAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::Spread;
use super::gateway::TELL_OVERHEAD_BYTES;
use super::peers::Peers;
use super::rumors::{Age, Batch, OwnUnsent, Rumor, ToldBy};
use crate::base::time::Time;
use crate::catalog::Delta;
use crate::wire::{Ages, MAX_AGE_BYTES, Message, Packed};

/// The number of copies of a rumor that go before bulk.
const COPIES_BEFORE_BULK: usize = 2;

impl Spread {
    pub(super) fn answers_bytes(&self) -> usize {
        self.answers.iter().map(|(_, packed)| self.out.datagram_bytes(packed)).sum()
    }

    /// The time at which there is something to send and bandwidth for it; `None` when nothing waits.
    pub(super) fn send_deadline(&self) -> Option<Time> {
        let answers = self.answers.front().map(|_| Time::ZERO);
        let bulk = (!self.bulk.is_empty()).then_some(Time::ZERO);
        let waiting = answers.into_iter().chain(self.rumors.next_deadline()).chain(bulk).min()?;
        Some(waiting.max(self.budget.ready_at()))
    }

    /// Sends what waits, within the bandwidth: first answers, which the asker surely lacks; then news that nobody was
    /// told and second copies of it; then bulk; then further copies.
    pub(super) fn flush(&mut self, peers: &mut dyn Peers, now: Time) {
        while !self.answers.is_empty() && self.budget.is_ready(now) {
            if let Some((to, packed)) = self.answers.pop_front() {
                self.send_within_budget(to, packed, now);
            }
        }
        if let Some((mut own, mut heard)) = self.rumors.take_fresh(now) {
            while self.budget.is_ready(now) && (own.is_some() || !heard.is_empty()) {
                own = own.and_then(|unsent| self.send_own(unsent, peers, now));
                if !heard.is_empty() && self.budget.is_ready(now) {
                    self.send_heard(&mut heard, peers, now);
                }
            }
            self.rumors.put_back(own, heard, now);
        }
        while self.budget.is_ready(now) {
            if self.rumors.least_sent().is_none_or(|sent| sent >= COPIES_BEFORE_BULK)
                && self.send_bulk(peers, now)
            {
                continue;
            }
            if !self.send_copy(now) {
                break;
            }
        }
    }

    pub(super) fn send_within_budget(&mut self, to: SocketAddr, packed: Packed, now: Time) {
        self.budget.spend(self.out.datagram_bytes(&packed), now);
        self.out.send_packed(to, packed);
    }

    /// Cuts one datagram of our own writes, and sends the first copy of it. Returns what is left. A record that does not fit a
    /// datagram is left to digests and sessions.
    fn send_own(
        &mut self,
        unsent: OwnUnsent,
        peers: &mut dyn Peers,
        now: Time,
    ) -> Option<OwnUnsent> {
        let after = unsent.after;
        let replica = self.catalog.origin(self.own)?.current()?;
        let last = replica.known_to();
        if after >= last {
            return None;
        }
        let Some(delta) = replica.delta_after(self.own, after, self.tell_bytes()) else {
            return Some(unsent.beyond(after + 1));
        };
        let after = delta.to;
        self.tell_gateways(&delta, peers, now);
        let deltas = vec![delta];
        let targets = peers.rumor_targets(news_seed(&deltas), self.protocol.origin_fanout);
        let targets = targets.iter().map(|target| target.addr);
        self.send_batch(deltas, vec![unsent.age], targets, now);
        (after < last).then(|| unsent.beyond(after))
    }

    /// Bytes that the deltas of our own may take in one datagram, as rumors and as a tell.
    fn tell_bytes(&self) -> usize {
        self.rumors_bytes() - TELL_OVERHEAD_BYTES
    }

    /// Packs one datagram of rumors that we heard, and sends the first copy of it.
    fn send_heard(&mut self, heard: &mut VecDeque<Rumor>, peers: &mut dyn Peers, now: Time) {
        let mut told_by = ToldBy::new();
        let mut is_wide = false;
        let mut room = self.rumors_bytes();
        let mut deltas = Vec::new();
        let mut ages = Vec::new();
        while let Some(rumor) = heard.front() {
            let len = rumor.delta.encoded_len() + MAX_AGE_BYTES;
            if len > room && !deltas.is_empty() {
                break;
            }
            let Some(rumor) = heard.pop_front() else { break };
            room = room.saturating_sub(len);
            told_by.insert(rumor.from);
            is_wide |= rumor.is_wide;
            ages.push(rumor.age);
            deltas.push(rumor.delta);
        }
        let fanout = if is_wide { self.protocol.origin_fanout } else { self.protocol.rumor_fanout };
        let targets = peers.rumor_targets(news_seed(&deltas), fanout);
        // Don't echo a batch to its only source.
        let needing = targets
            .iter()
            .filter(|target| told_by.len() > 1 || !told_by.contains(&target.node_id))
            .map(|target| target.addr);
        self.send_batch(deltas, ages, needing, now);
    }

    fn send_batch(
        &mut self,
        deltas: Vec<Delta>,
        ages: Vec<Option<Age>>,
        targets: impl Iterator<Item = SocketAddr>,
        now: Time,
    ) {
        let message = Message::Rumors(self.own, deltas, Ages::default());
        let Some(packed) = self.out.pack_one(&message) else { return };
        let targets = targets.collect();
        let dropped = self.rumors.push_batch(Batch { packed, ages, targets });
        self.out.counters.rumors_dropped += dropped as u64;
        self.send_copy(now);
    }

    /// Sends the next copy of a rumor, if there is one. Returns whether there was.
    fn send_copy(&mut self, now: Time) -> bool {
        let room = self.out.messages_bytes();
        let Some((to, packed, rumors)) = self.rumors.take_copy(room, now) else { return false };
        self.out.counters.rumors_sent += rumors as u64;
        self.send_within_budget(to, packed, now);
        true
    }
}

/// The seed by which news choose their receivers: the same at all nodes that pass on the same news.
pub(super) fn news_seed(deltas: &[Delta]) -> u64 {
    let Some(first) = deltas.first() else { return 0 };
    let [origin, epoch, to] = [first.origin.0, first.epoch.0, first.to].map(u64::to_le_bytes);
    xxh3_64(&[origin, epoch, to].concat())
}
