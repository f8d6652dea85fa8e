//! The settings of one balancer, with their defaults and bounds.

use std::{ops::RangeInclusive, time::Duration};

/// The most failures in a row that a setting may ask for.
pub const FAILURES_MAX: u32 = 1_000;

/// The bounds of every setting that is a time.
pub const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// The bounds of [`Config::load_bound_percent`].
pub const LOAD_BOUND_PERCENT: RangeInclusive<u32> = 100..=1_000;

/// The load bound of [`Strategy::BoundedHash`](crate::Strategy::BoundedHash) unless [`Config::load_bound_percent`] gives
/// another one.
pub const LOAD_BOUND_PERCENT_DEFAULT: u32 = 125;

/// The settings of one balancer.
///
/// | setting | default | bounds | meaning |
/// |---|---|---|---|
/// | `seed` | fixed | any | seeds the random choices of pickers, and where turns begin |
/// | `breaker` | off | | circuit breaker of each target |
/// | `breaker.failure_threshold` | 5 | 1 to 1,000 | failures in a row that open a circuit |
/// | `breaker.recovery_timeout` | 5 s | 1 ms to 1 day | time until an open circuit lets one probe through |
/// | `breaker.jitter_percent` | 10 | 0 to 100 | random extension of each recovery timeout |
/// | `outlier` | off | | ejection of targets that do worse than the others |
/// | `outlier.consecutive_failures` | 5 | 1 to 1,000 | failures in a row that eject a target |
/// | `outlier.interval` | 10 s | 1 ms to 1 day | time from one comparison of success rates to the next |
/// | `outlier.base_ejection_time` | 30 s | 1 ms to 1 day | time of the first ejection; the n-th is n times as long |
/// | `outlier.max_ejection_percent` | 10 | 1 to 100 | largest share of the targets that is ejected at one time |
/// | `panic_threshold_percent` | 0 (off) | 0 to 100 | share of available targets below which all are offered |
/// | `slow_start` | off | 1 ms to 1 day | time in which the weight of a new target ramps up |
/// | `load_bound_percent` | off | 100 to 1,000 | most picks in flight of a target of a keyed strategy, over its fair share |
///
/// By default no target is ever held back. Breaker, ejection and slow start need a clock: call
/// [`Balancer::advance`](crate::Balancer::advance) a few times a second. Names and defaults of the outlier and slow-start
/// settings are those of Envoy (`envoy.config.cluster.v3.OutlierDetection` and `Cluster.SlowStartConfig`).
///
/// Construct a config with `..Config::default()`, and check one that comes from outside with [`Config::validate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seeds the random choices of the pickers and where turns begin. Balancers with one seed begin with the same target, so
    /// each of many hosts needs another one. It has no influence on where a key lands, which is the same everywhere.
    pub seed: u64,
    /// The circuit breaker of each target; `None` switches it off.
    pub breaker: Option<BreakerConfig>,
    /// The ejection of targets that do worse than the others; `None` switches it off.
    pub outlier: Option<OutlierConfig>,
    /// While less than this percentage of the targets is available, breakers and ejections are ignored and every target
    /// is offered: a few calls that fail are better than a few targets that drown. 0 switches it off. Envoy calls it
    /// `healthy_panic_threshold` and defaults to 50.
    pub panic_threshold_percent: u32,
    /// The time in which the weight of a new target ramps up from 10 % to 100 %; `None` gives it all of its weight at
    /// once. Envoy calls it `slow_start_window`.
    pub slow_start: Option<Duration>,
    /// Bounds the load of every keyed strategy: no target has more than this percentage of its fair share of the picks in
    /// flight, and keys beyond it go to another target. Envoy calls it `hash_balance_factor`.
    /// [`Strategy::BoundedHash`](crate::Strategy::BoundedHash) is bounded in any case, by
    /// [`LOAD_BOUND_PERCENT_DEFAULT`].
    pub load_bound_percent: Option<u32>,
}

/// When the circuit of a target opens and when it closes again.
///
/// The stability pattern "Circuit Breaker" of Nygard, "Release It!", 2nd edition, 2018. The timeout doubles with every
/// probe that fails, up to 300 s or `recovery_timeout`, whichever is longer (Brooker, "Exponential Backoff and Jitter",
/// AWS Architecture Blog, 2015).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// This many failures without a success in between open the circuit.
    pub failure_threshold: u32,
    /// An open circuit refuses picks for this long before it lets the first probe through.
    pub recovery_timeout: Duration,
    /// Each timeout is extended by a random share of up to this percentage, so that the circuits of many agents do not
    /// close in step.
    pub jitter_percent: u32,
}

/// When a target is ejected and for how long.
///
/// Envoy's outlier detection ("Outlier detection" in its architecture overview). Consecutive failures eject at once. Once
/// an interval, so does a success rate that is more than 1.9 standard deviations below the mean of all targets with at
/// least 100 completed picks, if there are at least five such targets. An ejected target comes back by itself. The time
/// grows with the number of its ejections, up to 300 s or `base_ejection_time`, whichever is longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// This many failures without a success in between eject a target.
    pub consecutive_failures: u32,
    /// The time from one comparison of success rates to the next.
    pub interval: Duration,
    /// The time of the first ejection; the n-th is n times as long.
    pub base_ejection_time: Duration,
    /// The largest percentage of the targets that is ejected at one time. One target may always be.
    pub max_ejection_percent: u32,
}

/// A setting is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of bounds.
    #[error("{setting} must be from {} to {}, not {given}", bounds.start(), bounds.end())]
    Number {
        /// The setting, as the table of [`Config`] names it.
        setting: &'static str,
        /// The value that was given.
        given: u32,
        /// The values that are allowed.
        bounds: RangeInclusive<u32>,
    },
    /// A time is out of bounds.
    #[error("{setting} must be from {:?} to {:?}, not {given:?}", bounds.start(), bounds.end())]
    Time {
        /// The setting, as the table of [`Config`] names it.
        setting: &'static str,
        /// The value that was given.
        given: Duration,
        /// The values that are allowed.
        bounds: RangeInclusive<Duration>,
    },
}

impl Config {
    /// Checks every setting against its bounds.
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.breaker.as_ref().map_or(Ok(()), BreakerConfig::validate)?;
        self.outlier.as_ref().map_or(Ok(()), OutlierConfig::validate)?;
        number("panic_threshold_percent", self.panic_threshold_percent, 0..=100)?;
        self.slow_start.map_or(Ok(()), |window| time("slow_start", window))?;
        self.load_bound_percent
            .map_or(Ok(()), |bound| number("load_bound_percent", bound, LOAD_BOUND_PERCENT))
    }

    /// Whether the balancer behaves as configured only while its clock moves.
    pub fn needs_clock(&self) -> bool {
        self.breaker.is_some() || self.outlier.is_some() || self.slow_start.is_some()
    }
}

impl BreakerConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        number("breaker.failure_threshold", self.failure_threshold, 1..=FAILURES_MAX)?;
        time("breaker.recovery_timeout", self.recovery_timeout)?;
        number("breaker.jitter_percent", self.jitter_percent, 0..=100)
    }
}

impl OutlierConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        number("outlier.consecutive_failures", self.consecutive_failures, 1..=FAILURES_MAX)?;
        time("outlier.interval", self.interval)?;
        time("outlier.base_ejection_time", self.base_ejection_time)?;
        number("outlier.max_ejection_percent", self.max_ejection_percent, 1..=100)
    }
}

fn number(
    setting: &'static str,
    given: u32,
    bounds: RangeInclusive<u32>,
) -> Result<(), ConfigError> {
    if bounds.contains(&given) {
        Ok(())
    } else {
        Err(ConfigError::Number { setting, given, bounds })
    }
}

fn time(setting: &'static str, given: Duration) -> Result<(), ConfigError> {
    if TIMES.contains(&given) {
        Ok(())
    } else {
        Err(ConfigError::Time { setting, given, bounds: TIMES })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0x686f_626e_6f62,
            breaker: None,
            outlier: None,
            panic_threshold_percent: 0,
            slow_start: None,
            load_bound_percent: None,
        }
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failure_threshold: 5, recovery_timeout: Duration::from_secs(5), jitter_percent: 10 }
    }
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_on() -> Config {
        Config {
            breaker: Some(BreakerConfig::default()),
            outlier: Some(OutlierConfig::default()),
            slow_start: Some(Duration::from_secs(30)),
            load_bound_percent: Some(LOAD_BOUND_PERCENT_DEFAULT),
            ..Config::default()
        }
    }

    /// The settings, each with a value just out of bounds.
    fn mistakes() -> Vec<(&'static str, Config)> {
        let breaker = |change: fn(&mut BreakerConfig)| {
            let mut config = all_on();
            config.breaker.as_mut().map(change);
            config
        };
        let outlier = |change: fn(&mut OutlierConfig)| {
            let mut config = all_on();
            config.outlier.as_mut().map(change);
            config
        };
        let whole = |change: fn(&mut Config)| {
            let mut config = all_on();
            change(&mut config);
            config
        };
        vec![
            ("breaker.failure_threshold", breaker(|b| b.failure_threshold = 0)),
            ("breaker.failure_threshold", breaker(|b| b.failure_threshold = 1_001)),
            ("breaker.recovery_timeout", breaker(|b| b.recovery_timeout = Duration::ZERO)),
            ("breaker.jitter_percent", breaker(|b| b.jitter_percent = 101)),
            ("outlier.consecutive_failures", outlier(|o| o.consecutive_failures = 0)),
            ("outlier.interval", outlier(|o| o.interval = Duration::from_micros(999))),
            (
                "outlier.base_ejection_time",
                outlier(|o| o.base_ejection_time = Duration::from_millis(86_400_001)),
            ),
            ("outlier.max_ejection_percent", outlier(|o| o.max_ejection_percent = 0)),
            ("panic_threshold_percent", whole(|c| c.panic_threshold_percent = 101)),
            ("slow_start", whole(|c| c.slow_start = Some(Duration::ZERO))),
            ("load_bound_percent", whole(|c| c.load_bound_percent = Some(99))),
        ]
    }

    #[test]
    fn defaults_are_within_bounds() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(all_on().validate(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        for (setting, config) in mistakes() {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{setting} must be from ")), "{error}");
        }
        let error = Config { slow_start: Some(Duration::ZERO), ..Config::default() }.validate();
        assert_eq!(
            error.unwrap_err().to_string(),
            "slow_start must be from 1ms to 86400s, not 0ns"
        );
    }
}
