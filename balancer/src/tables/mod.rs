//! Tables that strategies read: pure functions of the ids and weights of the targets, but for the schedule, which follows the
//! one before it.

mod alias;
mod hash;
mod maglev;
mod rendezvous;
mod ring;
mod roster;
mod schedule;

use std::sync::{Arc, OnceLock};

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

/// One of the tables over a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableKind {
    Schedule,
    Alias,
    Maglev,
    Rendezvous,
    Ring,
}

/// The tables over one roster. Each is built when it is first asked for.
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
    /// The tables for the next roster. Every table that is built here is built there too.
    pub(crate) fn follow(self: &Arc<Self>, roster: Roster) -> Arc<Self> {
        if self.roster == roster {
            return Arc::clone(self);
        }
        let next = Self { roster, ..Self::default() };
        if let Some(schedule) = self.schedule.get() {
            next.schedule.get_or_init(|| schedule.follow(&self.roster, &next.roster));
        }
        build_like(&self.alias, &next, Self::alias);
        build_like(&self.maglev, &next, Self::maglev);
        build_like(&self.rendezvous, &next, Self::rendezvous);
        build_like(&self.ring, &next, Self::ring);
        Arc::new(next)
    }

    /// Builds a table unless it is built.
    pub(crate) fn prepare(&self, kind: TableKind) {
        match kind {
            TableKind::Schedule => {
                self.schedule();
            }
            TableKind::Alias => {
                self.alias();
            }
            TableKind::Maglev => {
                self.maglev();
            }
            TableKind::Rendezvous => {
                self.rendezvous();
            }
            TableKind::Ring => {
                self.ring();
            }
        }
    }

    /// The target for a hash. `None` for a table without keys and where there is no target.
    pub(crate) fn lookup(&self, kind: TableKind, hash: u64) -> Option<usize> {
        match kind {
            TableKind::Schedule | TableKind::Alias => None,
            TableKind::Maglev => self.maglev().get(hash),
            TableKind::Rendezvous => self.rendezvous().get(hash),
            TableKind::Ring => self.ring().get(hash),
        }
    }

    #[inline]
    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether the schedule is in use.
    pub(crate) fn has_schedule(&self) -> bool {
        self.schedule.get().is_some()
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
