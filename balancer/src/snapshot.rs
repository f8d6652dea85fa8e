//! The targets of a service as pickers read them.

use std::{fmt, sync::Arc, time::Duration};

use crate::feedback::{Circuit, TargetState};
use crate::strategies::Strategy;
use crate::tables::{Alias, Maglev, Rendezvous, Ring, Roster, Schedule, Tables, hash_key};

/// Something to balance over, with a payload of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<T> {
    /// The identity. It must be the same across updates, and the same on every host, because keyed strategies hash it.
    pub id: Arc<str>,
    /// The share of the load relative to the other targets, in `1..=MAX_WEIGHT`.
    pub weight: u32,
    /// The payload that a pick hands out: an address, a connection pool, anything.
    pub item: T,
}

/// A target as part of a snapshot: as the caller gave it, with the state that the balancer keeps of it.
pub struct Instance<T> {
    target: Target<T>,
    state: Arc<TargetState>,
}

impl<T> Instance<T> {
    pub(crate) fn new(target: Target<T>, state: Arc<TargetState>) -> Self {
        Self { target, state }
    }

    /// The identity.
    #[inline]
    pub fn id(&self) -> &Arc<str> {
        &self.target.id
    }

    /// The share of the load relative to the other targets, in `1..=MAX_WEIGHT`.
    #[inline]
    pub fn weight(&self) -> u32 {
        self.target.weight
    }

    /// The payload.
    #[inline]
    pub fn item(&self) -> &T {
        &self.target.item
    }

    /// The picks that have neither completed nor been dropped.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.state.in_flight()
    }

    /// The picks made so far, across updates.
    pub fn picks(&self) -> u64 {
        self.state.picks()
    }

    /// The picks that ended in failure so far.
    pub fn failures(&self) -> u64 {
        self.state.failures()
    }

    /// The picks that ended in success or failure so far.
    pub fn completed(&self) -> u64 {
        self.state.completed()
    }

    /// The successes and the failures of calls that clients picked for by themselves, as [`Balancer::observe`] was told.
    ///
    /// [`Balancer::observe`]: crate::Balancer::observe
    pub fn observed(&self) -> (u64, u64) {
        self.state.observed()
    }

    /// The moving average of its latency, `None` before the first success.
    pub fn latency(&self) -> Option<Duration> {
        let average_us = self.state.average_latency_us();
        (average_us > 0.0).then(|| Duration::from_secs_f32(average_us / 1e6))
    }

    /// The state of its circuit breaker.
    pub fn circuit(&self) -> Circuit {
        self.state.circuit()
    }

    /// Whether it is ejected as an outlier.
    pub fn is_ejected(&self) -> bool {
        self.state.is_ejected()
    }

    /// When its ejection ends, in microseconds of the balancer's clock; `None` while it is not ejected.
    pub fn ejected_until_us(&self) -> Option<u64> {
        self.state.ejected_until_us()
    }

    /// The share of its weight that it has now, in `0.0..=1.0`: less than 1 during slow start and drain.
    pub fn share(&self) -> f32 {
        self.state.share()
    }

    /// Whether a pick could go to it now.
    pub fn is_available(&self) -> bool {
        self.state.is_eligible()
    }

    #[inline]
    pub(crate) fn state(&self) -> &TargetState {
        &self.state
    }

    pub(crate) fn shared_state(&self) -> &Arc<TargetState> {
        &self.state
    }
}

impl<T: fmt::Debug> fmt::Debug for Instance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("target", &self.target)
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

/// An immutable set of targets in the order of their ids, with the tables that strategies need.
///
/// The tables depend on nothing but the set of ids and weights: every history of updates that ends in the same set gives
/// the same tables, on every host. Only the [`Schedule`] also depends on what was there before, so that the turns of those
/// that stay do not move. A table is built when a strategy first asks for it. From then on updates build it before
/// they publish, so that picks do not wait.
pub struct Snapshot<T> {
    instances: Arc<[Arc<Instance<T>>]>,
    states: Box<[Arc<TargetState>]>,
    tables: Arc<Tables>,
}

impl<T> Snapshot<T> {
    pub(crate) fn empty() -> Self {
        Self { instances: Arc::from([]), states: Box::default(), tables: Arc::default() }
    }

    /// Takes the instances in the order of their ids. Tables that `before` had are built at once. They are shared with
    /// `before` while neither ids nor weights have changed.
    pub(crate) fn new(instances: Arc<[Arc<Instance<T>>]>, before: &Self) -> Self {
        let states = instances.iter().map(|instance| Arc::clone(instance.shared_state())).collect();
        let roster = Roster::new(
            instances.iter().map(|instance| (instance.id().as_ref(), instance.weight())),
        );
        let tables = before.tables.follow(roster);
        Self { instances, states, tables }
    }

    /// The number of targets.
    #[inline]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there is no target.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The targets in the order of their ids.
    #[inline]
    pub fn instances(&self) -> &[Arc<Instance<T>>] {
        &self.instances
    }

    /// The target with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Instance<T>>> {
        let index =
            self.instances.binary_search_by(|instance| instance.id().as_ref().cmp(id)).ok()?;
        Some(&self.instances[index])
    }

    /// The target that a keyed strategy chooses for a key while every target takes picks. `None` for a strategy that is not
    /// keyed, and where there is no target.
    pub fn lookup(&self, strategy: Strategy, key: &[u8]) -> Option<&Arc<Instance<T>>> {
        let index = self.tables.lookup(strategy.table()?, hash_key(key))?;
        Some(&self.instances[index])
    }

    /// The identities and weights that the tables are built from.
    pub fn roster(&self) -> &Roster {
        self.tables.roster()
    }

    /// The turn of [`Strategy::Weighted`].
    pub fn schedule(&self) -> &Schedule {
        self.tables.schedule()
    }

    /// The table of [`Strategy::ConsistentHash`].
    pub fn maglev(&self) -> &Maglev {
        self.tables.maglev()
    }

    /// The table of [`Strategy::WeightedRandom`]. Load-aware strategies draw from it too.
    pub fn alias(&self) -> &Alias {
        self.tables.alias()
    }

    /// The table of [`Strategy::Rendezvous`].
    pub fn rendezvous(&self) -> &Rendezvous {
        self.tables.rendezvous()
    }

    /// The table of [`Strategy::Ring`].
    pub fn ring(&self) -> &Ring {
        self.tables.ring()
    }

    /// The slot of round robin that follows the turn of `before`: that of the target which was next, or of the first one
    /// after it that is still there. Neither is empty.
    pub(crate) fn continue_plain(&self, before: &Self, slot: usize) -> usize {
        let due = before.instances[slot].id();
        self.instances.partition_point(|instance| instance.id() < due) % self.len()
    }

    /// [`Snapshot::continue_plain`] for a slot of the schedule.
    pub(crate) fn continue_weighted(&self, before: &Self, slot: usize) -> usize {
        let (former, schedule) = (before.schedule(), self.schedule());
        let due = before.instances[former.at(slot)].id();
        let target = self.instances.partition_point(|instance| instance.id() < due);
        schedule.position(former.time(slot), target) % schedule.len()
    }

    pub(crate) fn shared_instances(&self) -> Arc<[Arc<Instance<T>>]> {
        Arc::clone(&self.instances)
    }

    #[inline]
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    #[inline]
    pub(crate) fn states(&self) -> &[Arc<TargetState>] {
        &self.states
    }
}

impl<T> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.instances.iter().map(|instance| instance.id())).finish()
    }
}
