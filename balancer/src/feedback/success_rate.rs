//! Ejecting the targets whose success rate is far below that of the others.

use std::sync::Arc;

use super::target_state::TargetState;

/// The fewest completed picks in an interval that make a success rate: Envoy's `success_rate_request_volume`.
const REQUEST_VOLUME: u64 = 100;

/// The fewest success rates that are compared: Envoy's `success_rate_minimum_hosts`.
const MINIMUM_TARGETS: usize = 5;

/// The standard deviations that a success rate may be below the mean: Envoy's `success_rate_stdev_factor`.
const DEVIATIONS: f64 = 1.9;

/// Compares the success rates of the interval that ends now and ejects the targets whose rates fall short.
pub(crate) fn eject_outliers(states: &[Arc<TargetState>], now_us: u64) {
    let rates: Vec<(f64, &TargetState)> = states
        .iter()
        .filter_map(|state| {
            let (completed, failures) = state.turn_over(now_us);
            let rate = 1.0 - failures as f64 / completed as f64;
            (completed >= REQUEST_VOLUME).then_some((rate, &**state))
        })
        .collect();
    if rates.len() < MINIMUM_TARGETS {
        return;
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(rate, _)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(rate, _)| (rate - mean).powi(2)).sum::<f64>() / count;
    let floor = mean - DEVIATIONS * variance.sqrt();
    for (_, state) in rates.iter().filter(|(rate, _)| *rate < floor) {
        state.eject();
    }
}
