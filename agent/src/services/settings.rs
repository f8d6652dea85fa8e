//! The settings of a service's balancers, from the record of an instance.

use std::time::Duration;

use hobnob_balancer::{BreakerConfig, Config, OutlierConfig};
use hobnob_membership::record::Balancing;

/// The settings that a record asks for. A breaker is on if its failure threshold is given, and outlier ejection if its
/// failures are.
pub(crate) fn config(balancing: &Balancing) -> Config {
    let breaker = balancing.failure_threshold.map(|failure_threshold| {
        let default = BreakerConfig::default();
        BreakerConfig {
            failure_threshold,
            recovery_timeout: millis(balancing.recovery_timeout_ms, default.recovery_timeout),
            ..default
        }
    });
    let outlier = balancing.outlier_failures.map(|consecutive_failures| {
        let default = OutlierConfig::default();
        OutlierConfig {
            consecutive_failures,
            interval: millis(balancing.outlier_interval_ms, default.interval),
            base_ejection_time: millis(balancing.ejection_time_ms, default.base_ejection_time),
            max_ejection_percent: balancing
                .max_ejection_percent
                .unwrap_or(default.max_ejection_percent),
        }
    });
    let default = Config::default();
    Config {
        breaker,
        outlier,
        panic_threshold_percent: balancing
            .panic_threshold_percent
            .unwrap_or(default.panic_threshold_percent),
        slow_start: balancing.slow_start_ms.map(Duration::from_millis),
        load_bound_percent: balancing.load_bound_percent,
        ..default
    }
}

fn millis(given: Option<u64>, default: Duration) -> Duration {
    given.map_or(default, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with every setting, each at its lower or upper bound.
    fn at_bounds(upper: bool) -> Balancing {
        let number = |low: u32, high: u32| Some(if upper { high } else { low });
        let day = Some(if upper { 86_400_000 } else { 1 });
        Balancing {
            strategy: None,
            failure_threshold: number(1, 1_000),
            recovery_timeout_ms: day,
            outlier_failures: number(1, 1_000),
            outlier_interval_ms: day,
            ejection_time_ms: day,
            max_ejection_percent: number(1, 100),
            panic_threshold_percent: number(0, 100),
            slow_start_ms: day,
            load_bound_percent: number(100, 1_000),
            failover: Vec::new(),
        }
    }

    #[test]
    fn a_record_without_settings_gives_the_defaults() {
        assert_eq!(config(&Balancing::default()), Config::default());
    }

    #[test]
    fn every_setting_arrives() {
        let config = config(&at_bounds(true));
        let day = Duration::from_secs(86_400);
        let breaker = config.breaker.expect("on");
        assert_eq!((breaker.failure_threshold, breaker.recovery_timeout), (1_000, day));
        let outlier = OutlierConfig {
            consecutive_failures: 1_000,
            interval: day,
            base_ejection_time: day,
            max_ejection_percent: 100,
        };
        assert_eq!(config.outlier, Some(outlier));
        assert_eq!((config.panic_threshold_percent, config.slow_start), (100, Some(day)));
        assert_eq!(config.load_bound_percent, Some(1_000));
    }

    /// Records and balancers state the bounds each for itself, since neither crate knows the other.
    #[test]
    fn records_and_balancers_have_the_same_bounds() {
        for upper in [false, true] {
            assert!(at_bounds(upper).validate().is_ok());
            assert_eq!(config(&at_bounds(upper)).validate(), Ok(()));
        }
        let beyond: [fn(&mut Balancing); 16] = [
            |b| b.failure_threshold = Some(0),
            |b| b.failure_threshold = Some(1_001),
            |b| b.recovery_timeout_ms = Some(0),
            |b| b.recovery_timeout_ms = Some(86_400_001),
            |b| b.outlier_failures = Some(0),
            |b| b.outlier_failures = Some(1_001),
            |b| b.outlier_interval_ms = Some(0),
            |b| b.outlier_interval_ms = Some(86_400_001),
            |b| b.ejection_time_ms = Some(0),
            |b| b.max_ejection_percent = Some(0),
            |b| b.max_ejection_percent = Some(101),
            |b| b.panic_threshold_percent = Some(101),
            |b| b.slow_start_ms = Some(0),
            |b| b.slow_start_ms = Some(86_400_001),
            |b| b.load_bound_percent = Some(99),
            |b| b.load_bound_percent = Some(1_001),
        ];
        for (number, change) in beyond.iter().enumerate() {
            let mut balancing = at_bounds(true);
            change(&mut balancing);
            assert!(balancing.validate().is_err(), "record, change {number}");
            assert!(config(&balancing).validate().is_err(), "balancer, change {number}");
        }
    }
}
