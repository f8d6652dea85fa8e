//! Scopes: the instances of a service that a pick may choose, and their order. Each scope has a balancer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use hobnob_api::{Datacenters, Grade, Prefer};
use hobnob_balancer::{
    Balancer, Circuit, Config, Layered, LayeredPicker, MAGLEV_SLOTS, OVERPROVISIONING, Observed,
    Pick, Picker, Place, RENDEZVOUS_SLOTS, Report, SCHEDULE_SLOTS_MAX, Selector, Strategy,
    VIRTUAL_NODES,
};
use hobnob_membership::Time;
use hobnob_membership::record::Text;
use hobnob_membership::view::Instance;
use imbl::ordmap::DiffItem;

use super::entry::Fall;
use super::service::{Instances, Published};
use super::{Entry, Locality};
use crate::budget::{Budget, Exhausted, Held};

/// A balancer of more instances than this is not brought up to date at every change.
const BATCHED_ABOVE: usize = 256;
/// Such a balancer then rests for this many times as long as the update took, so that updates take a fifth of a core at most,
/// whatever the rate of changes.
const RESTS: u32 = 4;
/// Bytes of a balancer without instances and tables, with a few layers.
const SCOPE_BYTES: usize = 8 << 10;
/// Bytes of an instance in a balancer.
const TARGET_BYTES: usize = 128;

/// A choice among the instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// A label selector, as it was written.
    pub(crate) selector: Option<String>,
    /// Only these datacenters.
    pub(crate) datacenter: Datacenters,
    /// The instances that come first.
    pub(crate) prefer: Prefer,
}

impl Scope {
    /// Whether it is every instance, in the order of a pick that names none.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether an instance is what a query asks for: metadata are labels, and a tag is a label with an empty value.
pub(crate) fn matches(selector: &Selector, datacenters: &Datacenters, instance: &Instance) -> bool {
    let service = &instance.service;
    let label = |name: &str| {
        let tag = || service.tags.contains(name).then_some("");
        service.meta.get(name).or_else(tag)
    };
    datacenters.contains(&instance.node.datacenter) && selector.matches(label)
}

/// The balancer of one scope.
pub(crate) struct Scoped {
    selector: Selector,
    datacenter: Datacenters,
    prefer: Prefer,
    failover: Box<[Text]>,
    balancer: Kind,
    /// The generation of the instances that it was made from; 0 before the first.
    generation: AtomicU64,
    /// What it has caught up with. Locked during an update, which one asker makes while others pick from what is there.
    followed: Mutex<Followed>,
    /// No longer updated: its pickers have to be replaced.
    retired: AtomicBool,
    /// The strategies whose tables have room, one bit for each.
    reserved: AtomicU16,
    /// Whether one of its instances drained when it was last updated.
    drained: AtomicBool,
    /// The most layers so far, each of which has tables of its own.
    layers: AtomicUsize,
    held: Mutex<HeldBytes>,
}

/// The bytes that count for a scope until it is dropped: those of its balancer, and those of the tables of each strategy.
#[derive(Default)]
struct HeldBytes {
    balancer: Option<Held>,
    tables: BTreeMap<u16, Held>,
}

/// The publication that a balancer was last compared with.
#[derive(Default)]
struct Followed {
    /// It shares what did not change with later publications.
    instances: Instances,
    /// The order of the datacenters.
    nearest: Arc<Vec<String>>,
    /// When the balancer may be updated again.
    rests_until: Option<Instant>,
}

enum Kind {
    Flat(Arc<Balancer<Arc<Entry>>>),
    Layered(Arc<Layered<Arc<Entry>>>),
}

impl Scoped {
    /// A balancer without instances. `selector` is that of the scope, parsed.
    /// Datacenters follow in the order of `failover`.
    pub(super) fn new(
        scope: &Scope,
        selector: Selector,
        config: &Config,
        failover: &[Text],
    ) -> Self {
        // Agents that all began with the same instance would flood it together.
        let config = Config { seed: rand::random(), ..config.clone() };
        let balancer = match scope.prefer {
            Prefer::Any => Kind::Flat(Arc::new(Balancer::new(config))),
            Prefer::Zone | Prefer::Datacenter => {
                Kind::Layered(Arc::new(Layered::new(&config, OVERPROVISIONING)))
            }
        };
        Self {
            selector,
            datacenter: scope.datacenter.clone(),
            prefer: scope.prefer,
            failover: failover.into(),
            balancer,
            generation: AtomicU64::new(0),
            followed: Mutex::default(),
            retired: AtomicBool::new(false),
            reserved: AtomicU16::new(0),
            drained: AtomicBool::new(false),
            layers: AtomicUsize::new(1),
            held: Mutex::default(),
        }
    }

    /// Bytes of a balancer of so many instances, its tables aside.
    pub(super) fn bytes(instances: usize) -> usize {
        SCOPE_BYTES + instances * TARGET_BYTES
    }

    /// Gives back what was counted for it when it is dropped.
    pub(super) fn keep(&self, held: Held) {
        self.lock_held().balancer = Some(held);
    }

    /// Makes room for the table of a strategy, of so many instances, before its first pick.
    ///
    /// # Errors
    /// There is no room for the table.
    pub(super) fn reserve(
        &self,
        strategy: Strategy,
        instances: usize,
        budget: &Arc<Budget>,
    ) -> Result<(), Exhausted> {
        let bit = 1 << strategy as u16;
        if self.reserved.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let mut held = self.lock_held();
        if self.reserved.load(Ordering::Relaxed) & bit == 0 {
            let layers = self.layers.load(Ordering::Relaxed);
            // Those of fewer layers give way to it.
            held.tables.remove(&bit);
            held.tables.insert(bit, budget.hold(table_bytes(strategy, instances, layers))?);
            self.reserved.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    fn lock_held(&self) -> MutexGuard<'_, HeldBytes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an instance is in the scope.
    pub(super) fn contains(&self, instance: &Instance) -> bool {
        matches(&self.selector, &self.datacenter, instance)
    }

    /// Whether it has followed anything yet.
    pub(super) fn is_in_use(&self) -> bool {
        self.generation.load(Ordering::Acquire) > 0
    }

    /// Catches up with what was published, at the cost of the asker. If no change concerns the scope, that is the cost of the
    /// changes; else that of the service. An asker does not wait for another one that does the same, and a large balancer
    /// rests between two updates, except that nobody picks without what is urgent.
    pub(super) fn follow(&self, published: &Published, locality: &Locality) {
        let generation = self.generation.load(Ordering::Acquire);
        if generation >= published.generation {
            return;
        }
        let is_urgent = generation < published.urgent || generation == 0;
        let mut followed = if is_urgent {
            self.followed.lock().unwrap_or_else(PoisonError::into_inner)
        } else {
            match self.followed.try_lock() {
                Ok(followed) => followed,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            }
        };
        let began = Instant::now();
        let rests = !is_urgent && followed.rests_until.is_some_and(|until| began < until);
        if rests || self.generation.load(Ordering::Acquire) >= published.generation {
            return;
        }
        let nearest = locality.nearest.load_full();
        let is_concerned = generation == 0
            || !Arc::ptr_eq(&followed.nearest, &nearest)
            || self.is_concerned(&followed.instances, &published.instances);
        followed.instances = published.instances.clone();
        followed.nearest = nearest;
        if is_concerned {
            self.update(published, locality);
            let is_large = published.instances.len() > BATCHED_ABOVE;
            followed.rests_until = is_large.then(|| Instant::now() + began.elapsed() * RESTS);
        }
        self.generation.store(published.generation, Ordering::Release);
    }

    /// Whether an instance of the scope came, went or changed.
    fn is_concerned(&self, before: &Instances, now: &Instances) -> bool {
        before.diff(now).any(|change| match change {
            DiffItem::Add(_, entry) | DiffItem::Remove(_, entry) => self.contains(entry),
            DiffItem::Update { old: (_, old), new: (_, new) } => {
                self.contains(old) || self.contains(new)
            }
        })
    }

    /// Offers the instances of the best grade that the scope has, whatever their layers.
    fn update(&self, published: &Published, locality: &Locality) {
        let within: Vec<&Arc<Entry>> =
            published.instances.values().filter(|instance| self.contains(instance)).collect();
        let offered = Grade::offered(within.iter().map(|instance| instance.grade()), false);
        let drains = within.iter().any(|instance| instance.fall().is_some());
        let drained = self.drained.swap(drains, Ordering::Relaxed);
        let falling: Vec<_> = match drains || drained {
            true => within.iter().map(|entry| (entry.target().id, entry.fall())).collect(),
            false => Vec::new(),
        };
        match &self.balancer {
            Kind::Flat(balancer) => {
                let targets = within.iter().filter(|instance| instance.is_offered(offered));
                balancer.update(targets.map(|entry| entry.target()).collect());
            }
            Kind::Layered(layered) => {
                let here = Place { datacenter: &locality.datacenter, zone: &locality.zone };
                let placed = within.into_iter().map(|instance| {
                    let node = &instance.node;
                    let there = Place { datacenter: &node.datacenter, zone: &node.zone };
                    let target = instance.is_offered(offered).then(|| instance.target());
                    (there, instance.service.weight, target)
                });
                let nearness = locality.nearness(self.prefer, &self.failover);
                let layers = nearness.arrange(here, placed);
                // A layer that is new has no tables yet.
                let held = self.lock_held();
                if self.layers.fetch_max(layers.len(), Ordering::Relaxed) < layers.len() {
                    self.reserved.store(0, Ordering::Relaxed);
                }
                drop(held);
                layered.update(layers);
            }
        }
        self.drain(&falling);
    }

    /// Lets the weights of these targets fall, and gives the others their weight back.
    fn drain(&self, falling: &[(Arc<str>, Option<Fall>)]) {
        if falling.is_empty() {
            return;
        }
        let balancers = match &self.balancer {
            Kind::Flat(balancer) => vec![balancer.clone()],
            Kind::Layered(layered) => layered.layers(),
        };
        for balancer in balancers {
            for (id, fall) in falling {
                match fall {
                    Some(Fall { until, over }) => {
                        balancer.drain_until(id, until.since(Time::ZERO), *over);
                    }
                    None => drop(balancer.undrain(id)),
                }
            }
        }
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether a picker of it has to be replaced.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether load is on its way from one datacenter to another, which needs the clock.
    pub(super) fn is_moving(&self) -> bool {
        match &self.balancer {
            Kind::Flat(_) => false,
            Kind::Layered(layered) => layered.is_moving(),
        }
    }

    pub(crate) fn advance(&self, now: Duration) {
        match &self.balancer {
            Kind::Flat(balancer) => balancer.advance(now),
            Kind::Layered(layered) => layered.advance(now),
        }
    }

    /// The picks so far. Layers are reported together.
    #[cfg(test)]
    pub(crate) fn report(&self) -> Report {
        match &self.balancer {
            Kind::Flat(balancer) => balancer.report(),
            Kind::Layered(layered) => {
                let layers = layered.layers();
                let reports = layers.iter().map(|balancer| balancer.report());
                Report { targets: reports.flat_map(|report| report.targets).collect() }
            }
        }
    }

    /// The picks so far of the targets that are preferred: those of the nearest layer that has any.
    pub(crate) fn report_of_nearest(&self) -> Report {
        match &self.balancer {
            Kind::Flat(balancer) => balancer.report(),
            Kind::Layered(layered) => {
                let layers = layered.layers();
                let nearest = layers.iter().find(|balancer| !balancer.snapshot().is_empty());
                nearest.map(|balancer| balancer.report()).unwrap_or_default()
            }
        }
    }

    /// Learns from calls of a client that picked for itself. Returns whether there is such a target.
    pub(super) fn observe(&self, id: &str, observed: &Observed) -> bool {
        match &self.balancer {
            Kind::Flat(balancer) => balancer.observe(id, observed),
            Kind::Layered(layered) => {
                layered.layers().iter().any(|balancer| balancer.observe(id, observed))
            }
        }
    }

    /// The standing of a target; `None` when it is not offered.
    pub(crate) fn standing(&self, id: &str) -> Option<Standing> {
        let of = |balancer: &Arc<Balancer<Arc<Entry>>>| {
            let snapshot = balancer.snapshot();
            let target = snapshot.get(id)?;
            let (available, circuit) = (target.is_available(), target.circuit());
            let (failures, ejected_until_us) = (target.failures(), target.ejected_until_us());
            let (called, failed_calls) = target.observed();
            let calls = called + failed_calls;
            Some(Standing { available, circuit, ejected_until_us, failures, calls, failed_calls })
        };
        match &self.balancer {
            Kind::Flat(balancer) => of(balancer),
            Kind::Layered(layered) => layered.layers().iter().find_map(of),
        }
    }

    pub(crate) fn picker(&self) -> ScopedPicker {
        match &self.balancer {
            Kind::Flat(balancer) => ScopedPicker::Flat(Box::new(balancer.picker())),
            Kind::Layered(layered) => ScopedPicker::Layered(layered.picker()),
        }
    }
}

/// Bytes of the tables of a strategy over so many instances in so many layers, for weights of 16 on average.
fn table_bytes(strategy: Strategy, instances: usize, layers: usize) -> usize {
    match strategy {
        Strategy::ConsistentHash | Strategy::BoundedHash => layers * 2 * MAGLEV_SLOTS as usize,
        Strategy::Rendezvous => layers * 2 * RENDEZVOUS_SLOTS as usize,
        Strategy::Ring => 24 * VIRTUAL_NODES as usize * instances,
        Strategy::Weighted => 10 * (16 * instances).min(SCHEDULE_SLOTS_MAX as usize),
        _ => 0,
    }
}

/// The standing of a target of a scope with its balancer.
pub(crate) struct Standing {
    /// Whether a pick could go to it now.
    pub(crate) available: bool,
    pub(crate) circuit: Circuit,
    /// When its ejection ends, by the clock of the balancers; `None` while it is not ejected.
    pub(crate) ejected_until_us: Option<u64>,
    /// The picks of it whose calls were reported as failed.
    pub(crate) failures: u64,
    /// The calls of it that clients picked for by themselves and told of.
    pub(crate) calls: u64,
    /// Those of them that failed.
    pub(crate) failed_calls: u64,
}

/// Picks from one scope, for one connection.
pub(crate) enum ScopedPicker {
    Flat(Box<Picker<Arc<Entry>>>),
    Layered(LayeredPicker<Arc<Entry>>),
}

impl ScopedPicker {
    pub(crate) fn pick(
        &mut self,
        strategy: Strategy,
        key: Option<&[u8]>,
    ) -> Option<Pick<Arc<Entry>>> {
        match self {
            Self::Flat(picker) => picker.pick(strategy, key),
            Self::Layered(picker) => picker.pick(strategy, key),
        }
    }
}
