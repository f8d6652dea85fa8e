//! The settings of one balancer.

use crate::feedback::{BreakerConfig, OutlierConfig};
use std::time::Duration;

/// The settings of one balancer. Every field has a default; construct it with `..Config::default()`.
///
/// By default nothing is ever held back: breakers, outlier ejection, slow start and the panic threshold are off. They
/// need a clock, so whoever switches one on calls [`Balancer::advance`](crate::Balancer::advance) from time to time.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Seeds the random choices of this balancer's pickers. It has no influence on where a key lands, which is the same
    /// on every agent.
    pub seed: u64,
    /// The circuit breaker of each target; `None` switches it off.
    pub breaker: Option<BreakerConfig>,
    /// The ejection of targets that do worse than the others; `None` switches it off.
    pub outlier: Option<OutlierConfig>,
    /// When less than this share of the targets is available, breakers and ejections are ignored and every target is
    /// offered: better a few calls that fail than a few targets that drown. `0.0` switches it off; Envoy's default is
    /// `0.5`.
    pub panic_threshold: f64,
    /// How long the weight of a new target ramps up; `None` gives it its whole share at once.
    pub slow_start: Option<Duration>,
    /// For every keyed strategy: no target has more than this factor times its fair share of the picks in flight; keys
    /// beyond it go on to another target. [`Strategy::BoundedHash`](crate::Strategy::BoundedHash) is bounded in any case.
    pub load_bound: Option<f64>,
    /// The time in which peak EWMA forgets a latency (to 1/e).
    pub latency_decay: Duration,
    /// What peak EWMA and hot/cold expect of a target that has picks in flight but has not answered yet.
    pub initial_latency: Duration,
    /// The share of targets that hot/cold takes to be cold, by picks in flight.
    pub cold_quantile: f64,
}

/// The factor of a bounded load where [`Config::load_bound`] gives none.
pub const LOAD_BOUND: f64 = 1.25;

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0x686f_626e_6f62,
            breaker: None,
            outlier: None,
            panic_threshold: 0.0,
            slow_start: None,
            load_bound: None,
            latency_decay: Duration::from_secs(10),
            initial_latency: Duration::from_millis(30),
            cold_quantile: 0.84,
        }
    }
}
