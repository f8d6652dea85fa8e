//! A replica and what its readers saw.

use hobnob_membership::Epoch;
use hobnob_membership::catalog::{Catalog, Replica};

use super::history::{History, KEYS, live, served};
use super::names::{Move, Name, Names};

/// A replica and what its readers saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seen {
    pub(crate) catalog: Name,
    /// For each key the number of the latest write that readers know to be done; deletions are known by their effect.
    latest: [usize; KEYS],
    /// The epoch of the records that were dropped, while nothing is served.
    dropped: Option<Epoch>,
    /// A reader was shown a write older than one that it knew to be done.
    pub(crate) went_back: bool,
    /// A reader was shown a record that it knew to be deleted.
    pub(crate) returned: bool,
    /// While it took the origin for dead, it served what it had dropped, or something older.
    pub(crate) rose: bool,
    /// It served again what it had dropped.
    pub(crate) recovered: bool,
    /// While it took the origin for alive, it dropped its records.
    pub(crate) forsook: bool,
}

impl Seen {
    /// Nothing was seen in this catalog.
    pub(crate) fn new(catalog: Name) -> Self {
        Self {
            catalog,
            latest: [0; KEYS],
            dropped: None,
            went_back: false,
            returned: false,
            rose: false,
            recovered: false,
            forsook: false,
        }
    }

    /// Its catalog becomes another one.
    pub(crate) fn become_of(
        &self,
        step: Move,
        catalog: Name,
        names: &Names,
        history: &History,
    ) -> Self {
        let mut next = Self { catalog, ..self.clone() };
        let epoch = |catalog: &Catalog| served(catalog).map(Replica::epoch);
        let before = epoch(names.catalogs.get(self.catalog));
        let after = epoch(names.catalogs.get(catalog));
        match after {
            Some(epoch) => {
                next.recovered |= self.dropped == Some(epoch);
                next.rose |= !step.lives() && self.dropped.is_some_and(|dropped| epoch <= dropped);
                next.dropped = None;
            }
            None => {
                next.dropped = before.max(self.dropped);
                next.forsook |= step.lives() && before.is_some();
            }
        }
        next.show(names, history);
        next
    }

    /// Shows its readers what it serves now.
    fn show(&mut self, names: &Names, history: &History) {
        let Some(replica) = names.served(self.catalog) else { return };
        let writes = &history.writes;
        for n in 0..KEYS {
            let before = self.latest[n];
            let now = match live(Some(replica), n) {
                Some(number) => {
                    self.returned |= before > number && !writes[before - 1].1;
                    number
                }
                None => {
                    // A record that was there is deleted: by the first deletion after it at least.
                    let deletes = |index: &usize| writes[*index] == (n, false);
                    let was_live = before > 0 && writes[before - 1].1;
                    let after = (before..writes.len()).find(deletes).filter(|_| was_live);
                    // A collected key is known to be deleted, even by a replica that never saw its tombstone.
                    let collected = history.latest(replica, replica.gc_floor(), n);
                    let collected =
                        collected.filter(|(_, put)| !put).map_or(0, |(number, _)| number);
                    after.map_or(before, |index| index + 1).max(collected)
                }
            };
            self.went_back |= now < before;
            self.latest[n] = before.max(now);
        }
    }
}
