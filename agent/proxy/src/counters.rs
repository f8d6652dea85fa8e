//! The counters of a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::refusal::Code;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicU64);

/// Counts in a level until it is dropped.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Level>);

impl Level {
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        self.0.fetch_add(1, Relaxed);
        Entered(self.clone())
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The counters of all routes together.
#[derive(Debug, Default)]
pub(crate) struct ProxyCounters {
    /// Connections that could not be accepted, mostly for want of a descriptor.
    pub(crate) accepts_failed: Counter,
    /// Times at which no connection was accepted because there were as many as there may be.
    pub(crate) accepts_paused: Counter,
}

/// The counters of one route.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    /// Answers of instances, by the first digit of their status: 1 to 5.
    pub(crate) answers: [Counter; 5],
    /// Answers of instances that broke off.
    pub(crate) broken_off: Counter,
    /// Calls whose client was gone before the answer was sent.
    pub(crate) cancelled: Counter,
    /// Requests that the proxy answered itself, by reason.
    pub(crate) refused: [Counter; Code::COUNT],
    pub(crate) accepted: Counter,
    pub(crate) connections: Arc<Level>,
    /// Connections that were closed because their time was over.
    pub(crate) idle_closed: Counter,
    pub(crate) head_closed: Counter,
    pub(crate) stall_closed: Counter,
    pub(crate) tunnels: Arc<Level>,
    pub(crate) tunnels_opened: Counter,
    pub(crate) tunnel_bytes_to_instance: Counter,
    pub(crate) tunnel_bytes_to_client: Counter,
    pub(crate) calls: Arc<Level>,
    pub(crate) durations: Histogram,
}

impl RouteCounters {
    /// Counts an answer of an instance.
    pub(crate) fn answered(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.answers[class - 1].add(1);
    }

    pub(crate) fn refused(&self, code: Code) {
        self.refused[code as usize].add(1);
    }
}

/// The upper bounds of durations, in microseconds.
const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000, 60_000_000,
];

/// How many durations fell below each bound.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bound, and one for what is longer than all of them.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < micros);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(micros, Relaxed);
    }

    /// The sum in seconds, the count, and the count of each bucket by its upper bound in seconds.
    pub(crate) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<_> =
            bounds.zip(self.counts.iter().map(|count| count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum_us.load(Relaxed) as f64 / 1e6, count, buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let (sum_s, count, buckets) = histogram.read();
        assert_eq!((count, buckets[0], buckets[1]), (4, (1e-4, 2), (2.5e-4, 1)));
        assert_eq!(buckets[16], (f64::INFINITY, 1));
        assert!((sum_s - 60.000_202).abs() < 1e-9, "{sum_s}");
    }

    #[test]
    fn a_level_falls_when_the_guard_goes() {
        let level = Arc::new(Level::default());
        let entered = level.enter();
        assert_eq!(level.get(), 1);
        drop(entered);
        assert_eq!(level.get(), 0);
    }
}
