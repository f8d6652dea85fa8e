//! Probes under way, and how long probes took.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::{Distribution, Histogram};

/// Bounds for probes, in microseconds, up to the longest timeout.
const BOUNDS_US: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// How long the probes of this process took.
static DURATIONS: LazyLock<Histogram> = LazyLock::new(|| Histogram::new(BOUNDS_US));

/// When each probe under way should have ended, by its number. There are no more than permits.
static UNDER_WAY: Mutex<BTreeSet<(Instant, u64)>> = Mutex::new(BTreeSet::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A probe under way. Dropping it ends it.
#[derive(Debug)]
pub(super) struct UnderWay {
    began: Instant,
    place: (Instant, u64),
}

impl UnderWay {
    /// A probe begins, which ends by itself after `timeout`.
    pub(super) fn begin(timeout: Duration) -> Self {
        let began = Instant::now();
        let place = (began + timeout, NEXT.fetch_add(1, Ordering::Relaxed));
        under_way().insert(place);
        Self { began, place }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        under_way().remove(&self.place);
        DURATIONS.observe(self.began.elapsed());
    }
}

/// Each change of the map is one step, so a panic leaves it whole.
fn under_way() -> MutexGuard<'static, BTreeSet<(Instant, u64)>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For how long the most overdue probe should have ended. A probe ends by itself at its timeout, so one that goes on is stuck.
pub(crate) fn oldest_late_probe(now: Instant) -> Option<Duration> {
    let (ends, _) = under_way().first().copied()?;
    now.checked_duration_since(ends).filter(|late| !late.is_zero())
}

/// How long the probes of this process took since its start.
pub(crate) fn probe_durations() -> Distribution {
    DURATIONS.distribution()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_outlives_its_timeout_is_late_until_it_ends() {
        // Other tests of this process probe, too, and for no longer than a minute.
        let hour = Duration::from_secs(3_600);
        let probe = UnderWay::begin(Duration::from_millis(5));
        let later = Instant::now() + hour;
        assert!(oldest_late_probe(later).is_some_and(|late| late + Duration::from_secs(60) > hour));
        let before = probe_durations().count;
        let place = probe.place;
        drop(probe);
        assert!(!under_way().contains(&place));
        assert!(probe_durations().count > before);
    }
}
