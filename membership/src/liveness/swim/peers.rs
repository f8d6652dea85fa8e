//! Choosing peers to send to: at random, and by their place on the ring.

use rand::seq::index;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Swim;
use super::shuffle::shuffled;
use crate::base::identity::{Identity, NodeId};

impl Swim {
    /// `random` peers and our two neighbours on the ring, without repetition. The random ones come first, for senders
    /// that stop early: they spread news fastest. The ring neighbours make sure that no member is left out.
    ///
    /// If all nodes use the same seed and have the same view, each member is chosen once in each place of the list: it misses the news
    /// only if as many packets are lost as there are places.
    pub(crate) fn rumor_targets(&mut self, seed: u64, random: usize) -> Vec<Identity> {
        let own = self.identity().node_id;
        let next = self.ring().at_offset(own, 1);
        let previous = self
            .ring()
            .at_offset(own, self.ring().len())
            .filter(|previous| Some(*previous) != next);
        let neighbours: Vec<NodeId> = next.into_iter().chain(previous).collect();
        let mut targets: Vec<NodeId> = Vec::with_capacity(random + neighbours.len());
        for place in 0..random as u64 {
            let chosen = self.shuffled_peer(seed.wrapping_add(place));
            targets.extend(chosen.filter(|it| !neighbours.contains(it) && !targets.contains(it)));
        }
        if targets.len() < random {
            // A shuffle leaves some members where they are, or moves them to a neighbour.
            let drawn = self.sample(random + neighbours.len());
            for node in drawn.into_iter().filter(|node| !neighbours.contains(node)) {
                if targets.len() < random && !targets.contains(&node) {
                    targets.push(node);
                }
            }
        }
        targets.extend(neighbours);
        targets.iter().filter_map(|node| self.active_peer(*node).copied()).collect()
    }

    /// The member to whose place a shuffle moves us; `None` if that is our own.
    fn shuffled_peer(&self, seed: u64) -> Option<NodeId> {
        let (own, others) = (self.ring().rank(self.identity().node_id), self.ring().len());
        let place = shuffled(own, others + 1, seed);
        let before_us = usize::from(place > own);
        self.ring().get(place - before_us).filter(|_| place != own)
    }

    /// `count` peers at distances along the ring that depend on `seed`. If all nodes use the same seed and have the
    /// same view, no two of them choose the same peer in the same place of the list, and each member is chosen equally
    /// often.
    pub(crate) fn offset_peers(&self, seed: u64, count: usize) -> Vec<Identity> {
        let own = self.identity().node_id;
        let len = self.ring().len();
        let mut distances: Vec<usize> = Vec::with_capacity(count);
        for n in 0..count.min(len) {
            let drawn = xxh3_64_with_seed(&(n as u64).to_le_bytes(), seed) % len as u64;
            let mut distance = usize::try_from(drawn).unwrap_or_default();
            while distances.contains(&distance) {
                distance = (distance + 1) % len;
            }
            distances.push(distance);
        }
        let nodes =
            distances.into_iter().filter_map(|distance| self.ring().at_offset(own, distance + 1));
        nodes.filter_map(|node| self.active_peer(node).copied()).collect()
    }

    pub(crate) fn random_peers(&mut self, count: usize) -> Vec<Identity> {
        let nodes = self.sample(count);
        nodes.iter().filter_map(|node| self.active_peer(*node).copied()).collect()
    }

    /// `count` random active members, or all if there are fewer, without repetition.
    fn sample(&mut self, count: usize) -> Vec<NodeId> {
        let amount = count.min(self.ring().len());
        let chosen = index::sample(&mut self.rng, self.members.ring().len(), amount);
        chosen.into_iter().filter_map(|place| self.ring().get(place)).collect()
    }
}
