//! The ejections of one target.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::service_state::micros;
use crate::config::OutlierConfig;

/// The limit to which ejections grow, unless the first one is longer: Envoy's `max_ejection_time`.
const MAX_EJECTION_TIME: Duration = Duration::from_secs(300);

/// The memory that outlier detection has of a target.
#[derive(Debug, Default)]
pub(crate) struct OutlierRecord {
    ejected_until_us: AtomicU64,
    ejections: AtomicU32,
    /// The counters at the end of the last interval.
    completed: AtomicU64,
    failures: AtomicU64,
}

impl OutlierRecord {
    #[inline]
    pub(crate) fn is_ejected(&self, now_us: u64) -> bool {
        self.ejected_until_us.load(Relaxed) > now_us
    }

    /// When the latest ejection ends or ended; 0 without one.
    pub(crate) fn ejected_until_us(&self) -> u64 {
        self.ejected_until_us.load(Relaxed)
    }

    /// Marks the target as ejected. Returns whether this call did it.
    pub(crate) fn eject(&self, config: &OutlierConfig, now_us: u64) -> bool {
        let ejections = self.ejections.load(Relaxed).saturating_add(1);
        let limit = config.base_ejection_time.max(MAX_EJECTION_TIME);
        let time = config.base_ejection_time.saturating_mul(ejections).min(limit);
        let until_us = now_us.saturating_add(micros(time));
        let start = |before| (before <= now_us).then_some(until_us);
        let ejected = self.ejected_until_us.fetch_update(Relaxed, Relaxed, start).is_ok();
        if ejected {
            self.ejections.store(ejections, Relaxed);
        }
        ejected
    }

    /// Starts the next interval with the counters as they stand. Returns what the last interval added to them, as
    /// `(completed, failures)`. One ejection is forgotten for an interval at whose end the target is not ejected.
    pub(crate) fn turn_over(&self, completed: u64, failures: u64, now_us: u64) -> (u64, u64) {
        if !self.is_ejected(now_us) {
            let forget = |ejections: u32| ejections.checked_sub(1);
            let _none_left = self.ejections.fetch_update(Relaxed, Relaxed, forget);
        }
        let completed_before = self.completed.swap(completed, Relaxed);
        let failures_before = self.failures.swap(failures, Relaxed);
        (completed.saturating_sub(completed_before), failures.saturating_sub(failures_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// The time of an ejection that starts at `now_us`.
    fn eject(record: &OutlierRecord, now_us: u64) -> u64 {
        assert!(record.eject(&OutlierConfig::default(), now_us));
        record.ejected_until_us.load(Relaxed) - now_us
    }

    #[test]
    fn an_ejection_ends_by_itself() {
        let record = OutlierRecord::default();
        assert_eq!(eject(&record, SECOND), 30 * SECOND);
        assert!(!record.eject(&OutlierConfig::default(), 2 * SECOND), "it is ejected already");
        assert!(record.is_ejected(31 * SECOND - 1));
        assert!(!record.is_ejected(31 * SECOND));
    }

    #[test]
    fn ejections_grow_to_a_limit_and_are_forgotten() {
        let record = OutlierRecord::default();
        let times: Vec<u64> =
            (0..12).map(|i| eject(&record, i * 1_000 * SECOND) / SECOND).collect();
        assert_eq!(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
        for interval in 0..11 {
            record.turn_over(0, 0, (20_000 + interval) * SECOND);
        }
        assert_eq!(eject(&record, 30_000 * SECOND), 60 * SECOND, "one of twelve is left");
    }

    #[test]
    fn an_interval_counts_what_it_added() {
        let record = OutlierRecord::default();
        assert_eq!(record.turn_over(10, 2, 0), (10, 2));
        assert_eq!(record.turn_over(15, 2, 0), (5, 0));
    }
}
