//! Forwarding news to other datacenters, and taking what they forward.

use std::sync::Arc;

use super::super::news::Learned;
use super::super::peers::Peers;
use super::super::provenance::Route;
use super::super::rumors::Rumor;
use super::super::{RUMORS_OVERHEAD_BYTES, Spread};
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::catalog::{Delta, Head};
use crate::gateways::links::Pushed;
use crate::gateways::parts::{COPIES, PARTS, Parts, part_of};
use crate::wire::{Ages, Message};

/// Draws of a receiver, so that it is of the half of its copy, and no gateway.
const DRAWS: usize = 8;

impl Spread {
    /// The links and copies that belong to some parts, and the datacenters of them that we do not hear. A substitute, which is
    /// told for `only` these, forwards to all of them.
    pub(super) fn shares(
        &self,
        parts: Parts,
        only: &[DatacenterId],
        peers: &dyn Peers,
        now: Time,
    ) -> (Vec<(DatacenterId, usize)>, Vec<DatacenterId>) {
        let own = peers.own();
        let (mut shares, mut unheard) = (Vec::new(), Vec::new());
        for to in peers.others() {
            let copies = (0..COPIES).filter(|copy| parts.has(part_of(own, to, *copy)));
            let copies: Vec<usize> = copies.collect();
            if copies.is_empty() || !(only.is_empty() || only.contains(&to)) {
                continue;
            }
            if only.is_empty() && peers.is_silent_here(to, now) {
                unheard.push(to);
                continue;
            }
            shares.extend(copies.into_iter().map(|copy| (to, copy)));
        }
        (shares, unheard)
    }

    /// Queues news for their links, as far as the breakers let them go.
    pub(super) fn forward(
        &mut self,
        shares: &[(DatacenterId, usize)],
        news: &Arc<Delta>,
        now: Time,
    ) {
        for (to, copy) in shares {
            let counters = &mut self.out.counters;
            match self.gateways.links.push(*to, *copy, news, now) {
                Pushed::Queued => {}
                Pushed::Held => counters.wan_changes_held += news.entries.len() as u64,
                Pushed::Shed => counters.wan_copies_shed += 1,
                Pushed::GivenUp => counters.wan_held_given_up += 1,
                Pushed::Dropped => counters.wan_news_dropped += 1,
            }
        }
    }

    /// Sends what waits for links, within the bandwidth of each.
    pub(in crate::spread) fn flush_links(&mut self, peers: &mut dyn Peers, now: Time) {
        let bytes = self.out.body_bytes() - RUMORS_OVERHEAD_BYTES;
        self.out.counters.wan_held_given_up +=
            self.gateways.links.release(&self.catalog, bytes, now);
        for to in self.gateways.links.due(now) {
            for copy in 0..COPIES {
                loop {
                    let deltas = self.gateways.links.take(to, copy, &self.catalog, bytes, now);
                    if deltas.is_empty() {
                        break;
                    }
                    let Some(peer) = receiver(to, copy, peers) else {
                        self.out.counters.wan_news_dropped += deltas.len() as u64;
                        continue;
                    };
                    self.send_over(&peer, to, deltas, peers, now);
                }
            }
            let shed = self.gateways.links.end_turn(to, now);
            self.out.counters.wan_copies_shed += shed as u64;
            self.out.counters.wan_links_put_off +=
                u64::from(!self.gateways.links.is_ready(to, now));
        }
    }

    fn send_over(
        &mut self,
        peer: &Identity,
        to: DatacenterId,
        mut deltas: Vec<Delta>,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        self.withhold(&mut deltas);
        self.out.counters.wan_rumors_sent += deltas.len() as u64;
        let message = Message::Rumors(self.own, deltas, Ages::default());
        let sent = self.out.send_to(peer.addr, peer.node_id, &message);
        self.out.counters.wan_rumor_bytes_sent += sent as u64;
        self.gateways.links.spend(to, sent, now);
        peers.sent(to, sent, now);
    }

    /// Takes rumors that a member of another datacenter forwarded. What is new goes on inside the own pool, as widely as
    /// from its origin, and never back to another datacenter: only an origin's own tells go there.
    pub(crate) fn handle_far_rumors(
        &mut self,
        sender: NodeId,
        home: DatacenterId,
        deltas: Vec<Delta>,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        peers.heard(home, now);
        for delta in deltas {
            let of = self.catalog.datacenter_of(delta.origin).or_else(|| peers.of(delta.origin));
            if of.is_some_and(|of| peers.is_isolated(of)) {
                self.out.counters.isolated_ignored += 1;
                continue;
            }
            self.out.counters.wan_rumors_received += 1;
            let head = Head { origin: delta.origin, epoch: delta.epoch, known_to: delta.head };
            let is_tombstone = delta.is_origin_tombstone();
            if mutant::is(Mutant::LoopWanRumors) {
                let links: Vec<_> = peers.others().into_iter().map(|to| (to, 0)).collect();
                self.forward(&links, &Arc::new(delta.clone()), now);
            }
            let learned = self.learn(&delta, sender, Route::Rumor, peers, now);
            if learned == Learned::News {
                self.out.counters.wan_rumors_news += 1;
                let rumor = Rumor { delta, from: sender, age: None, is_wide: true };
                self.out.counters.rumors_dropped += self.rumors.push(rumor, now) as u64;
            }
            if !is_tombstone && learned != Learned::Refused {
                let due = now + self.protocol.pull_after;
                self.note_far_gap(head, home, sender, due);
            }
        }
    }
}

/// A member of another datacenter at random, and none of the gateways there if possible: they may be the ones that died, all at once.
/// The copies of a change, which two gateways send, go to two members if possible: each copy has half of the members.
fn receiver(to: DatacenterId, copy: usize, peers: &mut dyn Peers) -> Option<Identity> {
    let is_of_its_half = |peer: &Identity| peer.node_id.0.count_ones() as usize % COPIES == copy;
    let gateways: [Option<Identity>; PARTS] = std::array::from_fn(|rank| peers.candidate(to, rank));
    let (mut any, mut of_its_half) = (None, None);
    for _ in 0..DRAWS {
        let peer = peers.any_eligible(to)?;
        if is_of_its_half(&peer) {
            if !gateways.contains(&Some(peer)) {
                return Some(peer);
            }
            of_its_half = Some(peer);
        }
        any = Some(peer);
    }
    of_its_half.or(any)
}
