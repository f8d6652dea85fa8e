//! Outcomes of calls that clients picked for by themselves, told in sums.
//!
//! Several clients share one balancer's view of a target, and one of them may be broken itself. So failures that are told in
//! sums count slowly: in each [`WINDOW_US`] no more than half of the failures that open a circuit or eject a target, over all
//! clients. Clients tell several times in a window, and any success ends the row of failures. A circuit thus opens only
//! when no client has had a success for a while.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::config::Config;

/// The time in which told failures count for at most half of a threshold. Clients tell about once a second.
const WINDOW_US: u64 = 2_000_000;

/// A circuit that told failures opened closes when no failure is told for this long: those who told may be gone, and nobody
/// else may ever tell that the target is well.
const FORGOTTEN_US: u64 = 60_000_000;

/// The threshold where neither a breaker nor ejection is set.
const THRESHOLD: u32 = 5;

/// The calls of one client to one target in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The calls that the target answered.
    pub successes: u32,
    /// The calls that failed.
    pub failures: u32,
    /// The average latency of the successes, if it is known.
    pub latency: Option<Duration>,
}

/// What was told of one target.
#[derive(Debug, Default)]
pub(super) struct Observations {
    successes: AtomicU64,
    failures: AtomicU64,
    /// When the window began, in microseconds; 0 before the first.
    window_us: AtomicU64,
    /// The failures that counted in the window.
    counted: AtomicU64,
    /// When a failure was last told since told failures opened the circuit; 0 while it is closed, or opened by picks.
    open_us: AtomicU64,
}

impl Observations {
    /// Adds to the sums. Returns how many of the failures count.
    pub(super) fn take(&self, observed: &Observed, config: &Config, now_us: u64) -> u32 {
        self.successes.fetch_add(u64::from(observed.successes), Relaxed);
        if observed.failures == 0 {
            return 0;
        }
        self.failures.fetch_add(u64::from(observed.failures), Relaxed);
        if self.open_us.load(Relaxed) > 0 {
            self.open_us.store(now_us.max(1), Relaxed);
        }
        let began_us = self.window_us.load(Relaxed);
        if began_us == 0 || now_us >= began_us.saturating_add(WINDOW_US) {
            self.window_us.store(now_us.max(1), Relaxed);
            self.counted.store(0, Relaxed);
        }
        let most = u64::from(threshold(config).div_ceil(2));
        let left = most.saturating_sub(self.counted.load(Relaxed));
        let counts = left.min(u64::from(observed.failures));
        self.counted.fetch_add(counts, Relaxed);
        counts as u32
    }

    /// Told failures opened the circuit.
    pub(super) fn opened(&self, now_us: u64) {
        self.open_us.store(now_us.max(1), Relaxed);
    }

    /// The circuit closed, or a pick that failed holds it open.
    pub(super) fn settled(&self) {
        self.open_us.store(0, Relaxed);
    }

    /// Whether told failures opened the circuit, and the last one was long ago.
    pub(super) fn is_forgotten(&self, now_us: u64) -> bool {
        let open_us = self.open_us.load(Relaxed);
        open_us > 0 && now_us >= open_us.saturating_add(FORGOTTEN_US)
    }

    /// The successes and the failures so far.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.successes.load(Relaxed), self.failures.load(Relaxed))
    }
}

/// The failures in a row that have an effect.
fn threshold(config: &Config) -> u32 {
    let breaker = config.breaker.as_ref().map(|breaker| breaker.failure_threshold);
    let outlier = config.outlier.as_ref().map(|outlier| outlier.consecutive_failures);
    breaker.into_iter().chain(outlier).min().unwrap_or(THRESHOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BreakerConfig, OutlierConfig};

    fn failures(failures: u32) -> Observed {
        Observed { failures, ..Observed::default() }
    }

    #[test]
    fn in_a_window_half_a_threshold_counts_whoever_tells_it() {
        let breaker = BreakerConfig { failure_threshold: 5, ..Default::default() };
        let outlier = OutlierConfig { consecutive_failures: 2, ..Default::default() };
        let neither = Config::default();
        let five = Config { breaker: Some(breaker), ..Config::default() };
        let two = Config { outlier: Some(outlier), ..five.clone() };
        for (config, most) in [(neither, 3), (five, 3), (two, 1)] {
            let observations = Observations::default();
            let mut now_us = 1;
            for _ in 0..3 {
                let counted: u32 =
                    (0..4).map(|_| observations.take(&failures(2), &config, now_us)).sum();
                assert_eq!(counted, most, "at {now_us}");
                assert_eq!(observations.take(&failures(9), &config, now_us + WINDOW_US - 2), 0);
                now_us += WINDOW_US;
            }
            assert_eq!(observations.sums(), (0, 3 * 17));
        }
    }

    #[test]
    fn a_circuit_is_forgotten_after_the_last_failure_that_was_told() {
        let (observations, config) = (Observations::default(), Config::default());
        assert!(!observations.is_forgotten(u64::MAX), "it is closed");
        observations.opened(0);
        assert!(!observations.is_forgotten(FORGOTTEN_US));
        observations.take(&failures(1), &config, FORGOTTEN_US);
        assert!(!observations.is_forgotten(2 * FORGOTTEN_US - 1));
        assert!(observations.is_forgotten(2 * FORGOTTEN_US));
        observations.settled();
        assert!(!observations.is_forgotten(u64::MAX));
    }
}
