//! State that a balancer and its pickers share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arc_swap::ArcSwap;

use crate::{
    config::Config, feedback::ServiceState, snapshot::Snapshot, strategies::Turns, tables::mix,
};

/// State that a balancer publishes and its pickers read.
pub(crate) struct Published<T> {
    pub(crate) service: Arc<ServiceState>,
    pub(crate) turns: Turns,
    snapshot: ArcSwap<Snapshot<T>>,
    pickers: AtomicU64,
}

impl<T> Published<T> {
    pub(crate) fn new(config: Config) -> Self {
        let turns = Turns::beginning_at(mix(config.seed), mix(!config.seed));
        Self {
            service: Arc::new(ServiceState::new(config)),
            turns,
            snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            pickers: AtomicU64::default(),
        }
    }

    /// The latest snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot<T>> {
        self.snapshot.load_full()
    }

    /// Replaces the snapshot. Every picker reads it with its next pick.
    pub(crate) fn publish(&self, snapshot: Snapshot<T>) {
        self.snapshot.store(Arc::new(snapshot));
        self.service.announce();
    }

    /// A number that no picker before had.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.pickers.fetch_add(1, Relaxed)
    }
}
