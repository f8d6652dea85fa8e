//! Health checks: what is probed, how often, and how many equal results change a verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::{default_true, is_default, is_true};

/// A health check. An instance may have several: the worst decides, `critical` before `warning` before `passing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name, unique among the checks of its instance.
    #[serde(default = "default_check_name")]
    pub name: String,
    /// The kind of probe.
    pub probe: Probe,
    /// Milliseconds from the start of one probe to the start of the next. `ttl` and `alias` have no use for it.
    #[serde(default = "default_interval_ms", skip_serializing_if = "is_default_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds after which a probe has failed. `ttl` and `alias` have no use for it.
    #[serde(default = "default_timeout_ms", skip_serializing_if = "is_default_timeout_ms")]
    pub timeout_ms: u64,
    /// Successes in a row before the check is passing.
    #[serde(
        default = "default_success_before_passing",
        skip_serializing_if = "is_default_success_before_passing"
    )]
    pub success_before_passing: u32,
    /// Failures in a row before a passing check is warning; less than `failures_before_critical`. Without it, failures that are
    /// too few for `critical` change nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures_before_warning: Option<u32>,
    /// Failures in a row before the check is critical. Its name was `failures_before_failing` before.
    #[serde(
        default = "default_failures_before_critical",
        skip_serializing_if = "is_default_failures_before_critical",
        alias = "failures_before_failing"
    )]
    pub failures_before_critical: u32,
    /// The status before the first verdict. Without it, the status is unknown until then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initial: Option<CheckStatus>,
    /// Milliseconds for which the check may be critical before its instance is deregistered. Without it, it stays registered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deregister_critical_after_ms: Option<u64>,
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
            failures_before_warning: None,
            failures_before_critical: default_failures_before_critical(),
            initial: None,
            deregister_critical_after_ms: None,
            listener_watch: true,
        }
    }
}

/// The status of a check, or of all checks of an instance together. The order is that of the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It works.
    Passing,
    /// It works, and needs attention. Its instance is offered.
    Warning,
    /// It does not work. Its instance is never offered.
    Critical,
}

impl CheckStatus {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The status with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Passing, Self::Warning, Self::Critical]
            .into_iter()
            .find(|status| status.name() == word)
    }
}

/// The name of a check that gives none.
pub const DEFAULT_CHECK_NAME: &str = "check";
/// From the start of one probe to the start of the next, unless a check says otherwise.
pub const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The timeout of a probe, unless a check says otherwise.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// Successes in a row before a check is passing, unless it says otherwise.
pub const DEFAULT_SUCCESS_BEFORE_PASSING: u32 = 1;
/// Failures in a row before a check is critical, unless it says otherwise.
pub const DEFAULT_FAILURES_BEFORE_CRITICAL: u32 = 3;

fn default_check_name() -> String {
    DEFAULT_CHECK_NAME.to_owned()
}

fn default_interval_ms() -> u64 {
    DEFAULT_CHECK_INTERVAL.as_millis() as u64
}

fn is_default_interval_ms(value: &u64) -> bool {
    *value == default_interval_ms()
}

fn default_timeout_ms() -> u64 {
    DEFAULT_CHECK_TIMEOUT.as_millis() as u64
}

fn is_default_timeout_ms(value: &u64) -> bool {
    *value == default_timeout_ms()
}

fn default_success_before_passing() -> u32 {
    DEFAULT_SUCCESS_BEFORE_PASSING
}

fn is_default_success_before_passing(value: &u32) -> bool {
    *value == DEFAULT_SUCCESS_BEFORE_PASSING
}

fn default_failures_before_critical() -> u32 {
    DEFAULT_FAILURES_BEFORE_CRITICAL
}

fn is_default_failures_before_critical(value: &u32) -> bool {
    *value == DEFAULT_FAILURES_BEFORE_CRITICAL
}
