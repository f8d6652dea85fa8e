//! The tables over one set of targets, each built when it is first asked for.

mod alias;
mod hash;
mod maglev;
mod rendezvous;
mod ring;
mod roster;
mod schedule;

pub(crate) use self::hash::{below, mix};
pub use self::{
    alias::Alias,
    hash::{HASH_SEED, hash_key},
    maglev::{MAGLEV_SLOTS, Maglev},
    rendezvous::{RENDEZVOUS_BOUND_PERCENT, RENDEZVOUS_SLOTS, Rendezvous},
    ring::{Ring, VIRTUAL_NODES},
    roster::{MAX_TARGETS, MAX_WEIGHT, Roster},
    schedule::{SCHEDULE_SLOTS_MAX, Schedule},
};

use crate::strategies::Strategy;
use std::sync::{Arc, OnceLock};

/// The tables over one roster. Each is a pure function of it.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    roster: Roster,
    schedule: OnceLock<Schedule>,
    alias: OnceLock<Alias>,
    maglev: OnceLock<Maglev>,
    rendezvous: OnceLock<Rendezvous>,
    ring: OnceLock<Ring>,
}

impl Tables {
    /// The tables for the next roster, with everything built that is built here.
    pub(crate) fn follow(self: &Arc<Self>, roster: Roster) -> Arc<Self> {
        if self.roster == roster {
            return Arc::clone(self);
        }
        let next = Self { roster, ..Self::default() };
        build_like(&self.schedule, &next, Self::schedule);
        build_like(&self.alias, &next, Self::alias);
        build_like(&self.maglev, &next, Self::maglev);
        build_like(&self.rendezvous, &next, Self::rendezvous);
        build_like(&self.ring, &next, Self::ring);
        Arc::new(next)
    }

    /// Builds what a strategy needs.
    pub(crate) fn prepare(&self, strategy: Strategy) {
        match strategy {
            Strategy::RoundRobin | Strategy::Random => {}
            Strategy::Weighted => {
                self.schedule();
            }
            Strategy::WeightedRandom
            | Strategy::LeastConnections
            | Strategy::PeakEwma
            | Strategy::HotCold => {
                self.alias();
            }
            Strategy::ConsistentHash | Strategy::BoundedHash => {
                self.maglev();
            }
            Strategy::Rendezvous => {
                self.rendezvous();
            }
            Strategy::Ring => {
                self.ring();
            }
        }
    }

    /// Where a keyed strategy sends a hash. `None` for other strategies and where there is no target.
    #[inline]
    pub(crate) fn lookup(&self, strategy: Strategy, hash: u64) -> Option<usize> {
        match strategy {
            Strategy::ConsistentHash | Strategy::BoundedHash => self.maglev().get(hash),
            Strategy::Rendezvous => self.rendezvous().get(hash),
            Strategy::Ring => self.ring().get(hash),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    #[inline]
    pub(crate) fn schedule(&self) -> &Schedule {
        self.schedule.get_or_init(|| Schedule::new(&self.roster))
    }

    #[inline]
    pub(crate) fn alias(&self) -> &Alias {
        self.alias.get_or_init(|| Alias::new(&self.roster))
    }

    #[inline]
    pub(crate) fn maglev(&self) -> &Maglev {
        self.maglev.get_or_init(|| Maglev::new(&self.roster))
    }

    #[inline]
    pub(crate) fn rendezvous(&self) -> &Rendezvous {
        self.rendezvous.get_or_init(|| Rendezvous::new(&self.roster))
    }

    #[inline]
    pub(crate) fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| Ring::new(&self.roster))
    }
}

fn build_like<'a, Table: 'a>(
    before: &OnceLock<Table>,
    next: &'a Tables,
    build: impl Fn(&'a Tables) -> &'a Table,
) {
    if before.get().is_some() {
        build(next);
    }
}
