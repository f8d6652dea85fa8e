//! What is registered: an instance, how its health is checked, how its service is balanced.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Strategy, default_namespace};

/// A service instance to be registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The service that it belongs to.
    pub service: String,
    /// The id of the instance, unique on this agent. Defaults to `service`.
    #[serde(default)]
    pub id: Option<String>,
    /// The namespace of the service.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Where it answers: an IP address or a host name. Defaults to the agent's own address.
    #[serde(default)]
    pub address: Option<String>,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Labels with a value.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Its capacity relative to others', from 1 to 65535.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// How its health is checked. Without a check it is healthy while its agent lives. This version runs one check;
    /// more are refused.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// How calls to its service are balanced, on every agent.
    #[serde(default)]
    pub balancing: Balancing,
}

/// How calls to a service are balanced. What is not given is left to whoever calls.
///
/// Every instance may carry it; of those that do, the one with the lowest id speaks for its service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancing {
    /// The strategy of picks that name none.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// So many reported failures without a success in between open the circuit of an instance: it gets no calls, from
    /// the agents that saw them. Without it there is no breaker.
    #[serde(default)]
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one call through, which decides; doubles each time that it fails.
    /// Defaults to 5,000.
    #[serde(default)]
    pub recovery_timeout_ms: Option<u64>,
}

impl Registration {
    /// The id under which the instance is known: the given one, else the name of its service.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.service)
    }

    /// The check that this version runs: the first, and the only one that it accepts.
    #[must_use]
    pub fn check(&self) -> Option<&Check> {
        self.checks.first()
    }
}

fn default_weight() -> u32 {
    1
}

/// A periodic health check, and how many equal results change its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name, unique among the checks of its instance.
    #[serde(default = "default_check_name")]
    pub name: String,
    /// How the instance is probed.
    pub probe: Probe,
    /// Milliseconds from the start of one probe to the start of the next.
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds after which a probe has failed.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Successes in a row before the instance is healthy.
    #[serde(default = "default_success_before_passing")]
    pub success_before_passing: u32,
    /// Failures in a row before the instance is unhealthy.
    #[serde(default = "default_failures_before_failing")]
    pub failures_before_failing: u32,
}

/// How a health check probes its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// `GET` this `http://` URL; any 2xx status is a success.
    Http {
        /// The URL.
        url: String,
    },
    /// Open a TCP connection to this `host:port`.
    Tcp {
        /// The address.
        address: String,
    },
}

/// The name of a check that gives none.
pub const DEFAULT_CHECK_NAME: &str = "check";
/// From the start of one probe to the start of the next, unless a check says otherwise.
pub const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a probe may take, unless a check says otherwise.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// Successes in a row before an instance is healthy, unless a check says otherwise.
pub const DEFAULT_SUCCESS_BEFORE_PASSING: u32 = 1;
/// Failures in a row before an instance is unhealthy, unless a check says otherwise.
pub const DEFAULT_FAILURES_BEFORE_FAILING: u32 = 3;

fn default_check_name() -> String {
    DEFAULT_CHECK_NAME.to_owned()
}

fn default_interval_ms() -> u64 {
    DEFAULT_CHECK_INTERVAL.as_millis() as u64
}

fn default_timeout_ms() -> u64 {
    DEFAULT_CHECK_TIMEOUT.as_millis() as u64
}

fn default_success_before_passing() -> u32 {
    DEFAULT_SUCCESS_BEFORE_PASSING
}

fn default_failures_before_failing() -> u32 {
    DEFAULT_FAILURES_BEFORE_FAILING
}
