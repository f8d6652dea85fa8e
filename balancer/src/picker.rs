//! Picking, one thread or connection at a time.

use crate::{
    balancer::Balancer,
    breaker::{Admission, Ticket},
    core::Core,
    hot_cold::{self, Threshold},
    instance::Instance,
    least_connections, peak_ewma,
    pick::Pick,
    roster::{hash_key, mix},
    rotation::Lease,
    snapshot::Snapshot,
    strategy::Strategy,
    view::{View, below},
};
use std::{fmt, sync::Arc};

/// So many times a strategy is asked for another target when one refuses; then the first that does not is taken.
const ATTEMPTS_MAX: u64 = 16;

/// Picks for one thread or connection. It keeps the latest snapshot at hand, allocates nothing per pick and takes no lock.
pub struct Picker<T> {
    balancer: Arc<Balancer<T>>,
    core: Arc<Core>,
    snapshot: Arc<Snapshot<T>>,
    generation: u64,
    random: fastrand::Rng,
    turn: Lease,
    weighted_turn: Lease,
    threshold: Threshold,
}

/// A target that takes the pick, by index.
struct Choice {
    index: usize,
    probe: Option<Ticket>,
}

/// What a pick asks for.
#[derive(Clone, Copy)]
struct Request {
    strategy: Strategy,
    /// The hash of the key, for keyed strategies.
    hash: u64,
    bounded: bool,
    /// Whether the pick will be counted and report back, so that it may be the probe of a circuit.
    claims: bool,
}

impl<T> Picker<T> {
    pub(crate) fn new(balancer: Arc<Balancer<T>>, seed: u64) -> Self {
        let core = Arc::clone(balancer.core());
        let generation = core.generation();
        Self {
            snapshot: balancer.published(),
            generation,
            random: fastrand::Rng::with_seed(seed),
            turn: Lease::default(),
            weighted_turn: Lease::default(),
            threshold: Threshold::new(&core),
            core,
            balancer,
        }
    }

    /// Picks a target and counts it as in flight until the pick is completed or dropped. `None` if there is no target, or
    /// none that takes picks: circuits open, ejected, drained.
    ///
    /// Only keyed strategies look at `key`. Without a key they pick as if for a random one: every target gets its share,
    /// and nothing is consistent.
    #[inline]
    pub fn pick(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<Pick<T>> {
        let choice = self.select(strategy, key, true)?;
        Some(Pick::begin(Arc::clone(&self.snapshot.instances()[choice.index]), choice.probe))
    }

    /// Chooses as [`Picker::pick`] does, but counts nothing as in flight and expects no outcome: the cheapest way to ask.
    #[inline]
    pub fn choose(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<&Arc<Instance<T>>> {
        let choice = self.select(strategy, key, false)?;
        self.snapshot.instances().get(choice.index)
    }

    /// Lets a closure choose: it sees the targets in the order of their ids and names one by its index. Whatever it keeps
    /// between calls is its own. `None` if it names none, or one whose circuit is open, that is ejected or drained.
    pub fn pick_with<F>(&mut self, choose: F) -> Option<Pick<T>>
    where
        F: FnOnce(&[Arc<Instance<T>>]) -> Option<usize>,
    {
        self.refresh_if_stale();
        let index = choose(self.snapshot.instances())?;
        let instance = self.snapshot.instances().get(index)?;
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

    /// The balancer that it picks for.
    pub fn balancer(&self) -> &Arc<Balancer<T>> {
        &self.balancer
    }

    #[inline]
    fn select(&mut self, strategy: Strategy, key: Option<&[u8]>, claims: bool) -> Option<Choice> {
        self.refresh_if_stale();
        if self.snapshot.is_empty() {
            return None;
        }
        let hash = match key {
            Some(key) if strategy.is_keyed() => hash_key(key),
            None if strategy.is_keyed() => self.random.u64(..),
            _ => 0,
        };
        let bounded = strategy == Strategy::BoundedHash
            || strategy.is_keyed() && self.core.config.load_bound.is_some();
        let calm = self.core.is_calm();
        let index = self.candidate(strategy, hash, calm);
        if calm && !bounded {
            return Some(Choice { index, probe: None });
        }
        self.select_among_refusals(Request { strategy, hash, bounded, claims }, index)
    }

    /// What the strategy says, before anyone asks the target.
    #[inline]
    fn candidate(&mut self, strategy: Strategy, hash: u64, calm: bool) -> usize {
        let (snapshot, random) = (&*self.snapshot, &mut self.random);
        let view =
            View { states: snapshot.states(), tables: snapshot.tables(), core: &self.core, calm };
        match strategy {
            Strategy::RoundRobin => self.turn.advance(&self.balancer.rotation, snapshot.len()),
            Strategy::Weighted => {
                let schedule = snapshot.schedule();
                schedule.at(self
                    .weighted_turn
                    .advance(&self.balancer.weighted_rotation, schedule.len()))
            }
            Strategy::WeightedRandom => view.draw(random),
            Strategy::Random => below(snapshot.len(), random.u64(..)),
            Strategy::LeastConnections => least_connections::choose(view, random),
            Strategy::PeakEwma => peak_ewma::choose(view, random),
            Strategy::HotCold => hot_cold::choose(view, random, &mut self.threshold),
            Strategy::ConsistentHash
            | Strategy::BoundedHash
            | Strategy::Rendezvous
            | Strategy::Ring => snapshot.tables().lookup(strategy, hash).unwrap_or(0),
        }
    }

    /// Asks target after target. A key that is refused is hashed again, so that the keys of a target that refuses spread
    /// over all others and no other key moves; no table is rebuilt.
    #[cold]
    #[inline(never)]
    fn select_among_refusals(&mut self, request: Request, first: usize) -> Option<Choice> {
        if request.bounded {
            self.core.count_total();
        }
        let panics = self.core.panics();
        let mut index = first;
        for attempt in 1..=ATTEMPTS_MAX {
            let lot = self.lot(request, index);
            if let Some(choice) = self.ask(request, index, lot, panics) {
                return Some(choice);
            }
            let hash = mix(request.hash.wrapping_add(attempt));
            index = self.candidate(request.strategy, hash, panics);
        }
        let length = self.snapshot.len();
        let all = (0..length).map(|step| (index + step) % length);
        let unbounded = Request { bounded: false, ..request };
        let mut within = all.clone().filter_map(|index| self.ask(request, index, 0.0, panics));
        within
            .next()
            .or_else(|| all.clone().find_map(|index| self.ask(unbounded, index, 0.0, panics)))
    }

    /// The number in `0.0..1.0` that a target with a share of its weight holds against that share. A key always draws the same
    /// at a target.
    fn lot(&mut self, request: Request, index: usize) -> f32 {
        if request.strategy.is_keyed() {
            let drawn = mix(request.hash ^ self.snapshot.states()[index].salt());
            (drawn >> 40) as f32 / (1_u64 << 24) as f32
        } else {
            self.random.f32()
        }
    }

    fn ask(&self, request: Request, index: usize, lot: f32, panics: bool) -> Option<Choice> {
        let state = &self.snapshot.states()[index];
        if request.bounded {
            let roster = self.snapshot.roster();
            if state.in_flight() >= self.core.bound(roster.weights()[index], roster.total_weight())
            {
                return None;
            }
        }
        if panics {
            return (!state.ramp.is_falling()).then_some(Choice { index, probe: None });
        }
        match state.admit(request.claims, lot) {
            Admission::Granted => Some(Choice { index, probe: None }),
            Admission::Probe(ticket) => Some(Choice { index, probe: Some(ticket) }),
            Admission::Refused => None,
        }
    }

    #[inline]
    fn refresh_if_stale(&mut self) {
        if self.core.generation() != self.generation {
            self.refresh();
        }
    }

    #[cold]
    fn refresh(&mut self) {
        self.release_turns();
        self.generation = self.core.generation();
        self.snapshot = self.balancer.published();
    }

    fn release_turns(&mut self) {
        self.turn.release(&self.balancer.rotation);
        self.weighted_turn.release(&self.balancer.weighted_rotation);
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
