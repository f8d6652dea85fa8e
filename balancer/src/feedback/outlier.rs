//! Taking targets out that do worse than the others.

use super::{
    service_state::{ServiceState, micros},
    target_state::TargetState,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// When a target is ejected and for how long.
///
/// Envoy's outlier detection ("Outlier detection" in its architecture overview): consecutive failures eject at once,
/// and once per interval so does a success rate below `mean - factor * standard deviation` of all targets with enough
/// traffic. An ejected target comes back by itself; the time grows with the number of its ejections.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierConfig {
    /// So many failures without a success in between eject a target.
    pub consecutive_failures: u32,
    /// How often success rates are compared.
    pub interval: Duration,
    /// The time of the first ejection; the n-th is n times as long.
    pub base_ejection: Duration,
    /// The limit of that growth.
    pub max_ejection: Duration,
    /// The largest share of the targets that is ejected at one time. One target may always be.
    pub max_ejected_share: f64,
    /// Success rates are compared among targets with at least so many completed picks in the interval,
    pub min_picks: u64,
    /// and only if there are at least so many such targets.
    pub min_targets: usize,
    /// How many standard deviations below the mean a success rate may be.
    pub deviation_factor: f64,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected_share: 0.1,
            min_picks: 100,
            min_targets: 5,
            deviation_factor: 1.9,
        }
    }
}

/// A target's record with the outlier detector.
#[derive(Debug, Default)]
pub(crate) struct OutlierRecord {
    ejected_until_us: AtomicU64,
    ejections: AtomicU32,
    /// Where the counters stood at the end of the last interval.
    completed: AtomicU64,
    failures: AtomicU64,
}

impl OutlierRecord {
    #[inline]
    pub(crate) fn is_ejected(&self, now_us: u64) -> bool {
        self.ejected_until_us.load(Relaxed) > now_us
    }

    /// Marks the target as ejected; whether this call did it.
    pub(crate) fn eject(&self, config: &OutlierConfig, now_us: u64) -> bool {
        let ejections = self.ejections.load(Relaxed).saturating_add(1);
        let time = config
            .base_ejection
            .saturating_mul(ejections)
            .min(config.max_ejection.max(config.base_ejection));
        let until_us = now_us.saturating_add(micros(time));
        let start = |before| (before <= now_us).then_some(until_us);
        let ejected = self.ejected_until_us.fetch_update(Relaxed, Relaxed, start).is_ok();
        if ejected {
            self.ejections.store(ejections, Relaxed);
        }
        ejected
    }

    /// Starts the next interval: what the last one brought as `(completed, failures)`. A target that got through it without
    /// being ejected has one ejection forgotten.
    fn turn_over(&self, state: &TargetState, now_us: u64) -> (u64, u64) {
        let (completed, failures) = (state.completed(), state.failures());
        if !self.is_ejected(now_us) {
            let _ =
                self.ejections.fetch_update(Relaxed, Relaxed, |ejections| ejections.checked_sub(1));
        }
        let before =
            (self.completed.swap(completed, Relaxed), self.failures.swap(failures, Relaxed));
        (completed.saturating_sub(before.0), failures.saturating_sub(before.1))
    }
}

/// Compares the success rates of the interval that ends now and ejects those that fall short.
pub(crate) fn compare(config: &OutlierConfig, states: &[Arc<TargetState>], core: &ServiceState) {
    let now_us = core.now_us();
    let rates: Vec<(f64, &TargetState)> = states
        .iter()
        .filter_map(|state| {
            let (completed, failures) = state.record.turn_over(state, now_us);
            let enough = completed >= config.min_picks.max(1);
            enough.then(|| (1.0 - failures as f64 / completed as f64, &**state))
        })
        .collect();
    if rates.len() < config.min_targets.max(1) {
        return;
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(rate, _)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(rate, _)| (rate - mean).powi(2)).sum::<f64>() / count;
    let floor = mean - config.deviation_factor * variance.sqrt();
    rates.iter().filter(|(rate, _)| *rate < floor).for_each(|(_, state)| {
        state.eject();
    });
}
