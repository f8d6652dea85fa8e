//! Picking, for one thread or connection at a time.

mod pick;
mod published;

use std::{fmt, sync::Arc};

pub use self::pick::{Pick, PickRef};
pub(crate) use self::published::Published;
use crate::feedback::{Admission, ServiceState, Ticket};
use crate::snapshot::{Instance, Snapshot};
use crate::strategies::{
    Admitted, Candidates, Chooser, Comparison, Request, Strategy, least_connections_of_pair,
    least_connections_of_weighted_pair, peak_ewma_of_pair,
};
use crate::tables::{below, hash_key, mix};

/// Stands for no index: the targets must be asked.
const ASK: usize = usize::MAX;

/// A generation that no state of a balancer has.
const NEVER: u64 = u64::MAX;

/// Picks for one thread or connection. It caches the latest snapshot, allocates nothing for a pick and takes no lock. It has
/// cache lines of its own, so that threads do not slow each other down.
#[repr(align(128))]
pub struct Picker<T> {
    published: Arc<Published<T>>,
    service: Arc<ServiceState>,
    snapshot: Arc<Snapshot<T>>,
    instances: Arc<[Arc<Instance<T>>]>,
    /// The generation of the snapshot.
    generation: u64,
    /// The generation at which a strategy's choice needs no check, [`NEVER`] while choices need one.
    generation_at_once: u64,
    /// Whether every target takes every pick.
    calm: bool,
    /// The way in which load-aware strategies compare the targets.
    comparison: Comparison,
    chooser: Chooser,
}

impl<T> Picker<T> {
    pub(crate) fn new(published: Arc<Published<T>>) -> Self {
        let service = Arc::clone(&published.service);
        let snapshot = published.snapshot();
        let ordinal = published.next_ordinal();
        let mut picker = Self {
            instances: snapshot.shared_instances(),
            snapshot,
            generation: NEVER,
            generation_at_once: NEVER,
            calm: false,
            comparison: Comparison::All,
            chooser: Chooser::new(mix(service.config().seed ^ mix(ordinal)), &service),
            service,
            published,
        };
        picker.refresh();
        picker
    }

    /// Picks a target and counts it as in flight until the pick is completed or dropped. `None` if there is no target that
    /// takes the pick: a target refuses while its circuit is open, while it is ejected, and once it is drained.
    ///
    /// Only keyed strategies look at `key`. Without a key they pick as if for a random key, so that every target gets its
    /// share.
    #[inline]
    pub fn pick(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<Pick<T>> {
        let (index, probe) = self.claim(strategy, key)?;
        self.instances.get(index).map(|instance| Pick::begin(Arc::clone(instance), probe))
    }

    /// Picks as [`Picker::pick`] does, but none of the targets with these ids: the call has failed there. A key that is
    /// refused is hashed again, so that its second target is the same everywhere, too.
    pub fn pick_another(
        &mut self,
        strategy: Strategy,
        key: Option<&[u8]>,
        tried: &[Arc<str>],
    ) -> Option<Pick<T>> {
        self.refresh_if_stale();
        let place =
            |id: &Arc<str>| self.instances.binary_search_by(|instance| instance.id().cmp(id)).ok();
        let tried: Vec<usize> = tried.iter().filter_map(place).collect();
        let Admitted { index, probe } = self.select(strategy, key, true, &tried)?;
        self.instances.get(index).map(|instance| Pick::begin(Arc::clone(instance), probe))
    }

    /// Picks as [`Picker::pick`] does, but lends the target instead of sharing it. It is cheaper, for a thread that makes one
    /// call after the other.
    #[inline]
    pub fn pick_ref(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<PickRef<'_, T>> {
        let (index, probe) = self.claim(strategy, key)?;
        self.instances.get(index).map(|instance| PickRef::begin(instance, probe))
    }

    /// Chooses as [`Picker::pick`] does, but counts nothing as in flight and expects no outcome. It is the cheapest way to
    /// ask.
    #[inline]
    pub fn choose(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<&Arc<Instance<T>>> {
        let mut index = self.at_once(strategy, key);
        if index == ASK {
            index = self.select(strategy, key, false, &[])?.index;
        }
        self.instances.get(index)
    }

    /// Picks the target that a closure chooses. The closure sees the targets in the order of their ids and returns an index.
    /// `None` if it returns none, an index out of range, or a target that refuses the pick.
    pub fn pick_with<F>(&mut self, choose: F) -> Option<Pick<T>>
    where
        F: FnOnce(&[Arc<Instance<T>>]) -> Option<usize>,
    {
        self.refresh_if_stale();
        let index = choose(&self.instances)?;
        let instance = self.instances.get(index)?;
        let probe = match instance.state().admit(true, 0.0) {
            Admission::Granted => None,
            Admission::Probe(ticket) => Some(ticket),
            Admission::Refused => return None,
        };
        Some(Pick::begin(Arc::clone(instance), probe))
    }

    /// The snapshot that the next pick reads, unless a newer one is published before it.
    pub fn snapshot(&self) -> &Arc<Snapshot<T>> {
        &self.snapshot
    }

    /// The index of the target to pick, with the ticket of a probe. A call of its own would cost a third of a pick.
    #[inline(always)]
    fn claim(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<(usize, Option<Ticket>)> {
        let index = self.at_once(strategy, key);
        if index == ASK {
            let admitted = self.select(strategy, key, true, &[])?;
            return Some((admitted.index, admitted.probe));
        }
        Some((index, None))
    }

    /// The strategy's choice, while every target takes every pick; [`ASK`] otherwise. One comparison tells which.
    #[inline(always)]
    fn at_once(&mut self, strategy: Strategy, key: Option<&[u8]>) -> usize {
        if self.service.generation() != self.generation_at_once {
            return ASK;
        }
        // Each arm loads what it needs: a pointer that is loaded ahead of them costs a register in all.
        let chooser = &mut self.chooser;
        match (strategy, key) {
            (Strategy::RoundRobin, _) => {
                chooser.turn.advance(&self.published.turns.plain, self.instances.len())
            }
            (Strategy::Weighted, _) => {
                let schedule = self.snapshot.schedule();
                let turn = &self.published.turns.weighted;
                schedule.at(chooser.weighted_turn.advance(turn, schedule.len()))
            }
            (Strategy::Random, _) => below(self.instances.len(), chooser.random.u64(..)),
            (Strategy::ConsistentHash, Some(key)) => {
                self.snapshot.maglev().get(hash_key(key)).unwrap_or(ASK)
            }
            (Strategy::WeightedRandom, _) => self.snapshot.alias().draw(chooser.random.u64(..)),
            (Strategy::LeastConnections, _) if self.comparison == Comparison::Pair => {
                least_connections_of_pair(self.snapshot.states(), &mut chooser.random)
            }
            (Strategy::LeastConnections, _) if self.comparison == Comparison::WeightedPair => {
                let (states, tables) = (self.snapshot.states(), self.snapshot.tables());
                least_connections_of_weighted_pair(states, tables, &mut chooser.random)
            }
            (Strategy::PeakEwma, _) if self.comparison == Comparison::Pair => {
                peak_ewma_of_pair(self.snapshot.states(), &self.service, &mut chooser.random)
            }
            (Strategy::BoundedHash, _) => ASK,
            _ => {
                let hash = self.hash(strategy, key);
                self.choose_unchecked(strategy, hash)
            }
        }
    }

    /// The strategy's choice, whether or not that target takes the pick. There must be a target.
    #[inline(never)]
    fn choose_unchecked(&mut self, strategy: Strategy, hash: u64) -> usize {
        let candidates = candidates(&self.snapshot, &self.service, self.calm);
        self.chooser.choose(candidates, &self.published.turns, strategy, hash)
    }

    /// The hash of the key, or of a random one without a key; 0 for a strategy that is not keyed.
    #[inline]
    fn hash(&mut self, strategy: Strategy, key: Option<&[u8]>) -> u64 {
        match key {
            _ if !strategy.is_keyed() => 0,
            Some(key) => hash_key(key),
            None => self.chooser.random.u64(..),
        }
    }

    /// Brings the snapshot up to date and finds a target that takes the pick.
    #[cold]
    fn select(
        &mut self,
        strategy: Strategy,
        key: Option<&[u8]>,
        claims: bool,
        tried: &[usize],
    ) -> Option<Admitted> {
        self.refresh_if_stale();
        if self.instances.is_empty() {
            return None;
        }
        let bounded = strategy == Strategy::BoundedHash
            || strategy.is_keyed() && self.service.bounds_every_key();
        let hash = self.hash(strategy, key);
        if self.calm && !bounded && tried.is_empty() {
            return Some(Admitted { index: self.choose_unchecked(strategy, hash), probe: None });
        }
        let request = Request { strategy, hash, bounded, claims, tried };
        let candidates = candidates(&self.snapshot, &self.service, self.calm);
        request.settle(&mut self.chooser, &candidates, &self.published.turns)
    }

    fn refresh_if_stale(&mut self) {
        if self.service.generation() != self.generation {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        self.generation = self.service.generation();
        self.calm = self.service.is_calm();
        let snapshot = self.published.snapshot();
        if !Arc::ptr_eq(&self.snapshot, &snapshot) {
            self.continue_turns(&snapshot);
            self.snapshot = snapshot;
        }
        self.instances = self.snapshot.shared_instances();
        self.comparison = Comparison::of(self.snapshot.roster());
        let at_once = self.calm && !self.instances.is_empty() && !self.service.bounds_every_key();
        self.generation_at_once = if at_once { self.generation } else { NEVER };
    }

    /// Makes turns that this picker takes by itself go on in another snapshot with the target that was next.
    fn continue_turns(&mut self, next: &Snapshot<T>) {
        let before = &*self.snapshot;
        let has_targets = !before.is_empty() && !next.is_empty();
        let Chooser { turn, weighted_turn, .. } = &mut self.chooser;
        if let Some(slot) = turn.own_slot() {
            let slot = if has_targets { next.continue_plain(before, slot) } else { slot };
            turn.move_to(slot, next.len());
        }
        if let Some(slot) = weighted_turn.own_slot() {
            let slot = if has_targets { next.continue_weighted(before, slot) } else { slot };
            weighted_turn.move_to(slot, next.schedule().len());
        }
    }
}

fn candidates<'a, T>(
    snapshot: &'a Snapshot<T>,
    service: &'a ServiceState,
    calm: bool,
) -> Candidates<'a> {
    Candidates { states: snapshot.states(), tables: snapshot.tables(), service, calm }
}

impl<T> Drop for Picker<T> {
    fn drop(&mut self) {
        self.chooser.release(&self.published.turns, &self.service);
    }
}

impl<T> fmt::Debug for Picker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
