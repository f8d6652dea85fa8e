//! Picking, one thread or connection at a time.

mod pick;
mod request;

pub use self::pick::{Outcome, Pick, PickRef};

use self::request::{Choice, Request};
use crate::{
    balancer::Balancer,
    feedback::{Admission, ServiceState, Ticket},
    snapshot::{Instance, Snapshot},
    strategies::{
        Candidates, Comparison, Lease, Strategy, Threshold, hot_cold, least_connections, peak_ewma,
    },
    tables::{below, hash_key, mix},
};
use std::{fmt, sync::Arc};

/// In place of an index: the targets must be asked.
const NOT_AT_ONCE: usize = usize::MAX;

/// In place of a generation: none is like it.
const NEVER: u64 = u64::MAX;

/// Picks for one thread or connection. It keeps the latest snapshot at hand, allocates nothing per pick and takes no lock.
/// It stands on cache lines of its own, so that threads do not disturb each other.
#[repr(align(128))]
pub struct Picker<T> {
    balancer: Arc<Balancer<T>>,
    core: Arc<ServiceState>,
    snapshot: Arc<Snapshot<T>>,
    instances: Arc<[Arc<Instance<T>>]>,
    generation: u64,
    /// The generation at which what a strategy says can be taken at once, [`NEVER`] while it cannot.
    generation_at_once: u64,
    /// Whether what a strategy says can be taken without asking the target.
    calm: bool,
    /// How load-aware strategies compare the targets.
    comparison: Comparison,
    random: fastrand::Rng,
    ordinal: u64,
    turn: Lease,
    weighted_turn: Lease,
    threshold: Threshold,
}

impl<T> Picker<T> {
    pub(crate) fn new(balancer: Arc<Balancer<T>>, ordinal: u64) -> Self {
        let core = Arc::clone(balancer.core());
        let snapshot = balancer.published();
        let mut picker = Self {
            instances: snapshot.shared_instances(),
            snapshot,
            generation: NEVER,
            generation_at_once: NEVER,
            calm: false,
            comparison: Comparison::All,
            random: fastrand::Rng::with_seed(mix(core.config.seed ^ mix(ordinal))),
            ordinal,
            turn: Lease::default(),
            weighted_turn: Lease::default(),
            threshold: Threshold::new(&core),
            core,
            balancer,
        };
        picker.refresh();
        picker
    }

    /// Picks a target and counts it as in flight until the pick is completed or dropped. `None` if there is no target, or
    /// none that takes picks: circuits open, ejected, drained.
    ///
    /// Only keyed strategies look at `key`. Without a key they pick as if for a random one: every target gets its share,
    /// and nothing is consistent.
    #[inline]
    pub fn pick(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<Pick<T>> {
        let (index, probe) = self.claim(strategy, key)?;
        self.instances.get(index).map(|instance| Pick::begin(Arc::clone(instance), probe))
    }

    /// Picks as [`Picker::pick`] does, but lends the target instead of sharing it: cheaper, for a thread that makes one call
    /// after the other.
    #[inline]
    pub fn pick_ref(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<PickRef<'_, T>> {
        let (index, probe) = self.claim(strategy, key)?;
        self.instances.get(index).map(|instance| PickRef::begin(instance, probe))
    }

    /// Chooses as [`Picker::pick`] does, but counts nothing as in flight and expects no outcome: the cheapest way to ask.
    #[inline]
    pub fn choose(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<&Arc<Instance<T>>> {
        let mut index = self.at_once(strategy, key);
        if index == NOT_AT_ONCE {
            index = self.select(strategy, key, false)?.index;
        }
        self.instances.get(index)
    }

    /// Lets a closure choose: it sees the targets in the order of their ids and names one by its index. Whatever it keeps
    /// between calls is its own. `None` if it names none, or one whose circuit is open, that is ejected or drained.
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

    /// The snapshot that the next pick reads unless a newer one is published by then.
    pub fn snapshot(&self) -> &Arc<Snapshot<T>> {
        &self.snapshot
    }

    /// Uniformly random in `0.0..1.0`.
    pub(crate) fn draw(&mut self) -> f32 {
        self.random.f32()
    }

    /// Which of its balancer's pickers it is.
    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// The balancer that it picks for.
    pub fn balancer(&self) -> &Arc<Balancer<T>> {
        &self.balancer
    }

    #[inline]
    fn claim(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<(usize, Option<Ticket>)> {
        let index = self.at_once(strategy, key);
        if index == NOT_AT_ONCE {
            return self.select(strategy, key, true).map(|choice| (choice.index, choice.probe));
        }
        Some((index, None))
    }

    /// What the strategy says where nobody needs to be asked, which one comparison tells; otherwise [`NOT_AT_ONCE`].
    #[inline(always)]
    fn at_once(&mut self, strategy: Strategy, key: Option<&[u8]>) -> usize {
        if self.core.generation() != self.generation_at_once {
            return NOT_AT_ONCE;
        }
        match (strategy, key) {
            (Strategy::RoundRobin, _) => {
                self.turn.advance(&self.balancer.rotation, self.instances.len())
            }
            (Strategy::Weighted, _) => {
                let schedule = self.snapshot.schedule();
                schedule.at(self
                    .weighted_turn
                    .advance(&self.balancer.weighted_rotation, schedule.len()))
            }
            (Strategy::Random, _) => below(self.instances.len(), self.random.u64(..)),
            (Strategy::ConsistentHash, Some(key)) => {
                self.snapshot.maglev().get(hash_key(key)).unwrap_or(NOT_AT_ONCE)
            }
            (Strategy::WeightedRandom, _) => self.snapshot.alias().draw(self.random.u64(..)),
            (Strategy::LeastConnections, _) if self.comparison == Comparison::Pair => {
                least_connections::of_pair(self.snapshot.states(), &mut self.random)
            }
            (Strategy::LeastConnections, _) if self.comparison == Comparison::WeightedPair => {
                least_connections::of_weighted_pair(
                    self.snapshot.states(),
                    self.snapshot.tables(),
                    &mut self.random,
                )
            }
            (Strategy::PeakEwma, _) if self.comparison == Comparison::Pair => {
                peak_ewma::of_pair(self.snapshot.states(), &self.core, &mut self.random)
            }
            (Strategy::BoundedHash, _) => NOT_AT_ONCE,
            _ => {
                let hash = self.hash(strategy, key);
                self.candidate(strategy, hash)
            }
        }
    }

    /// What the strategy says, before anyone asks the target. There must be targets.
    #[inline(never)]
    pub(crate) fn candidate(&mut self, strategy: Strategy, hash: u64) -> usize {
        let view = Candidates::new(&self.snapshot, &self.core, self.calm);
        let random = &mut self.random;
        match strategy {
            Strategy::RoundRobin => self.turn.advance(&self.balancer.rotation, view.len()),
            Strategy::Weighted => {
                let schedule = view.tables.schedule();
                schedule.at(self
                    .weighted_turn
                    .advance(&self.balancer.weighted_rotation, schedule.len()))
            }
            Strategy::WeightedRandom => view.draw(random),
            Strategy::Random => below(view.len(), random.u64(..)),
            Strategy::LeastConnections => least_connections::choose(view, random),
            Strategy::PeakEwma => peak_ewma::choose(view, random),
            Strategy::HotCold => hot_cold::choose(view, random, &mut self.threshold),
            Strategy::ConsistentHash
            | Strategy::BoundedHash
            | Strategy::Rendezvous
            | Strategy::Ring => view.tables.lookup(strategy, hash).unwrap_or(0),
        }
    }

    /// The hash of the key, of a random one where there is none; of no use to a strategy that is not keyed.
    #[inline]
    fn hash(&mut self, strategy: Strategy, key: Option<&[u8]>) -> u64 {
        match key {
            _ if !strategy.is_keyed() => 0,
            Some(key) => hash_key(key),
            None => self.random.u64(..),
        }
    }

    /// Brings the snapshot up to date and asks the targets for one that takes the pick.
    #[cold]
    fn select(&mut self, strategy: Strategy, key: Option<&[u8]>, claims: bool) -> Option<Choice> {
        self.refresh_if_stale();
        if self.instances.is_empty() {
            return None;
        }
        let bounded = strategy == Strategy::BoundedHash
            || strategy.is_keyed() && self.core.bounds_every_key();
        let hash = self.hash(strategy, key);
        if self.calm && !bounded {
            return Some(Choice { index: self.candidate(strategy, hash), probe: None });
        }
        Request { strategy, hash, bounded, claims }.settle(self)
    }

    fn refresh_if_stale(&mut self) {
        if self.core.generation() != self.generation {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        self.release_turns();
        self.generation = self.core.generation();
        self.calm = self.core.is_calm();
        self.snapshot = self.balancer.published();
        self.instances = self.snapshot.shared_instances();
        self.comparison = Comparison::of(self.snapshot.roster());
        let at_once = self.calm && !self.instances.is_empty() && !self.core.bounds_every_key();
        self.generation_at_once = if at_once { self.generation } else { NEVER };
    }

    fn release_turns(&mut self) {
        self.turn.release(&self.balancer.rotation);
        self.weighted_turn.release(&self.balancer.weighted_rotation);
    }
}

impl<T> Drop for Picker<T> {
    fn drop(&mut self) {
        self.release_turns();
        self.threshold.release(&self.core);
    }
}

impl<T> fmt::Debug for Picker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
