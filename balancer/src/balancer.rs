//! One service: the published snapshot and what its pickers share.

use crate::{
    config::Config,
    instance::Instance,
    picker::Picker,
    roster::mix,
    rotation::Rotation,
    snapshot::Snapshot,
    state::State,
    target::{MAX_TARGETS, MAX_WEIGHT, Target},
};
use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Balances the picks of one service. Share it by `Arc`, give every thread or connection its own [`Picker`].
///
/// Updates are serialised among themselves; a pick never waits for one.
pub struct Balancer<T> {
    config: Config,
    published: ArcSwap<Snapshot<T>>,
    /// Grows with every published snapshot, after it is published.
    generation: CachePadded<AtomicU64>,
    pub(crate) rotation: Rotation,
    pub(crate) weighted_rotation: Rotation,
    pickers: AtomicU64,
    /// The states of the current targets, and of former targets that still have picks in flight.
    states: Mutex<BTreeMap<Arc<str>, Arc<CachePadded<State>>>>,
}

/// What an update changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Targets that were not there before.
    pub added: usize,
    /// Targets that are no longer there.
    pub removed: usize,
    /// Targets left out because there were more than [`MAX_TARGETS`]; the last in the order of their ids.
    pub refused: usize,
}

impl<T: Send + Sync + 'static> Balancer<T> {
    /// A balancer without targets.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            published: ArcSwap::from_pointee(Snapshot::empty()),
            generation: CachePadded::default(),
            rotation: Rotation::default(),
            weighted_rotation: Rotation::default(),
            pickers: AtomicU64::default(),
            states: Mutex::default(),
        }
    }

    /// Replaces the set of targets. The order does not matter; of targets with one id the last counts; weights are clamped
    /// into `1..=MAX_WEIGHT`. Targets that stay keep their state, and the turns of round robin go on where they were.
    pub fn update(&self, targets: Vec<Target<T>>) -> Change {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unique: BTreeMap<Arc<str>, Target<T>> = BTreeMap::new();
        for mut target in targets {
            target.weight = target.weight.clamp(1, MAX_WEIGHT);
            unique.insert(Arc::clone(&target.id), target);
        }
        let refused = unique.len().saturating_sub(MAX_TARGETS);
        let instances: Box<[_]> = unique
            .into_values()
            .take(MAX_TARGETS)
            .map(|target| {
                let state = states.entry(Arc::clone(&target.id)).or_default();
                Arc::new(Instance::new(target, Arc::clone(state)))
            })
            .collect();

        let before = self.published.load_full();
        let next = Snapshot::new(instances, &before);
        let kept =
            next.instances().iter().filter(|instance| before.get(instance.id()).is_some()).count();
        let change = Change { added: next.len() - kept, removed: before.len() - kept, refused };
        states.retain(|id, state| next.get(id).is_some() || state.in_flight() > 0);
        if change.added + change.removed > 0 {
            self.continue_rotation(&before, &next);
        }
        self.published.store(Arc::new(next));
        self.generation.fetch_add(1, Ordering::Release);
        change
    }

    /// The latest published snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot<T>> {
        self.published.load_full()
    }

    /// A picker for one thread or connection.
    pub fn picker(self: &Arc<Self>) -> Picker<T> {
        let ordinal = self.pickers.fetch_add(1, Ordering::Relaxed);
        Picker::new(Arc::clone(self), mix(self.config.seed ^ mix(ordinal)))
    }

    /// Lets the next pick in turn be the target that would have been next, or the first one after it that is still there.
    fn continue_rotation(&self, before: &Snapshot<T>, next: &Snapshot<T>) {
        if before.is_empty() || next.is_empty() {
            return;
        }
        let due = (self.rotation.position() % before.len() as u64) as usize;
        let due = before.instances()[due].id();
        let position =
            next.instances().partition_point(|instance| instance.id() < due) % next.len();
        self.rotation.set_position(position as u64);
    }
}

impl<T> Balancer<T> {
    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn published(&self) -> Arc<Snapshot<T>> {
        self.published.load_full()
    }
}

impl<T> fmt::Debug for Balancer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("config", &self.config)
            .field("targets", &self.published())
            .finish()
    }
}
