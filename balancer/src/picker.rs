//! Picking, one thread or connection at a time.

use crate::{
    balancer::Balancer, instance::Instance, pick::Pick, roster::hash_key, rotation::Lease,
    snapshot::Snapshot, strategy::Strategy,
};
use std::{fmt, sync::Arc};

/// Up to this many targets, least connections looks at all of them rather than at two.
const SCAN_MAX: usize = 4;

/// Picks for one thread or connection. It keeps the latest snapshot at hand, allocates nothing per pick and takes no lock.
pub struct Picker<T> {
    balancer: Arc<Balancer<T>>,
    snapshot: Arc<Snapshot<T>>,
    generation: u64,
    random: fastrand::Rng,
    turn: Lease,
    weighted_turn: Lease,
}

impl<T> Picker<T> {
    pub(crate) fn new(balancer: Arc<Balancer<T>>, seed: u64) -> Self {
        let generation = balancer.generation();
        let snapshot = balancer.published();
        let random = fastrand::Rng::with_seed(seed);
        Self {
            balancer,
            snapshot,
            generation,
            random,
            turn: Lease::default(),
            weighted_turn: Lease::default(),
        }
    }

    /// Picks a target and counts it as in flight until the pick is completed or dropped. `None` if there is no target.
    ///
    /// Only keyed strategies look at `key`. Without a key they pick as if for a random one: every target gets its share,
    /// and nothing is consistent.
    #[inline]
    pub fn pick(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<Pick<T>> {
        self.choose(strategy, key).map(|instance| Pick::begin(Arc::clone(instance)))
    }

    /// Chooses as [`Picker::pick`] does, but counts nothing as in flight and expects no outcome: the cheapest way to ask.
    #[inline]
    pub fn choose(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<&Arc<Instance<T>>> {
        if self.balancer.generation() != self.generation {
            self.refresh();
        }
        if self.snapshot.is_empty() {
            return None;
        }
        let index = match strategy {
            Strategy::RoundRobin => self.turn.advance(&self.balancer.rotation, self.snapshot.len()),
            Strategy::Weighted => {
                let schedule = self.snapshot.schedule();
                schedule.at(self
                    .weighted_turn
                    .advance(&self.balancer.weighted_rotation, schedule.len()))
            }
            Strategy::Random => self.random.usize(..self.snapshot.len()),
            Strategy::LeastConnections => self.least_connections(),
            Strategy::ConsistentHash => {
                let hash = key.map_or_else(|| self.random.u64(..), hash_key);
                self.snapshot.maglev().get(hash)?
            }
        };
        self.snapshot.instances().get(index)
    }

    /// The snapshot that the next pick reads unless a newer one is published by then.
    pub fn snapshot(&self) -> &Arc<Snapshot<T>> {
        &self.snapshot
    }

    #[cold]
    fn refresh(&mut self) {
        self.release_turns();
        self.generation = self.balancer.generation();
        self.snapshot = self.balancer.published();
    }

    fn release_turns(&mut self) {
        self.turn.release(&self.balancer.rotation);
        self.weighted_turn.release(&self.balancer.weighted_rotation);
    }

    /// The power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10),
    /// 2001, section 1. Two targets are drawn in proportion to their weights and the one with fewer picks in flight for
    /// its weight wins. A few targets are simply compared all, from a random one on.
    fn least_connections(&mut self) -> usize {
        let length = self.snapshot.len();
        if length <= SCAN_MAX {
            let start = self.random.usize(..length);
            let order = (start..length).chain(0..start);
            return order.reduce(|a, b| self.less_loaded(a, b)).unwrap_or(start);
        }
        let first = self.draw();
        let mut second = self.draw();
        if second == first {
            second = (first + self.random.usize(1..length)) % length;
        }
        self.less_loaded(first, second)
    }

    /// A target at random in proportion to its weight.
    #[inline]
    fn draw(&mut self) -> usize {
        if self.snapshot.roster().is_uniform() {
            self.random.usize(..self.snapshot.len())
        } else {
            let schedule = self.snapshot.schedule();
            schedule.at(self.random.usize(..schedule.len()))
        }
    }

    /// Of two targets the one that would have fewer picks in flight for its weight after this one; the first on a tie.
    #[inline]
    fn less_loaded(&self, a: usize, b: usize) -> usize {
        let (states, weights) = (self.snapshot.states(), self.snapshot.roster().weights());
        let load_a = u64::from(states[a].in_flight() + 1) * u64::from(weights[b]);
        let load_b = u64::from(states[b].in_flight() + 1) * u64::from(weights[a]);
        if load_b < load_a { b } else { a }
    }
}

impl<T> Drop for Picker<T> {
    fn drop(&mut self) {
        self.release_turns();
    }
}

impl<T> fmt::Debug for Picker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
