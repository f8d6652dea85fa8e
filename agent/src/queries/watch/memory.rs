//! What a watch has told.

use std::collections::{BTreeMap, BTreeSet};

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

    /// The instances that are news, in their order: those that look different from when they were told last. One that comes
    /// after its own end is news, as it is when it moves to another service and back.
    pub(super) fn news(&self, shown: Vec<Shown>) -> Vec<Shown> {
        let mut ended = BTreeSet::new();
        let is_news = |shown: &Shown| -> bool {
            let key = self.key(shown.entry());
            if shown.entry().status == InstanceStatus::Gone {
                ended.insert(key);
                return true;
            }
            ended.contains(&key) || self.looks.get(&key) != Some(&shown.looks())
        };
        shown.into_iter().filter(is_news).collect()
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
