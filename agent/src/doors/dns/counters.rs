//! The counters of the DNS door.

use std::sync::atomic::{AtomicU64, Ordering};

/// Queries, connections and forwards since the start.
#[derive(Debug, Default)]
pub(crate) struct DnsCounters {
    pub(super) queries: AtomicU64,
    pub(super) negative: AtomicU64,
    pub(super) truncated: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unsupported: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) ignored: AtomicU64,
    pub(super) unsent: AtomicU64,
    pub(super) receive_failed: AtomicU64,
    pub(super) forwarded: AtomicU64,
    pub(super) forwards_failed: AtomicU64,
    pub(super) forwards_dropped: AtomicU64,
    pub(super) forwards_mismatched: AtomicU64,
    pub(super) gathers_dropped: AtomicU64,
    pub(super) accepts_failed: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) connections_displaced: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) connections_failed: AtomicU64,
    /// Those that are open now.
    pub(super) connections: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl DnsCounters {
    /// The counters and levels, by their names in `info`.
    pub(crate) fn report(&self) -> [(String, u64); 20] {
        [
            ("queries", &self.queries),
            ("negative", &self.negative),
            ("truncated", &self.truncated),
            ("refused", &self.refused),
            ("unsupported", &self.unsupported),
            ("malformed", &self.malformed),
            ("ignored", &self.ignored),
            ("unsent", &self.unsent),
            ("receive_failed", &self.receive_failed),
            ("forwarded", &self.forwarded),
            ("forwards_failed", &self.forwards_failed),
            ("forwards_dropped", &self.forwards_dropped),
            ("forwards_mismatched", &self.forwards_mismatched),
            ("gathers_dropped", &self.gathers_dropped),
            ("accepts_failed", &self.accepts_failed),
            ("connections_accepted", &self.accepted),
            ("connections_displaced", &self.connections_displaced),
            ("connections_refused", &self.connections_refused),
            ("connections_failed", &self.connections_failed),
            ("connections", &self.connections),
        ]
        .map(|(name, counter)| (format!("dns_{name}"), counter.load(Ordering::Relaxed)))
    }
}
