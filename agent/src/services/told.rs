//! Counters of what clients tell of calls for which they picked themselves.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hobnob_api::InstanceCalls;

/// The outcomes that were told so far.
#[derive(Debug, Default)]
pub(crate) struct ToldCounters {
    all: AtomicU64,
    failures: AtomicU64,
    doubted: AtomicU64,
    unknown: AtomicU64,
}

/// What becomes of outcomes that are told of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of them count.
    Whole,
    /// The successes count. Nothing shows that the failures are not the client's own.
    Successes,
    /// The instance is not offered here, and nothing counts.
    Nothing,
}

impl ToldCounters {
    /// Counts outcomes of one instance.
    pub(crate) fn count(&self, calls: &InstanceCalls, taken: Taken) {
        let (successes, failures) = (u64::from(calls.successes), u64::from(calls.failures));
        self.all.fetch_add(successes + failures, Relaxed);
        self.failures.fetch_add(failures, Relaxed);
        match taken {
            Taken::Whole => {}
            Taken::Successes => drop(self.doubted.fetch_add(failures, Relaxed)),
            Taken::Nothing => drop(self.unknown.fetch_add(successes + failures, Relaxed)),
        }
    }

    /// All outcomes; of them the failures, the failures that were doubted, and the outcomes of instances that are not offered.
    pub(crate) fn read(&self) -> [u64; 4] {
        [&self.all, &self.failures, &self.doubted, &self.unknown].map(|count| count.load(Relaxed))
    }
}
