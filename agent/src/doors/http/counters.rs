//! The counters of the HTTP door.

use std::sync::atomic::{AtomicU64, Ordering};

/// Connections and requests since the start.
#[derive(Debug, Default)]
pub(crate) struct HttpCounters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) hosts_refused: AtomicU64,
    /// Those that are open now.
    pub(super) connections: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl HttpCounters {
    /// The counters and levels, by their names in `info`.
    pub(crate) fn report(&self) -> [(String, u64); 6] {
        [
            ("connections_accepted", &self.accepted),
            ("connections_refused", &self.refused),
            ("connections_failed", &self.failed),
            ("requests", &self.requests),
            ("hosts_refused", &self.hosts_refused),
            ("connections", &self.connections),
        ]
        .map(|(name, counter)| (format!("http_{name}"), counter.load(Ordering::Relaxed)))
    }
}
