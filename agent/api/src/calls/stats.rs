//! What calls came to so far, and the standing of each instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::types::Instance;

/// The calls of a service by this process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallStats {
    /// The calls.
    pub calls: u64,
    /// The calls that ended with an error, or with an answer that is a failure.
    pub failed: u64,
    /// The further tries of calls that had failed.
    pub retries: u64,
    /// The second tries of calls that took long.
    pub hedges: u64,
    /// The calls that were not tried again because the budget was spent.
    pub budget_spent: u64,
    /// The outcomes of tries that the agent was not told: it was away, or of an earlier version, or there were too many
    /// instances.
    pub untold: u64,
    /// The connections to instances that are open now, for calls over HTTP.
    pub connections: u64,
}

/// A number that comes and goes.
#[derive(Debug, Default)]
pub(super) struct Level(AtomicU64);

/// Counts in a level until it is dropped.
pub(super) struct Entered(Arc<Level>);

impl Level {
    pub(super) fn enter(self: &Arc<Self>) -> Entered {
        self.0.fetch_add(1, Relaxed);
        Entered(self.clone())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) calls: Counter,
    pub(super) failed: Counter,
    pub(super) retries: Counter,
    pub(super) hedges: Counter,
    pub(super) budget_spent: Counter,
    pub(super) connections: Arc<Level>,
    pub(super) untold: Counter,
}

impl Counters {
    pub(super) fn stats(&self) -> CallStats {
        CallStats {
            calls: self.calls.get(),
            failed: self.failed.get(),
            retries: self.retries.get(),
            hedges: self.hedges.get(),
            budget_spent: self.budget_spent.get(),
            connections: self.connections.0.load(Relaxed),
            untold: self.untold.get(),
        }
    }
}

/// The state of an instance's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused; the first one after this time is a trial.
    Open {
        /// The time until the trial.
        trial_in: Duration,
    },
    /// A trial is under way and decides. Without an outcome in this time, the next call is the trial.
    HalfOpen {
        /// The time until the trial counts as lost.
        lost_in: Duration,
    },
}

impl CircuitState {
    /// The word for it: `closed`, `open` or `half-open`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
        }
    }
}

/// What this process has learnt of an instance from its calls.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its circuit.
    pub circuit: CircuitState,
    /// The time for which it is ejected as an outlier; `None` while it is not.
    pub ejected_for: Option<Duration>,
    /// The calls in flight.
    pub in_flight: u32,
    /// The tries so far.
    pub tries: u64,
    /// The tries that failed.
    pub failures: u64,
    /// The average time to the head of an answer; `None` before the first.
    pub latency: Option<Duration>,
}
