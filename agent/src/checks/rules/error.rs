//! Why a check is refused.

use hobnob_api::address::AddressError;

use super::{MAX_THRESHOLD, MAX_TIMEOUT, MIN_INTERVAL, MIN_TIMEOUT};

/// A check is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The interval is out of range.
    #[error("the check's interval is {given_ms} ms: choose one from {} ms to one day", MIN_INTERVAL.as_millis())]
    Interval {
        /// The given number.
        given_ms: u64,
    },
    /// The timeout is out of range.
    #[error(
        "the check's timeout is {given_ms} ms: choose one from {} ms to {} s",
        MIN_TIMEOUT.as_millis(),
        MAX_TIMEOUT.as_secs()
    )]
    Timeout {
        /// The given number.
        given_ms: u64,
    },
    /// A threshold is out of range.
    #[error("the check's {field} is {given}: choose a number from 1 to {MAX_THRESHOLD}")]
    Threshold {
        /// The name of the threshold.
        field: &'static str,
        /// The given number.
        given: u32,
    },
    /// A warning would come when the check is critical already.
    #[error(
        "the check's failures_before_warning is {given}: choose a number below failures_before_critical, which is {critical}"
    )]
    Warning {
        /// The given number.
        given: u32,
        /// The number of failures before it is critical.
        critical: u32,
    },
    /// Some other time is out of range.
    #[error("the check's {field} is {given_ms} ms: choose one from {min} to {max}")]
    Time {
        /// The name of the time.
        field: &'static str,
        /// The given number.
        given_ms: u64,
        /// The shortest one.
        min: &'static str,
        /// The longest one.
        max: &'static str,
    },
    /// There is too much of something.
    #[error("the check's {field} has {given}, and {max} are allowed")]
    TooMuch {
        /// The name of the part.
        field: &'static str,
        /// How much there is.
        given: usize,
        /// How much there may be.
        max: usize,
    },
    /// A text cannot be what it should be.
    #[error("the check's {field} is `{given}`: {expected}")]
    Malformed {
        /// The name of the part.
        field: &'static str,
        /// The text.
        given: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The agent does not run scripts.
    #[error(
        "it runs a script, and this agent runs no scripts: start it with --enable-script-checks, after which every process \
         that may register runs programs as the user of the agent"
    )]
    ScriptsOff,
    /// The URL or the address cannot be used.
    #[error(transparent)]
    Target(#[from] AddressError),
}
