//! One service: the published snapshot and what its pickers share.

use crate::{
    config::Config,
    feedback::{Report, ServiceState, TargetReport, TargetState, micros, outlier},
    picker::Picker,
    snapshot::{Instance, Snapshot, Target},
    strategies::{Rotation, Strategy},
    tables::{MAX_TARGETS, MAX_WEIGHT, hash_key},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// While some target is not an ordinary one, the clock looks after it this often.
const SWEEP_US: u64 = 100_000;

/// Balances the picks of one service. Share it by `Arc`, give every thread or connection its own [`Picker`].
///
/// Updates are serialised among themselves; a pick never waits for one.
pub struct Balancer<T> {
    core: Arc<ServiceState>,
    published: ArcSwap<Snapshot<T>>,
    pub(crate) rotation: Rotation,
    pub(crate) weighted_rotation: Rotation,
    pickers: AtomicU64,
    next_sweep_us: AtomicU64,
    next_comparison_us: AtomicU64,
    /// The states of former targets that still have picks in flight, should the targets return. Held through an update.
    departed: Mutex<Departed>,
}

type Departed = BTreeMap<Arc<str>, Arc<TargetState>>;

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
            core: Arc::new(ServiceState::new(config)),
            published: ArcSwap::from_pointee(Snapshot::empty()),
            rotation: Rotation::default(),
            weighted_rotation: Rotation::default(),
            pickers: AtomicU64::default(),
            next_sweep_us: AtomicU64::default(),
            next_comparison_us: AtomicU64::default(),
            departed: Mutex::default(),
        }
    }

    /// Replaces the set of targets. The order does not matter; of targets with one id the last counts; weights are clamped
    /// into `1..=MAX_WEIGHT`. Targets that stay keep their state, and the turns of round robin go on where they were.
    /// Targets that are new start slowly if so configured, except where there was none before.
    pub fn update(&self, targets: Vec<Target<T>>) -> Change {
        let mut departed = self.lock_departed();
        let before = self.published.load_full();
        let targets = sorted_and_unique(targets);
        let mut change =
            Change { refused: targets.len().saturating_sub(MAX_TARGETS), ..Change::default() };
        let mut former = before.instances().iter().peekable();
        let mut instances = Vec::with_capacity(targets.len().min(MAX_TARGETS));
        for target in targets.into_iter().take(MAX_TARGETS) {
            while let Some(gone) = former.next_if(|instance| *instance.id() < target.id) {
                change.removed += 1;
                departed.insert(Arc::clone(gone.id()), Arc::clone(gone.shared_state()));
            }
            let state = match former.next_if(|instance| *instance.id() == target.id) {
                Some(kept) => Arc::clone(kept.shared_state()),
                None => {
                    change.added += 1;
                    departed
                        .remove(&target.id)
                        .unwrap_or_else(|| self.arrive(&target.id, !before.is_empty()))
                }
            };
            instances.push(Arc::new(Instance::new(target, state)));
        }
        for gone in former {
            change.removed += 1;
            departed.insert(Arc::clone(gone.id()), Arc::clone(gone.shared_state()));
        }
        departed.retain(|_, state| state.in_flight() > 0);

        let next = Snapshot::new(instances.into(), &before);
        if change.added + change.removed > 0 {
            self.continue_rotation(&before, &next);
        }
        self.published.store(Arc::new(next));
        self.core.announce();
        self.sweep();
        change
    }

    /// The latest published snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot<T>> {
        self.published.load_full()
    }

    /// A picker for one thread or connection.
    pub fn picker(self: &Arc<Self>) -> Picker<T> {
        let ordinal = self.pickers.fetch_add(1, Relaxed);
        Picker::new(Arc::clone(self), ordinal)
    }

    /// Builds what a strategy needs now, so that not even its first pick has to. Later updates keep it built.
    pub fn prepare(&self, strategy: Strategy) {
        self.published.load().tables().prepare(strategy);
    }

    /// Moves the clock of this balancer: `now` is the time since any moment that the caller keeps to, and never goes back.
    /// Cheap enough to call before every pick; a few times a second is enough for breakers and ramps, and peak EWMA is the
    /// better the finer. Without a clock everything that takes time stands still.
    pub fn advance(&self, now: Duration) {
        if !self.core.advance(now) {
            return;
        }
        let now_us = self.core.now_us();
        if let Some(config) = &self.core.config.outlier
            && is_due(&self.next_comparison_us, now_us, micros(config.interval))
        {
            outlier::compare(config, self.published.load().states(), &self.core);
        }
        if !self.core.is_calm() && is_due(&self.next_sweep_us, now_us, SWEEP_US) {
            self.sweep();
        }
    }

    /// Lets the weight of a target ramp down to nothing over a time, for a shutdown that nobody notices. It stays drained,
    /// across updates too, until [`Balancer::undrain`]. Whether there is such a target.
    pub fn drain(&self, id: &str, over: Duration) -> bool {
        let now_us = self.core.now_us();
        let snapshot = self.published.load();
        let Some(instance) = snapshot.get(id) else { return false };
        instance.state().ramp.fall(now_us, now_us.saturating_add(micros(over)));
        self.core.alert();
        true
    }

    /// Gives a drained target its weight back, slowly if so configured. Whether there is such a target and it was drained.
    pub fn undrain(&self, id: &str) -> bool {
        let snapshot = self.published.load();
        let drained = snapshot
            .get(id)
            .map(|instance| instance.state())
            .filter(|state| state.ramp.is_falling());
        if let Some(state) = drained {
            self.warm_up(state);
        }
        drained.is_some()
    }

    /// What each target has done so far, and how evenly.
    pub fn report(&self) -> Report {
        let target = |instance: &Arc<Instance<T>>| TargetReport {
            id: Arc::clone(instance.id()),
            weight: instance.weight(),
            picks: instance.picks(),
            failures: instance.failures(),
            in_flight: instance.in_flight(),
            available: instance.is_available(),
        };
        Report { targets: self.published.load().instances().iter().map(target).collect() }
    }

    /// The state of a target that was not there before.
    fn arrive(&self, id: &str, slowly: bool) -> Arc<TargetState> {
        let state = TargetState::new(Arc::clone(&self.core), hash_key(id.as_bytes()));
        if slowly {
            self.warm_up(&state);
        }
        Arc::new(state)
    }

    fn warm_up(&self, state: &TargetState) {
        let now_us = self.core.now_us();
        match self.core.config.slow_start {
            Some(over) => {
                state.ramp.rise(now_us, now_us.saturating_add(micros(over)));
                self.core.alert();
            }
            None => state.ramp.level(),
        }
    }

    /// Looks at every target: corrects the counts, ends ramps, and ends the alert once every target is an ordinary one.
    fn sweep(&self) {
        let seen = self.core.alerts();
        let (snapshot, now_us) = (self.published.load(), self.core.now_us());
        let (mut down, mut ejected, mut extraordinary) = (0, 0, 0);
        for state in snapshot.states() {
            state.ramp.finish_rise(now_us);
            down += u32::from(!state.is_up());
            ejected += u32::from(state.record.is_ejected(now_us));
            extraordinary += u32::from(!state.is_ordinary());
        }
        self.core.set_counts(snapshot.len(), down, ejected);
        if extraordinary == 0 {
            self.core.all_clear(seen);
        }
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

    fn lock_departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Balancer<T> {
    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    #[inline]
    pub(crate) fn core(&self) -> &Arc<ServiceState> {
        &self.core
    }

    pub(crate) fn published(&self) -> Arc<Snapshot<T>> {
        self.published.load_full()
    }
}

impl<T> fmt::Debug for Balancer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("config", self.config())
            .field("targets", &self.published())
            .finish()
    }
}

/// Whether something periodic is due; if so, for one caller only, and next after another period.
fn is_due(next_us: &AtomicU64, now_us: u64, period_us: u64) -> bool {
    let due_us = next_us.load(Relaxed);
    let next = now_us.saturating_add(period_us.max(1));
    now_us >= due_us && next_us.compare_exchange(due_us, next, Relaxed, Relaxed).is_ok()
}

/// Targets in the order of their ids with weights in range; of targets with one id the last.
fn sorted_and_unique<T>(mut targets: Vec<Target<T>>) -> Vec<Target<T>> {
    targets.iter_mut().for_each(|target| target.weight = target.weight.clamp(1, MAX_WEIGHT));
    targets.sort_by(|a, b| a.id.cmp(&b.id));
    targets.dedup_by(|later, earlier| {
        let same = later.id == earlier.id;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    targets
}
