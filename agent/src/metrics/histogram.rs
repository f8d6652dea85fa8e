//! A histogram of durations that any thread adds to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hobnob_membership::Durations;

/// How many durations fell below each of some bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The upper bounds in microseconds, in order.
    bounds_us: &'static [u64],
    /// One for each bound, and one for what is longer than all of them.
    counts: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) sum_s: f64,
    pub(crate) count: u64,
    /// The upper bound of each bucket in seconds, and how many durations are in it and in no earlier one.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(crate) fn new(bounds_us: &'static [u64]) -> Self {
        let counts = (0..=bounds_us.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_us, counts, sum_ns: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds_us.partition_point(|bound| bound.saturating_mul(1_000) < nanos);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The counts now. Durations that are added meanwhile may be in the sum and in no bucket yet.
    pub(crate) fn distribution(&self) -> Distribution {
        let bounds = self.bounds_us.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Distribution {
            sum_s: self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

impl From<Durations> for Distribution {
    fn from(durations: Durations) -> Self {
        let bound =
            |bound: Option<Duration>| bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
        let buckets: Vec<_> =
            durations.buckets().map(|(upper, count)| (bound(upper), count)).collect();
        Self {
            sum_s: durations.sum().as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 1_000]);
        for micros in [0, 10, 11, 1_000, 1_001, 5_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let Distribution { sum_s, count, buckets } = histogram.distribution();
        assert_eq!(buckets, [(1e-5, 2), (1e-3, 2), (f64::INFINITY, 2)]);
        assert_eq!(count, 6);
        assert!((sum_s - 5.002_022).abs() < 1e-9, "{sum_s}");
    }
}
