//! The counters of the unix socket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Connections and calls since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> [(&'static str, u64); 4] {
        [
            ("api_connections_accepted", self.accepted.load(Ordering::Relaxed)),
            ("api_connections_refused", self.refused.load(Ordering::Relaxed)),
            ("api_calls", self.calls.load(Ordering::Relaxed)),
            ("api_malformed", self.malformed.load(Ordering::Relaxed)),
        ]
    }
}
