//! The simulated data directory of a host, and its faults.

use std::collections::BTreeMap;

use hobnob_membership::record::{Key, Value};

use super::sealed::Keys;

/// The number of writes that a rollback can undo.
const MAX_HISTORY: usize = 4_096;

/// Why a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// The disk is full.
    Full,
    /// The machine stopped in mid-write. The half-written data is dropped at the next start.
    Torn,
}

/// The previous content of what a write changed.
#[derive(Clone, Debug)]
enum Before {
    Epoch(u64),
    Records(Vec<(Key, Option<Value>)>),
}

/// The data that survives a crash: the epoch, the registered records, and the addresses of recent peers.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    epoch: u64,
    records: BTreeMap<Key, Value>,
    pub(super) peers: Vec<u32>,
    /// Peers in other datacenters.
    pub(super) far_peers: Vec<u32>,
    pub(super) keys: Keys,
    history: Vec<Before>,
    full: bool,
    tears_next: bool,
}

impl Disk {
    /// The epoch stored last.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The stored records.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.records.iter()
    }

    /// Whether the disk refuses all writes.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Makes the disk refuse all writes, or accept them again.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Makes the next write of records stop the machine half-way.
    pub fn tear_next(&mut self) {
        self.tears_next = true;
    }

    /// Stores an epoch. A full disk keeps the old one.
    pub(super) fn store_epoch(&mut self, epoch: u64) {
        if !self.full && epoch > self.epoch {
            self.remember(Before::Epoch(self.epoch));
            self.epoch = epoch;
        }
    }

    /// Stores all of these records, or none.
    pub(super) fn store(&mut self, records: &[(Key, Option<Value>)]) -> Result<(), DiskError> {
        if std::mem::take(&mut self.tears_next) {
            return Err(DiskError::Torn);
        }
        if self.full {
            return Err(DiskError::Full);
        }
        let mut before = Vec::new();
        for (key, value) in records {
            let old = match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
            before.push((key.clone(), old));
        }
        self.remember(Before::Records(before));
        Ok(())
    }

    /// Loses everything.
    pub(super) fn lose(&mut self) {
        *self = Self { full: self.full, ..Self::default() };
    }

    /// Undoes the last `steps` writes, like a machine that is restored from an old image.
    pub(super) fn roll_back(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.history.pop() {
                Some(Before::Epoch(epoch)) => self.epoch = epoch,
                Some(Before::Records(before)) => {
                    for (key, value) in before.into_iter().rev() {
                        match value {
                            Some(value) => self.records.insert(key, value),
                            None => self.records.remove(&key),
                        };
                    }
                }
                None => break,
            }
        }
    }

    fn remember(&mut self, step: Before) {
        if self.history.len() >= MAX_HISTORY {
            self.history.drain(..MAX_HISTORY / 2);
        }
        self.history.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hobnob_membership::record::Health;

    fn record(id: &str, health: Health) -> Vec<(Key, Option<Value>)> {
        vec![(Key::Health(id.into()), Some(Value::Health(health)))]
    }

    #[test]
    fn rolling_back_undoes_the_last_steps_and_no_others() {
        let mut disk = Disk::default();
        disk.store(&record("a", Health::Passing)).expect("room");
        disk.store_epoch(5);
        disk.store(&record("a", Health::Failing)).expect("room");
        disk.store(&[(Key::Health("a".into()), None)]).expect("room");
        disk.roll_back(2);
        let health = Value::Health(Health::Passing);
        assert_eq!(disk.records().collect::<Vec<_>>(), [(&Key::Health("a".into()), &health)]);
        assert_eq!(disk.epoch(), 5);
        disk.roll_back(10);
        assert_eq!((disk.epoch(), disk.records().count()), (0, 0));
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let mut disk = Disk::default();
        disk.set_full(true);
        disk.store_epoch(5);
        assert_eq!(disk.store(&record("a", Health::Passing)), Err(DiskError::Full));
        disk.set_full(false);
        disk.tear_next();
        assert_eq!(disk.store(&record("a", Health::Passing)), Err(DiskError::Torn));
        assert_eq!((disk.epoch(), disk.records().count()), (0, 0));
        assert_eq!(disk.store(&record("a", Health::Passing)), Ok(()));
    }
}
