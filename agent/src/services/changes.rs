//! The latest changes of each service. A watcher reads the changes of its service, and wakes only for further ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hobnob_membership::NodeId;
use tokio::sync::watch;

use super::index::ServiceIndexes;
use super::{Entry, ServiceKey};

/// Changes that are kept, over all services. The oldest one gives way.
const MAX_CHANGES: usize = 4_096;

/// The changes of a service since a revision.
pub(crate) enum Since {
    /// These instances, as they are at `revision`; the latest state of each. With `regraded`, another grade of instances
    /// is offered since then, and instances that did not change themselves may look different.
    Changes { revision: u64, instances: Vec<Arc<Entry>>, regraded: bool },
    /// The changes since then are no longer kept.
    Forgotten,
}

/// The changes of all services since a revision.
pub(crate) enum AllSince {
    /// These instances, as they are at `revision`; the latest state of each. Of the `regraded` services, another grade is
    /// offered since then.
    Changes { revision: u64, instances: Vec<Arc<Entry>>, regraded: BTreeSet<ServiceKey> },
    /// The changes since then are no longer kept.
    Forgotten,
}

/// Numbers the changes of all services and keeps the latest [`MAX_CHANGES`] of them. No pick comes here.
pub(super) struct ChangeLog {
    log: Mutex<Log>,
    /// The number of the latest change.
    revision: AtomicU64,
    /// The number of the first change of this run, less one.
    first: u64,
    /// Wakes those who follow all services.
    wake: watch::Sender<()>,
}

struct Log {
    indexes: ServiceIndexes,
    services: BTreeMap<Arc<ServiceKey>, ServiceLog>,
    /// Each kept change with its service, the oldest change first.
    kept: VecDeque<Kept>,
    /// The most changes that are kept.
    limit: usize,
    /// The latest change that was dropped, of any service.
    dropped_to: u64,
}

struct Kept {
    revision: u64,
    key: Arc<ServiceKey>,
    entry: Arc<Entry>,
}

/// Exists while a change of the service is kept, or while somebody is subscribed to it.
struct ServiceLog {
    changes: VecDeque<(u64, Arc<Entry>)>,
    /// The latest change of this service that may have been dropped.
    dropped_to: u64,
    /// The latest change that came with another grade to offer; 0 if it may have been dropped.
    regraded_at: u64,
    /// `None` while nobody is subscribed.
    wake: Option<watch::Sender<()>>,
}

impl ChangeLog {
    pub(super) fn new(first_revision: u64) -> Arc<Self> {
        let log = Log {
            indexes: ServiceIndexes::new(first_revision),
            services: BTreeMap::new(),
            kept: VecDeque::new(),
            limit: MAX_CHANGES,
            dropped_to: first_revision,
        };
        Arc::new(Self {
            log: Mutex::new(log),
            revision: AtomicU64::new(first_revision),
            first: first_revision,
            wake: watch::Sender::new(()),
        })
    }

    /// Whether a revision can be of this run of the agent.
    pub(super) fn is_of_this_run(&self, revision: u64) -> bool {
        (self.first..=self.revision()).contains(&revision)
    }

    /// Numbers a change that is kept elsewhere. Only the writer of the registry numbers changes.
    pub(super) fn number(&self) -> u64 {
        let _log = self.lock();
        self.revision.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Adds changes that readers can already see, each as a revision, and wakes the watchers of their services. Of the
    /// `regraded` ones among these, another grade is offered from now on; those that `ended` have no instance any more.
    pub(super) fn append(
        &self,
        changes: impl Iterator<Item = (ServiceKey, Arc<Entry>)>,
        regraded: &BTreeSet<ServiceKey>,
        ended: &BTreeSet<ServiceKey>,
    ) {
        let mut log = self.lock();
        let mut revision = self.revision();
        let mut woken: Vec<Arc<ServiceKey>> = Vec::new();
        for (key, entry) in changes {
            let key = Arc::new(key);
            revision += 1;
            log.indexes.change(&key, revision, !ended.contains(&*key));
            log.append(key.clone(), revision, entry, regraded.contains(&*key));
            if woken.last() != Some(&key) {
                woken.push(key);
            }
        }
        self.revision.store(revision, Ordering::Release);
        self.wake.send_replace(());
        for key in &woken {
            if let Some(wake) = log.services.get(key).and_then(|service| service.wake.as_ref()) {
                wake.send_replace(());
            }
        }
    }

    /// The index of a service, whether or not it is there.
    pub(super) fn index_of(&self, key: &ServiceKey) -> u64 {
        self.lock().indexes.of(key)
    }

    /// The index of all services together.
    pub(super) fn index_of_services(&self) -> u64 {
        self.lock().indexes.of_all()
    }

    pub(super) fn since(&self, key: &ServiceKey, revision: u64) -> Since {
        let log = self.lock();
        let now = self.revision();
        let service = log.services.get(key);
        if revision < service.map_or(log.dropped_to, |service| service.dropped_to) || revision > now
        {
            return Since::Forgotten;
        }
        let regraded = service.is_some_and(|service| service.regraded_at > revision);
        let mut latest: BTreeMap<(NodeId, &str), (u64, &Arc<Entry>)> = BTreeMap::new();
        if let Some(ServiceLog { changes, .. }) = service {
            let start = changes.partition_point(|(at, _)| *at <= revision);
            for (at, entry) in changes.range(start..) {
                latest.insert((entry.origin, &entry.id), (*at, entry));
            }
        }
        let mut instances: Vec<_> = latest.into_values().collect();
        instances.sort_unstable_by_key(|(at, _)| *at);
        let instances = instances.into_iter().map(|(_, entry)| entry.clone()).collect();
        Since::Changes { revision: now, instances, regraded }
    }

    pub(super) fn all_since(&self, revision: u64) -> AllSince {
        let log = self.lock();
        let now = self.revision();
        if revision < log.dropped_to || revision > now {
            return AllSince::Forgotten;
        }
        let start = log.kept.partition_point(|kept| kept.revision <= revision);
        let mut latest: BTreeMap<(&ServiceKey, NodeId, &str), &Kept> = BTreeMap::new();
        for kept in log.kept.range(start..) {
            latest.insert((&kept.key, kept.entry.origin, &kept.entry.id), kept);
        }
        let mut latest: Vec<&Kept> = latest.into_values().collect();
        latest.sort_unstable_by_key(|kept| kept.revision);
        let was_regraded = |key: &&Arc<ServiceKey>| {
            log.services.get(&***key).is_some_and(|service| service.regraded_at > revision)
        };
        let regraded = latest.iter().map(|kept| &kept.key).filter(was_regraded);
        let regraded = regraded.map(|key| ServiceKey::clone(key)).collect();
        let instances = latest.iter().map(|kept| kept.entry.clone()).collect();
        AllSince::Changes { revision: now, instances, regraded }
    }

    /// Wakes for each change of any service from now on.
    pub(super) fn subscribe_to_all(self: &Arc<Self>) -> Subscription {
        Subscription { changes: self.clone(), key: None, woken: self.wake.subscribe() }
    }

    /// Wakes for each change of a service from now on, whether or not the service exists yet.
    pub(super) fn subscribe(self: &Arc<Self>, key: ServiceKey) -> Subscription {
        let mut log = self.lock();
        let key = Arc::new(key);
        let wake = log.service(key.clone()).wake.get_or_insert_with(|| watch::Sender::new(()));
        let woken = wake.subscribe();
        drop(log);
        Subscription { changes: self.clone(), key: Some(key), woken }
    }

    /// Keeps no more than so many changes from now on.
    #[cfg(test)]
    pub(super) fn keep(&self, limit: usize) {
        self.lock().limit = limit;
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn append(
        &mut self,
        key: Arc<ServiceKey>,
        revision: u64,
        entry: Arc<Entry>,
        is_regraded: bool,
    ) {
        let service = self.service(key.clone());
        service.changes.push_back((revision, entry.clone()));
        if is_regraded {
            service.regraded_at = revision;
        }
        self.kept.push_back(Kept { revision, key, entry });
        if self.kept.len() > self.limit
            && let Some(oldest) = self.kept.pop_front()
        {
            self.drop_oldest_of(&oldest.key);
        }
    }

    fn service(&mut self, key: Arc<ServiceKey>) -> &mut ServiceLog {
        let dropped_to = self.dropped_to;
        let new =
            || ServiceLog { changes: VecDeque::new(), dropped_to, regraded_at: 0, wake: None };
        self.services.entry(key).or_insert_with(new)
    }

    fn drop_oldest_of(&mut self, key: &ServiceKey) {
        let Some(service) = self.services.get_mut(key) else { return };
        if let Some((revision, _)) = service.changes.pop_front() {
            service.dropped_to = revision;
            self.dropped_to = revision;
        }
        self.prune(key);
    }

    fn prune(&mut self, key: &ServiceKey) {
        let of_use = |service: &ServiceLog| !service.changes.is_empty() || service.wake.is_some();
        if self.services.get(key).is_some_and(|service| !of_use(service)) {
            self.services.remove(key);
        }
    }
}

/// Wakes a watcher for the changes of one service, or of all.
pub(crate) struct Subscription {
    changes: Arc<ChangeLog>,
    key: Option<Arc<ServiceKey>>,
    woken: watch::Receiver<()>,
}

impl Subscription {
    /// Takes the changes so far as seen.
    pub(crate) fn mark_seen(&mut self) {
        self.woken.mark_unchanged();
    }

    /// Waits for a change of the service since the last time that it waited or marked.
    pub(crate) async fn changed(&mut self) {
        // The sender stays while somebody is subscribed.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(key) = &self.key else { return };
        let mut log = self.changes.lock();
        // This receiver still counts.
        if let Some(service) = log.services.get_mut(key)
            && service.wake.as_ref().is_some_and(|wake| wake.receiver_count() <= 1)
        {
            service.wake = None;
        }
        log.prune(key);
    }
}
