//! Registrations: an instance, its health check, and the balancing of its service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Ack, DEFAULT_NAMESPACE, InstanceScope, Strategy, default_namespace, default_one, default_true,
    is_default, is_default_namespace, is_one, is_true,
};

/// A service instance to be registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The service that it belongs to.
    pub service: String,
    /// The id of the instance, unique on this agent. Defaults to `service`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub id: Option<String>,
    /// The namespace of the service.
    #[serde(default = "default_namespace", skip_serializing_if = "is_default_namespace")]
    pub namespace: String,
    /// Its address: an IP address or a host name. Defaults to the agent's own address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: Option<String>,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tags: BTreeSet<String>,
    /// Labels with a value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub meta: BTreeMap<String, String>,
    /// Its capacity relative to others', from 1 to 65535.
    #[serde(default = "default_one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// Its health checks. Without a check it is healthy while its agent lives. This version runs one check;
    /// more are refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checks: Vec<Check>,
    /// The balancing of calls to its service, on every agent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balancing: Balancing,
    /// Whether other agents are to have applied it before the answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ack: Option<Ack>,
    /// The datacenter with one of whose agents it is registered; that of the agent that is asked when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub datacenter: Option<String>,
    /// How far it is known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: InstanceScope,
}

/// The balancing of calls to a service, on every agent. A setting that is not given has its default.
///
/// Every instance may carry it; of those that do, the one with the lowest id speaks for its service. `docs/API.md` has the
/// table of settings with units, defaults and bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancing {
    /// The strategy of picks that name none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Option<Strategy>,
    /// Reported failures in a row that open the circuit of an instance. Without it there is no breaker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one call through, which decides. They double with each such failure.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recovery_timeout_ms: Option<u64>,
    /// Reported failures in a row that eject an instance. Without it there is no outlier ejection.
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
}

impl Registration {
    /// An instance at the agent's own address, without labels and checks, in the default namespace.
    #[must_use]
    pub fn new(service: impl Into<String>, port: u16) -> Self {
        Self {
            service: service.into(),
            id: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            address: None,
            port,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            weight: 1,
            checks: Vec::new(),
            balancing: Balancing::default(),
            ack: None,
            datacenter: None,
            scope: InstanceScope::Global,
        }
    }

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

/// A periodic health check, and how many equal results change its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name, unique among the checks of its instance.
    #[serde(default = "default_check_name")]
    pub name: String,
    /// The kind of probe.
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
    /// Whether the agent also watches the listener of a service on its own host, so that one that dies is unhealthy at
    /// once, whatever the thresholds.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub listener_watch: bool,
}

impl Check {
    /// A check with the default name, interval, timeout and thresholds.
    #[must_use]
    pub fn new(probe: Probe) -> Self {
        Self {
            name: default_check_name(),
            probe,
            interval_ms: default_interval_ms(),
            timeout_ms: default_timeout_ms(),
            success_before_passing: default_success_before_passing(),
            failures_before_failing: default_failures_before_failing(),
            listener_watch: true,
        }
    }
}

/// The probe by which a health check examines its instance.
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
/// The timeout of a probe, unless a check says otherwise.
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
