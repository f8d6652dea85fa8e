//! One service: its targets, and the pickers that choose among them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    config::Config,
    feedback::{Observed, Report, ServiceState, TargetReport, TargetState, eject_outliers, micros},
    picker::{Picker, Published},
    snapshot::{Instance, Snapshot, Target},
    strategies::{Strategy, Turns},
    tables::{MAX_TARGETS, MAX_WEIGHT, hash_key},
};

/// The time from one look at every target to the next, while some target is not ordinary.
const SWEEP_US: u64 = 100_000;

/// Balances the picks of one service. Each thread or connection has a [`Picker`] of its own.
///
/// Updates wait for each other; a pick waits for none.
pub struct Balancer<T> {
    published: Arc<Published<T>>,
    next_sweep_us: AtomicU64,
    next_comparison_us: AtomicU64,
    /// The states of former targets with picks in flight, in case the targets return. Locked during an update.
    departed: Mutex<Departed>,
}

type Departed = BTreeMap<Arc<str>, Arc<TargetState>>;

/// The changes of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Targets that were not there before.
    pub added: usize,
    /// Targets that are no longer there.
    pub removed: usize,
    /// Targets left out because there are more than [`MAX_TARGETS`]: the last ones in the order of their ids.
    pub refused: usize,
}

impl<T: Send + Sync + 'static> Balancer<T> {
    /// A balancer without targets. Settings are not checked: see [`Config::validate`].
    pub fn new(config: Config) -> Self {
        Self {
            published: Arc::new(Published::new(config)),
            next_sweep_us: AtomicU64::default(),
            next_comparison_us: AtomicU64::default(),
            departed: Mutex::default(),
        }
    }

    /// Replaces the set of targets. Their order does not matter. Of targets with the same id the last counts. Weights are
    /// clamped into `1..=MAX_WEIGHT`.
    ///
    /// A target that stays keeps its state, and round robin goes on with the target that was next. A new target starts
    /// slowly if [`Config::slow_start`] is set, unless there was no target before.
    pub fn update(&self, targets: Vec<Target<T>>) -> Change {
        let mut departed = self.lock_departed();
        let before = self.published.snapshot();
        let targets = sorted_and_unique(targets);
        let mut change =
            Change { refused: targets.len().saturating_sub(MAX_TARGETS), ..Change::default() };
        let mut former = before.instances().iter().peekable();
        let mut instances = Vec::with_capacity(targets.len().min(MAX_TARGETS));
        for target in targets.into_iter().take(MAX_TARGETS) {
            while let Some(gone) = former.next_if(|instance| *instance.id() < target.id) {
                change.removed += 1;
                depart(&mut departed, gone);
            }
            let state = match former.next_if(|instance| *instance.id() == target.id) {
                Some(kept) => Arc::clone(kept.shared_state()),
                None => {
                    change.added += 1;
                    departed
                        .remove(&target.id)
                        .unwrap_or_else(|| self.new_state(&target.id, !before.is_empty()))
                }
            };
            instances.push(Arc::new(Instance::new(target, state)));
        }
        for gone in former {
            change.removed += 1;
            depart(&mut departed, gone);
        }
        departed.retain(|_, state| state.in_flight() > 0);

        let next = Snapshot::new(instances.into(), &before);
        self.continue_turns(&before, &next);
        self.published.publish(next);
        self.sweep();
        change
    }

    /// The latest published snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot<T>> {
        self.published.snapshot()
    }

    /// A picker for one thread or connection.
    pub fn picker(&self) -> Picker<T> {
        Picker::new(Arc::clone(&self.published))
    }

    /// Builds the table of a strategy now, so that its first pick need not wait for it. Later updates keep it built.
    pub fn prepare(&self, strategy: Strategy) {
        if let Some(kind) = strategy.table() {
            self.snapshot().tables().prepare(kind);
        }
    }

    /// Moves the clock forward. `now` is the time since any fixed moment; a time that goes back is ignored.
    ///
    /// It is cheap enough to be called before every pick. A few times a second suffice for breakers and ramps; peak EWMA
    /// gains from finer steps. While the clock stands still, circuits stay open, ejections last and ramps stay where they
    /// are.
    pub fn advance(&self, now: Duration) {
        let service = self.service();
        if !service.advance(now) {
            return;
        }
        let now_us = service.now_us();
        if let Some(config) = &service.config().outlier
            && is_due(&self.next_comparison_us, now_us, micros(config.interval))
        {
            eject_outliers(self.snapshot().states(), now_us);
        }
        if !service.is_calm() && is_due(&self.next_sweep_us, now_us, SWEEP_US) {
            self.sweep();
        }
    }

    /// Ramps the weight of a target down to nothing over a time, for a graceful shutdown. The target stays drained, also
    /// across updates, until [`Balancer::undrain`]. Returns whether there is such a target.
    pub fn drain(&self, id: &str, over: Duration) -> bool {
        let snapshot = self.snapshot();
        let instance = snapshot.get(id);
        instance.inspect(|instance| instance.state().drain(over)).is_some()
    }

    /// Like [`Balancer::drain`], over a time that ends at a moment of the balancer's clock, and that may have begun long ago.
    /// The same drain twice is one. Returns whether there is such a target.
    pub fn drain_until(&self, id: &str, until: Duration, over: Duration) -> bool {
        let snapshot = self.snapshot();
        let instance = snapshot.get(id);
        instance.inspect(|instance| instance.state().drain_until(until, over)).is_some()
    }

    /// Gives a drained target its weight back, slowly if [`Config::slow_start`] is set. Returns whether there is such a
    /// target and it was drained.
    pub fn undrain(&self, id: &str) -> bool {
        let snapshot = self.snapshot();
        let drained = snapshot.get(id).filter(|instance| instance.state().is_draining());
        drained.inspect(|instance| instance.state().warm_up()).is_some()
    }

    /// Learns from calls of a client that picked for itself. They lead to circuits, ejections and averages as picks do, but their
    /// failures count slowly: in two seconds no more than half of those that open a circuit, and any success starts the count
    /// anew. A circuit that they opened closes with the next success that is told, or a minute after the last failure. Needs
    /// a clock. Returns whether there is such a target.
    pub fn observe(&self, id: &str, observed: &Observed) -> bool {
        let snapshot = self.snapshot();
        let instance = snapshot.get(id);
        instance.inspect(|instance| instance.state().observe(observed)).is_some()
    }

    /// The picks of each target so far.
    pub fn report(&self) -> Report {
        let target = |instance: &Arc<Instance<T>>| TargetReport {
            id: Arc::clone(instance.id()),
            weight: instance.weight(),
            picks: instance.picks(),
            failures: instance.failures(),
            in_flight: instance.in_flight(),
            available: instance.is_available(),
        };
        Report { targets: self.snapshot().instances().iter().map(target).collect() }
    }

    /// The state of a target that was not there before.
    fn new_state(&self, id: &str, slowly: bool) -> Arc<TargetState> {
        let service = Arc::clone(&self.published.service);
        let state = TargetState::new(service, hash_key(id.as_bytes()));
        if slowly {
            state.warm_up();
        }
        Arc::new(state)
    }

    /// Looks at every target: corrects the counts, ends ramps, and ends the alert once every target is ordinary.
    fn sweep(&self) {
        let service = self.service();
        let seen = service.alerts();
        let snapshot = self.snapshot();
        let (mut down, mut ejected, mut extraordinary) = (0, 0, 0);
        for state in snapshot.states() {
            state.finish_warm_up();
            state.forget_observed();
            down += u32::from(!state.is_up());
            ejected += u32::from(state.is_ejected());
            extraordinary += u32::from(!state.is_ordinary());
        }
        service.set_counts(snapshot.len(), down, ejected);
        if extraordinary == 0 {
            service.all_clear(seen);
        }
    }

    /// Makes the turns that pickers share go on with the target that was next, or with the first one after it that is still
    /// there.
    fn continue_turns(&self, before: &Snapshot<T>, next: &Snapshot<T>) {
        if before.is_empty() || next.is_empty() {
            return;
        }
        let Turns { plain, weighted } = &self.published.turns;
        let due = (plain.position() % before.len() as u64) as usize;
        plain.set_position(next.continue_plain(before, due) as u64);
        if before.tables().has_schedule() {
            let due = (weighted.position() % before.schedule().len() as u64) as usize;
            weighted.set_position(next.continue_weighted(before, due) as u64);
        }
    }

    fn lock_departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Balancer<T> {
    /// The settings of the balancer.
    pub fn config(&self) -> &Config {
        self.service().config()
    }

    /// Whether every target takes every pick.
    pub(crate) fn is_calm(&self) -> bool {
        self.service().is_calm()
    }

    fn service(&self) -> &ServiceState {
        &self.published.service
    }
}

impl<T> fmt::Debug for Balancer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("config", self.config())
            .field("targets", &self.published.snapshot())
            .finish()
    }
}

fn depart<T>(departed: &mut Departed, gone: &Instance<T>) {
    departed.insert(Arc::clone(gone.id()), Arc::clone(gone.shared_state()));
}

/// Whether something periodic is due. Only one of several callers is told so. It is next due after another period.
fn is_due(next_us: &AtomicU64, now_us: u64, period_us: u64) -> bool {
    let due_us = next_us.load(Relaxed);
    let next = now_us.saturating_add(period_us.max(1));
    now_us >= due_us && next_us.compare_exchange(due_us, next, Relaxed, Relaxed).is_ok()
}

/// The targets in the order of their ids, with weights in range. Of targets with the same id the last is kept.
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
