//! The counters of a unix socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::door::Door;

/// Connections and calls since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Those that go on now.
    pub(super) watches: AtomicU64,
    idle: AtomicU64,
    calls: AtomicU64,
    malformed: AtomicU64,
    changes_refused: AtomicU64,
}

impl Counters {
    pub(super) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that ended because it was idle.
    pub(super) fn count_idle(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a change that a query socket refused.
    pub(super) fn count_change_refused(&self) {
        self.changes_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn changes_refused(&self) -> u64 {
        self.changes_refused.load(Ordering::Relaxed)
    }

    /// The counters that every socket has.
    pub(super) fn snapshot(&self) -> [(&'static str, u64); 5] {
        [
            ("connections_accepted", self.accepted.load(Ordering::Relaxed)),
            ("connections_refused", self.refused.load(Ordering::Relaxed)),
            ("connections_idle", self.idle.load(Ordering::Relaxed)),
            ("calls", self.calls.load(Ordering::Relaxed)),
            ("malformed", self.malformed.load(Ordering::Relaxed)),
        ]
    }
}

/// A watch that goes on, counted until it is dropped.
pub(super) struct Watching(Arc<Door>);

impl Watching {
    pub(super) fn begin(door: Arc<Door>) -> Self {
        door.counters.watches.fetch_add(1, Ordering::Relaxed);
        Self(door)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.counters.watches.fetch_sub(1, Ordering::Relaxed);
    }
}
