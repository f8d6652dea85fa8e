//! The immutable view that pickers read.

use crate::{
    alias::Alias, instance::Instance, maglev::Maglev, rendezvous::Rendezvous, ring::Ring,
    roster::Roster, roster::hash_key, schedule::Schedule, state::State, strategy::Strategy,
    tables::Tables,
};
use std::{fmt, sync::Arc};

/// An immutable set of targets in the order of their ids, with the tables that strategies need.
///
/// The tables are a pure function of the set of ids and weights: every history of updates that ends in the same set
/// gives the same tables, on every agent. A table is built when a strategy first asks for it; from then on updates build
/// it before they publish, so that picks do not wait.
pub struct Snapshot<T> {
    instances: Arc<[Arc<Instance<T>>]>,
    states: Box<[Arc<State>]>,
    tables: Arc<Tables>,
}

impl<T> Snapshot<T> {
    pub(crate) fn empty() -> Self {
        Self { instances: Arc::from([]), states: Box::default(), tables: Arc::default() }
    }

    /// Takes the instances in the order of their ids. Tables that `before` had are there at once, and are the same ones
    /// when neither ids nor weights have changed.
    pub(crate) fn new(instances: Arc<[Arc<Instance<T>>]>, before: &Self) -> Self {
        let states = instances.iter().map(|instance| Arc::clone(instance.shared_state())).collect();
        let roster = Roster::new(
            instances.iter().map(|instance| (instance.id().as_ref(), instance.weight())),
        );
        let tables = before.tables.follow(roster);
        Self { instances, states, tables }
    }

    /// How many targets there are.
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

    /// Where a keyed strategy sends a key, the state of the targets aside. `None` for a strategy that is not keyed, and
    /// where there is no target.
    pub fn lookup(&self, strategy: Strategy, key: &[u8]) -> Option<&Arc<Instance<T>>> {
        self.tables.lookup(strategy, hash_key(key)).map(|index| &self.instances[index])
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

    /// The table of [`Strategy::WeightedRandom`], from which load-aware strategies draw their candidates too.
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

    pub(crate) fn shared_instances(&self) -> Arc<[Arc<Instance<T>>]> {
        Arc::clone(&self.instances)
    }

    #[inline]
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    #[inline]
    pub(crate) fn states(&self) -> &[Arc<State>] {
        &self.states
    }
}

impl<T> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.instances.iter().map(|instance| instance.id())).finish()
    }
}
