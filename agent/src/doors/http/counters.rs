//! The counters of the HTTP door.

use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::Limit;

/// Connections and requests since the start.
#[derive(Debug, Default)]
pub(crate) struct HttpCounters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) accepts_failed: AtomicU64,
    pub(super) idle: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) hosts_refused: AtomicU64,
    pub(super) origins_refused: AtomicU64,
    pub(super) keys_refused: AtomicU64,
    in_flight_refused: AtomicU64,
    waits_refused: AtomicU64,
    pub(super) waits_cut: AtomicU64,
    watches_refused: AtomicU64,
    /// Those that are open now.
    pub(super) connections: AtomicU64,
    waiting: AtomicU64,
    watches: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl HttpCounters {
    /// The number of places that are taken now, where it is shown.
    pub(super) fn level(&self, limit: Limit) -> Option<&AtomicU64> {
        match limit {
            Limit::InFlight => None,
            Limit::Waiting => Some(&self.waiting),
            Limit::Streams => Some(&self.watches),
        }
    }

    pub(super) fn refusals(&self, limit: Limit) -> &AtomicU64 {
        match limit {
            Limit::InFlight => &self.in_flight_refused,
            Limit::Waiting => &self.waits_refused,
            Limit::Streams => &self.watches_refused,
        }
    }

    /// The counters and levels, by their names in `info`.
    pub(crate) fn report(&self) -> [(String, u64); 16] {
        [
            ("connections_accepted", &self.accepted),
            ("connections_refused", &self.refused),
            ("connections_failed", &self.failed),
            ("connections_idle", &self.idle),
            ("accepts_failed", &self.accepts_failed),
            ("requests", &self.requests),
            ("requests_refused", &self.in_flight_refused),
            ("hosts_refused", &self.hosts_refused),
            ("origins_refused", &self.origins_refused),
            ("keys_refused", &self.keys_refused),
            ("waits_refused", &self.waits_refused),
            ("waits_cut", &self.waits_cut),
            ("watches_refused", &self.watches_refused),
            ("connections", &self.connections),
            ("waiting", &self.waiting),
            ("watches", &self.watches),
        ]
        .map(|(name, counter)| (format!("http_{name}"), counter.load(Ordering::Relaxed)))
    }
}
