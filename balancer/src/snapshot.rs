//! The immutable view that pickers read.

use crate::{
    instance::Instance, maglev::Maglev, roster::Roster, roster::hash_key, schedule::Schedule,
    state::State, strategy::Strategy,
};
use crossbeam_utils::CachePadded;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// An immutable set of targets in the order of their ids, with the tables that strategies need.
///
/// The tables are a pure function of the set of ids and weights: every history of updates that ends in the same set
/// gives the same tables, on every agent. A table is built when a strategy first asks for it; from then on updates build
/// it before they publish, so that picks do not wait.
pub struct Snapshot<T> {
    instances: Box<[Arc<Instance<T>>]>,
    states: Box<[Arc<CachePadded<State>>]>,
    tables: Arc<Tables>,
}

/// The tables over one roster.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    roster: Roster,
    schedule: OnceLock<Schedule>,
    maglev: OnceLock<Maglev>,
}

impl<T> Snapshot<T> {
    pub(crate) fn empty() -> Self {
        Self { instances: Box::default(), states: Box::default(), tables: Arc::default() }
    }

    /// Takes the instances in the order of their ids. Tables that `before` had are there at once, and are the same ones
    /// when neither ids nor weights have changed.
    pub(crate) fn new(instances: Box<[Arc<Instance<T>>]>, before: &Self) -> Self {
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
        let hash = hash_key(key);
        let index = match strategy {
            Strategy::ConsistentHash => self.tables.maglev().get(hash),
            _ => None,
        };
        index.map(|index| &self.instances[index])
    }

    /// The identities and weights that the tables are built from.
    pub fn roster(&self) -> &Roster {
        &self.tables.roster
    }

    /// The turn of [`Strategy::Weighted`].
    pub fn schedule(&self) -> &Schedule {
        self.tables.schedule()
    }

    /// The table of [`Strategy::ConsistentHash`].
    pub fn maglev(&self) -> &Maglev {
        self.tables.maglev()
    }

    #[inline]
    pub(crate) fn states(&self) -> &[Arc<CachePadded<State>>] {
        &self.states
    }
}

impl Tables {
    /// The tables for the next roster, with everything built that is built here.
    fn follow(self: &Arc<Self>, roster: Roster) -> Arc<Self> {
        if self.roster == roster {
            return Arc::clone(self);
        }
        let next = Self { roster, ..Self::default() };
        if self.schedule.get().is_some() {
            next.schedule();
        }
        if self.maglev.get().is_some() {
            next.maglev();
        }
        Arc::new(next)
    }

    #[inline]
    fn schedule(&self) -> &Schedule {
        self.schedule.get_or_init(|| Schedule::new(&self.roster))
    }

    #[inline]
    fn maglev(&self) -> &Maglev {
        self.maglev.get_or_init(|| Maglev::new(&self.roster))
    }
}

impl<T> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.instances.iter().map(|instance| instance.id())).finish()
    }
}
