//! The durations of calls, picks, acknowledgements, and strong reads and writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hobnob_api::Request;

use super::histogram::{Distribution, Histogram};

/// Bounds for calls, in microseconds: from memory to a disk, and to a wait for others.
const CALL_BOUNDS_US: &[u64] = &[
    10, 25, 50, 100, 250, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000,
];
/// Bounds for picks.
const PICK_BOUNDS_US: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 1_000, 10_000, 100_000];
/// Bounds for acknowledgements, and for strong reads and writes.
const ACK_BOUNDS_US: &[u64] = &[
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// How long calls took, since the start.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    /// One for each name of a request, in the order of [`Request::NAMES`].
    calls: Box<[Histogram]>,
    picks: Histogram,
    /// The instances that were picked in those calls.
    picked: AtomicU64,
    acks: Histogram,
    strong_reads: Histogram,
    strong_writes: Histogram,
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            calls: Request::NAMES.iter().map(|_| Histogram::new(CALL_BOUNDS_US)).collect(),
            picks: Histogram::new(PICK_BOUNDS_US),
            picked: AtomicU64::new(0),
            acks: Histogram::new(ACK_BOUNDS_US),
            strong_reads: Histogram::new(ACK_BOUNDS_US),
            strong_writes: Histogram::new(ACK_BOUNDS_US),
        }
    }
}

impl CallMetrics {
    /// Counts a call of this name that took so long.
    pub(crate) fn count_call(&self, name: &str, took: Duration) {
        let place = Request::NAMES.iter().position(|known| *known == name);
        if let Some(histogram) = place.and_then(|place| self.calls.get(place)) {
            histogram.observe(took);
        }
    }

    /// Counts the picks of a call, which took so long.
    pub(crate) fn count_pick(&self, picked: usize, took: Duration) {
        self.picks.observe(took);
        self.picked.fetch_add(picked as u64, Ordering::Relaxed);
    }

    /// The instances that were picked.
    pub(crate) fn picked(&self) -> u64 {
        self.picked.load(Ordering::Relaxed)
    }

    /// Counts a wait for acknowledgements.
    pub(crate) fn count_ack(&self, took: Duration) {
        self.acks.observe(took);
    }

    /// Counts a strong read, whatever came of it.
    pub(crate) fn count_strong_read(&self, took: Duration) {
        self.strong_reads.observe(took);
    }

    /// Counts the wait of a strong write for the voters.
    pub(crate) fn count_strong_write(&self, took: Duration) {
        self.strong_writes.observe(took);
    }

    /// The calls that were made at least once, by name.
    pub(crate) fn calls(&self) -> Vec<(&'static str, Distribution)> {
        let all = Request::NAMES.iter().zip(&self.calls);
        all.map(|(name, calls)| (*name, calls.distribution()))
            .filter(|(_, calls)| calls.count > 0)
            .collect()
    }

    pub(crate) fn picks(&self) -> Distribution {
        self.picks.distribution()
    }

    pub(crate) fn acks(&self) -> Distribution {
        self.acks.distribution()
    }

    pub(crate) fn strong_reads(&self) -> Distribution {
        self.strong_reads.distribution()
    }

    pub(crate) fn strong_writes(&self) -> Distribution {
        self.strong_writes.distribution()
    }
}
