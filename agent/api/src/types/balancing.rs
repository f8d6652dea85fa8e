//! How calls to a service are balanced and made: what a registration, or a program of its own, may set.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hobnob_balancer::{BreakerConfig, Config, OutlierConfig};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Strategy, is_default};

/// How calls to a service are balanced and made, by every agent and every program. A setting that is not given is left to the
/// caller.
///
/// Every instance may carry it; of those that do, the one with the lowest id speaks for its service. `docs/CALLS.md` has the
/// table of settings with units, defaults and bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancing {
    /// The strategy of picks that name none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Option<Strategy>,
    /// Failures in a row that open the circuit of an instance. Without it picks by agents have no breaker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one call through, which decides. They double with each such failure.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recovery_timeout_ms: Option<u64>,
    /// Failures in a row that eject an instance. Without it picks by agents eject none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outlier_failures: Option<u32>,
    /// Milliseconds from one comparison of the instances' success rates to the next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outlier_interval_ms: Option<u64>,
    /// Milliseconds of an instance's first ejection; the n-th is n times as long.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ejection_time_ms: Option<u64>,
    /// The largest percentage of the instances that is ejected at one time. One instance may always be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_ejection_percent: Option<u32>,
    /// While less than this percentage of the instances takes calls, circuits and ejections are ignored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub panic_threshold_percent: Option<u32>,
    /// Milliseconds in which the weight of a new instance ramps up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub slow_start_ms: Option<u64>,
    /// For keyed strategies: the most calls in flight of an instance, in percent of its fair share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load_bound_percent: Option<u32>,
    /// The datacenters that the service fails over to, in this order; at most 16. The others follow after them, nearest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failover: Vec<String>,
    /// Milliseconds of a call, retries included, until the head of its answer is there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub call_timeout_ms: Option<u64>,
    /// Milliseconds of one try of a call that may be made twice.
    #[serde(default, skip_serializing_if = "is_default")]
    pub try_timeout_ms: Option<u64>,
    /// Milliseconds in which a connection must stand.
    #[serde(default, skip_serializing_if = "is_default")]
    pub connect_timeout_ms: Option<u64>,
    /// Further tries of one call.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_retries: Option<u32>,
    /// The protocol of calls.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Option<Protocol>,
}

/// The protocol of calls. Both are in clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1: one call at a time on a connection, and connections are kept.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge: all calls to an instance share one connection.
    Http2,
}

/// The settings of a service, and the instance that speaks for it. Without an instance, none is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSettings {
    /// The id of the instance whose registration counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub instance: Option<String>,
    /// The name of the member that it is registered with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: Option<String>,
    /// What it sets. A setting or a value of a later version counts as not given.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "known")]
    pub balancing: Balancing,
}

impl Balancing {
    /// These settings, and those of `other` where these give none.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let failover = match self.failover.is_empty() {
            true => other.failover.clone(),
            false => self.failover,
        };
        Self {
            strategy: self.strategy.or(other.strategy),
            failure_threshold: self.failure_threshold.or(other.failure_threshold),
            recovery_timeout_ms: self.recovery_timeout_ms.or(other.recovery_timeout_ms),
            outlier_failures: self.outlier_failures.or(other.outlier_failures),
            outlier_interval_ms: self.outlier_interval_ms.or(other.outlier_interval_ms),
            ejection_time_ms: self.ejection_time_ms.or(other.ejection_time_ms),
            max_ejection_percent: self.max_ejection_percent.or(other.max_ejection_percent),
            panic_threshold_percent: self.panic_threshold_percent.or(other.panic_threshold_percent),
            slow_start_ms: self.slow_start_ms.or(other.slow_start_ms),
            load_bound_percent: self.load_bound_percent.or(other.load_bound_percent),
            failover,
            call_timeout_ms: self.call_timeout_ms.or(other.call_timeout_ms),
            try_timeout_ms: self.try_timeout_ms.or(other.try_timeout_ms),
            connect_timeout_ms: self.connect_timeout_ms.or(other.connect_timeout_ms),
            max_retries: self.max_retries.or(other.max_retries),
            protocol: self.protocol.or(other.protocol),
        }
    }

    /// The settings of a balancer: these, and those of `base` where these give none. A breaker that `base` leaves off is on once
    /// the failure threshold is given, and outlier ejection once its failures are.
    #[must_use]
    pub fn config(&self, base: &Config) -> Config {
        Config {
            seed: base.seed,
            breaker: self.breaker(base.breaker.as_ref()),
            outlier: self.outlier(base.outlier.as_ref()),
            panic_threshold_percent: self
                .panic_threshold_percent
                .unwrap_or(base.panic_threshold_percent),
            slow_start: self.slow_start_ms.map(Duration::from_millis).or(base.slow_start),
            load_bound_percent: self.load_bound_percent.or(base.load_bound_percent),
        }
    }

    fn breaker(&self, base: Option<&BreakerConfig>) -> Option<BreakerConfig> {
        if base.is_none() && self.failure_threshold.is_none() {
            return None;
        }
        let base = base.cloned().unwrap_or_default();
        Some(BreakerConfig {
            failure_threshold: self.failure_threshold.unwrap_or(base.failure_threshold),
            recovery_timeout: millis(self.recovery_timeout_ms, base.recovery_timeout),
            ..base
        })
    }

    fn outlier(&self, base: Option<&OutlierConfig>) -> Option<OutlierConfig> {
        if base.is_none() && self.outlier_failures.is_none() {
            return None;
        }
        let base = base.cloned().unwrap_or_default();
        Some(OutlierConfig {
            consecutive_failures: self.outlier_failures.unwrap_or(base.consecutive_failures),
            interval: millis(self.outlier_interval_ms, base.interval),
            base_ejection_time: millis(self.ejection_time_ms, base.base_ejection_time),
            max_ejection_percent: self.max_ejection_percent.unwrap_or(base.max_ejection_percent),
        })
    }

    /// The settings that are given, each by its name and with its value as text, in the order of their names.
    #[must_use]
    pub fn given(&self) -> Vec<(String, String)> {
        let Ok(Value::Object(given)) = serde_json::to_value(self) else { return Vec::new() };
        given.into_iter().map(|(name, value)| (name, text(&value))).collect()
    }
}

/// A value as it would be given on the command line.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A time in milliseconds, if it is given.
pub(crate) fn millis(given: Option<u64>, default: Duration) -> Duration {
    given.map_or(default, Duration::from_millis)
}

/// Reads what this version knows of the settings that an agent tells.
fn known<'de, D: Deserializer<'de>>(told: D) -> Result<Balancing, D::Error> {
    let told = Map::<String, Value>::deserialize(told)?;
    let alone = |name: &str, value: &Value| {
        Balancing::deserialize(Value::Object(Map::from_iter([(name.to_owned(), value.clone())])))
    };
    let known = told.into_iter().filter(|(name, value)| alone(name, value).is_ok());
    Balancing::deserialize(Value::Object(known.collect())).map_err(D::Error::custom)
}

impl Protocol {
    /// Every protocol.
    pub const ALL: &'static [Self] = &[Self::Http1, Self::Http2];

    /// The word that JSON has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }

    /// One line for help texts.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, in clear",
            Self::Http2 => "HTTP/2 with prior knowledge, in clear",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Protocol {
    type Err = hobnob_balancer::UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|protocol| protocol.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.iter().map(|protocol| protocol.name()).collect();
            hobnob_balancer::UnknownName { kind: "protocol", name: name.to_owned(), known }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Balancing {
        serde_json::from_value(value).expect("settings")
    }

    /// Every setting, each with another value in `number`.
    fn all(number: u64) -> Balancing {
        let (strategy, protocol) = match number {
            1 => ("ring", "http1"),
            _ => ("random", "http2"),
        };
        read(json!({
            "strategy": strategy, "failure_threshold": number, "recovery_timeout_ms": number,
            "outlier_failures": number, "outlier_interval_ms": number, "ejection_time_ms": number,
            "max_ejection_percent": number, "panic_threshold_percent": number, "slow_start_ms": number,
            "load_bound_percent": number, "failover": [format!("dc{number}")], "call_timeout_ms": number,
            "try_timeout_ms": number, "connect_timeout_ms": number, "max_retries": number,
            "protocol": protocol,
        }))
    }

    #[test]
    fn each_setting_comes_from_the_first_that_gives_it() {
        assert_eq!(all(1).given().len(), 16, "a setting that is missing here");
        assert_eq!(all(1).or(&all(2)), all(1));
        assert_eq!(Balancing::default().or(&all(2)), all(2));
        for (name, value) in all(1).given() {
            let one = match value.parse::<u64>() {
                Ok(number) => read(json!({ (name.clone()): number })),
                Err(_) if name == "failover" => read(json!({ (name.clone()): [value.clone()] })),
                Err(_) => read(json!({ (name.clone()): value.clone() })),
            };
            for (other, is) in one.or(&all(2)).given() {
                let second = all(2).given().into_iter().find(|(name, _)| *name == other);
                let expected = if other == name { value.clone() } else { second.expect("it").1 };
                assert_eq!(is, expected, "{other}, of {name}");
            }
        }
    }

    #[test]
    fn a_balancer_keeps_what_is_not_given() {
        let off = Config::default();
        assert_eq!(Balancing::default().config(&off), off);
        let on = Config {
            seed: 7,
            breaker: Some(BreakerConfig::default()),
            outlier: Some(OutlierConfig { consecutive_failures: 10, ..Default::default() }),
            panic_threshold_percent: 50,
            slow_start: Some(Duration::from_secs(1)),
            load_bound_percent: Some(150),
        };
        assert_eq!(Balancing::default().config(&on), on);
        let times = read(json!({ "recovery_timeout_ms": 70, "ejection_time_ms": 80 }));
        assert_eq!(times.config(&off), off, "times switch nothing on");
        let config = times.config(&on);
        let (breaker, outlier) = (config.breaker.expect("on"), config.outlier.expect("on"));
        assert_eq!(breaker.recovery_timeout, Duration::from_millis(70));
        assert_eq!((breaker.failure_threshold, outlier.consecutive_failures), (5, 10));
        assert_eq!(outlier.base_ejection_time, Duration::from_millis(80));
        let given = read(json!({ "failure_threshold": 2, "outlier_failures": 3 })).config(&off);
        assert_eq!(given.breaker.expect("on").failure_threshold, 2);
        assert_eq!(given.outlier.expect("on").consecutive_failures, 3);
    }

    #[test]
    fn what_a_later_version_sets_counts_as_not_given() {
        let told = json!({
            "instance": "web-1", "of_later": 1,
            "balancing": { "strategy": "fastest", "protocol": "http3", "hedge": { "after": [1] }, "max_retries": 4 },
        });
        let read: ServiceSettings = serde_json::from_value(told).expect("read");
        let known = Balancing { max_retries: Some(4), ..Balancing::default() };
        assert_eq!((read.instance.as_deref(), read.balancing), (Some("web-1"), known));
    }

    #[test]
    fn a_protocol_has_one_name() {
        for protocol in Protocol::ALL {
            assert_eq!(json!(protocol), json!(protocol.name()));
            assert_eq!(protocol.name().parse(), Ok(*protocol));
        }
        let told = "http3".parse::<Protocol>().expect_err("unknown").to_string();
        assert_eq!(told, "unknown protocol `http3`; known are http1, http2");
    }
}
