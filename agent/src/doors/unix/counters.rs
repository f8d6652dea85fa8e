//! The counters of the unix socket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Connections and calls since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    idle: AtomicU64,
    calls: AtomicU64,
    malformed: AtomicU64,
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

    pub(super) fn snapshot(&self) -> [(&'static str, u64); 5] {
        [
            ("api_connections_accepted", self.accepted.load(Ordering::Relaxed)),
            ("api_connections_refused", self.refused.load(Ordering::Relaxed)),
            ("api_connections_idle", self.idle.load(Ordering::Relaxed)),
            ("api_calls", self.calls.load(Ordering::Relaxed)),
            ("api_malformed", self.malformed.load(Ordering::Relaxed)),
        ]
    }
}
