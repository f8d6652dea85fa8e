//! The rules that a check is accepted by.

use std::time::Duration;

use hobnob_api::address::AddressError;
use hobnob_api::{Check, Probe};

use super::probes::Target;

/// The shortest time from the start of one probe to the start of the next.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// The longest time from the start of one probe to the start of the next.
pub const MAX_INTERVAL: Duration = Duration::from_hours(24);
/// The shortest time that a probe may take.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// The longest time that a probe may take. It may be longer than the interval: probes never overlap, and the next one
/// then waits for the end of the one before it.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest number of equal outcomes in a row that a check may ask for.
pub const MAX_THRESHOLD: u32 = 100;

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
    /// This version does not run this kind.
    #[error("this version does not run checks of the kind `{kind}`")]
    Kind {
        /// The kind.
        kind: &'static str,
    },
    /// The URL or the address cannot be used.
    #[error(transparent)]
    Target(#[from] AddressError),
}

/// Checks that a check can be run as it is.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(check: &Check) -> Result<(), CheckError> {
    if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&Duration::from_millis(check.interval_ms)) {
        return Err(CheckError::Interval { given_ms: check.interval_ms });
    }
    if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&Duration::from_millis(check.timeout_ms)) {
        return Err(CheckError::Timeout { given_ms: check.timeout_ms });
    }
    for (field, given) in [
        ("success_before_passing", check.success_before_passing),
        ("failures_before_critical", check.failures_before_critical),
    ] {
        if !(1..=MAX_THRESHOLD).contains(&given) {
            return Err(CheckError::Threshold { field, given });
        }
    }
    match &check.probe {
        Probe::Http(_) | Probe::Tcp { .. } => drop(Target::parse(&check.probe)?),
        probe => return Err(CheckError::Kind { kind: probe.kind() }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            name: "check".into(),
            interval_ms: 1_000,
            timeout_ms: 500,
            success_before_passing: 1,
            failures_before_critical: 3,
            listener_watch: true,
            ..Check::new(Probe::Tcp { address: "127.0.0.1:80".into() })
        }
    }

    #[test]
    fn the_ends_of_every_range() {
        for interval_ms in [10, 86_400_000] {
            assert_eq!(validate(&Check { interval_ms, ..check() }), Ok(()));
        }
        for interval_ms in [0, 9, 86_400_001, u64::MAX] {
            assert_eq!(
                validate(&Check { interval_ms, ..check() }),
                Err(CheckError::Interval { given_ms: interval_ms })
            );
        }
        for timeout_ms in [1, 60_000] {
            assert_eq!(validate(&Check { timeout_ms, ..check() }), Ok(()));
        }
        for timeout_ms in [0, 60_001, u64::MAX] {
            assert_eq!(
                validate(&Check { timeout_ms, ..check() }),
                Err(CheckError::Timeout { given_ms: timeout_ms })
            );
        }
        for threshold in [1, 100] {
            let both = Check {
                success_before_passing: threshold,
                failures_before_critical: threshold,
                ..check()
            };
            assert_eq!(validate(&both), Ok(()));
        }
        for given in [0, 101, u32::MAX] {
            let error = validate(&Check { success_before_passing: given, ..check() });
            assert_eq!(
                error,
                Err(CheckError::Threshold { field: "success_before_passing", given })
            );
            let error = validate(&Check { failures_before_critical: given, ..check() });
            assert_eq!(
                error,
                Err(CheckError::Threshold { field: "failures_before_critical", given })
            );
        }
    }

    #[test]
    fn a_target_that_cannot_be_used_is_refused() {
        let https = Check { probe: Probe::http("https://localhost/"), ..check() };
        assert!(matches!(validate(&https), Err(CheckError::Target(AddressError::Https(_)))));
    }

    #[test]
    fn messages_name_the_value_and_the_range() {
        let message = CheckError::Interval { given_ms: 5 }.to_string();
        assert_eq!(message, "the check's interval is 5 ms: choose one from 10 ms to one day");
        let message = CheckError::Timeout { given_ms: 0 }.to_string();
        assert_eq!(message, "the check's timeout is 0 ms: choose one from 1 ms to 60 s");
    }
}
