//! What a watch has told.

use std::collections::BTreeMap;

use hobnob_membership::view::InstanceStatus;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::services::{Entry, Shown};

/// The looks of each instance when it was told last, as hashes that all watchers share. A change of something that no
/// answer shows is no news.
pub(super) struct Memory {
    looks: BTreeMap<u64, u64>,
    /// Nobody can make up two instances with one hash.
    seed: u64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { looks: BTreeMap::new(), seed: rand::random() }
    }

    pub(super) fn len(&self) -> usize {
        self.looks.len()
    }

    pub(super) fn clear(&mut self) {
        self.looks.clear();
    }

    /// Whether an instance was told, and has not gone since.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        self.looks.contains_key(&self.key(entry))
    }

    fn key(&self, entry: &Entry) -> u64 {
        xxh3_64_with_seed(entry.id.as_bytes(), self.seed ^ entry.origin.0)
    }

    /// Whether an instance looks different from when it was told last, or is not known to have been told.
    pub(super) fn may_be_news(&self, shown: &Shown) -> bool {
        let entry = shown.entry();
        let is_gone = entry.status == InstanceStatus::Gone;
        is_gone || self.looks.get(&self.key(entry)) != Some(&shown.looks())
    }

    pub(super) fn remember(&mut self, shown: &Shown) {
        let entry = shown.entry();
        let key = self.key(entry);
        if entry.status == InstanceStatus::Gone {
            self.looks.remove(&key);
        } else {
            self.looks.insert(key, shown.looks());
        }
    }
}
