//! The latest changes of all services, so that a watcher can go on where it stopped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hobnob_membership::NodeId;
use hobnob_membership::view::Instance;
use tokio::sync::watch;

use super::ServiceKey;

/// Changes that are kept. A watcher that falls further behind starts over with the instances as they are.
const MAX_CHANGES: usize = 4_096;

/// What changed since a revision.
pub(crate) enum Since {
    /// These instances, as they are at `revision`; the latest state of each.
    Changes { revision: u64, instances: Vec<Arc<Instance>> },
    /// More than is still known.
    Forgotten,
}

/// Every change with its revision, the latest [`MAX_CHANGES`] of them.
pub(super) struct ChangeLog {
    log: Mutex<Log>,
    revisions: watch::Sender<u64>,
}

struct Log {
    /// The revision before the oldest change that is kept.
    forgotten_to: u64,
    revision: u64,
    changes: VecDeque<(u64, ServiceKey, Arc<Instance>)>,
}

impl ChangeLog {
    pub(super) fn new(first_revision: u64) -> Self {
        let log = Log {
            forgotten_to: first_revision,
            revision: first_revision,
            changes: VecDeque::new(),
        };
        Self { log: Mutex::new(log), revisions: watch::Sender::new(first_revision) }
    }

    pub(super) fn revision(&self) -> u64 {
        *self.revisions.borrow()
    }

    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.subscribe()
    }

    /// Adds changes that readers can already see, each as a revision.
    pub(super) fn append(&self, changes: impl Iterator<Item = (ServiceKey, Arc<Instance>)>) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, instance) in changes {
            log.revision += 1;
            let revision = log.revision;
            log.changes.push_back((revision, key, instance));
            if log.changes.len() > MAX_CHANGES
                && let Some((revision, ..)) = log.changes.pop_front()
            {
                log.forgotten_to = revision;
            }
        }
        let revision = log.revision;
        drop(log);
        self.revisions.send_replace(revision);
    }

    pub(super) fn since(&self, key: &ServiceKey, revision: u64) -> Since {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if revision < log.forgotten_to || revision > log.revision {
            return Since::Forgotten;
        }
        let start = log.changes.partition_point(|(at, ..)| *at <= revision);
        let mut latest: BTreeMap<(NodeId, &str), (u64, &Arc<Instance>)> = BTreeMap::new();
        for (at, changed, instance) in log.changes.range(start..) {
            if changed == key {
                latest.insert((instance.origin, &instance.id), (*at, instance));
            }
        }
        let mut instances: Vec<_> = latest.into_values().collect();
        instances.sort_unstable_by_key(|(at, _)| *at);
        let instances = instances.into_iter().map(|(_, instance)| instance.clone()).collect();
        Since::Changes { revision: log.revision, instances }
    }
}
