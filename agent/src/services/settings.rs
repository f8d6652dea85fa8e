//! The settings of a service, from the record of an instance.

use hobnob_api::Balancing;
use hobnob_balancer::Config;
use hobnob_membership::record;

/// The settings that a record asks for, as clients are told them. A strategy or protocol of a newer version is not known here, and
/// counts as not given.
pub(crate) fn balancing(of: &record::Balancing) -> Balancing {
    let calling = of.calling.settings().cloned().unwrap_or_default();
    Balancing {
        strategy: of.strategy.as_deref().and_then(|name| name.parse().ok()),
        failure_threshold: of.failure_threshold,
        recovery_timeout_ms: of.recovery_timeout_ms,
        outlier_failures: of.outlier_failures,
        outlier_interval_ms: of.outlier_interval_ms,
        ejection_time_ms: of.ejection_time_ms,
        max_ejection_percent: of.max_ejection_percent,
        panic_threshold_percent: of.panic_threshold_percent,
        slow_start_ms: of.slow_start_ms,
        load_bound_percent: of.load_bound_percent,
        failover: of.failover.iter().map(ToString::to_string).collect(),
        call_timeout_ms: calling.call_timeout_ms,
        try_timeout_ms: calling.try_timeout_ms,
        connect_timeout_ms: calling.connect_timeout_ms,
        max_retries: calling.max_retries,
        protocol: calling.protocol.as_deref().and_then(|name| name.parse().ok()),
    }
}

/// The settings of the balancers of picks. A breaker is on if its failure threshold is given, and outlier ejection if its
/// failures are.
pub(crate) fn config(of: &record::Balancing) -> Config {
    balancing(of).config(&Config::default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hobnob_balancer::{Config, OutlierConfig};
    use hobnob_membership::record::{Balancing, CallSettings};

    use super::config;

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
            calling: CallSettings {
                call_timeout_ms: day,
                try_timeout_ms: day,
                connect_timeout_ms: day,
                max_retries: number(0, 10),
                protocol: Some("http2".into()),
            }
            .into(),
        }
    }

    #[test]
    fn a_record_without_settings_gives_the_defaults() {
        assert_eq!(config(&Balancing::default()), Config::default());
    }

    #[test]
    fn clients_are_told_every_setting_that_is_known_here() {
        let all = Balancing {
            strategy: Some("random".into()),
            failover: vec!["eu".into(), "us".into()],
            ..at_bounds(true)
        };
        let told = super::balancing(&all).given();
        assert_eq!(told.len(), 16, "{told:?}");
        for (name, value) in [("failover", "eu,us"), ("max_retries", "10"), ("protocol", "http2")] {
            assert!(told.contains(&(name.to_owned(), value.to_owned())), "{name}: {told:?}");
        }
        let calling = CallSettings { protocol: Some("http9".into()), ..CallSettings::default() };
        let newer = Balancing {
            strategy: Some("fastest".into()),
            calling: calling.into(),
            ..Balancing::default()
        };
        assert_eq!(super::balancing(&newer), hobnob_api::Balancing::default());
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
