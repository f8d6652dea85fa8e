//! The rule that the limits of a scenario are no looser than they must be.
//!
//! A limit far above what is measured hides a protocol that becomes slower, or a checker that no longer looks.

use std::time::Duration;

use super::measured::MeasuredLimit;
use crate::scenario::{Limit, LimitValue, Limits};

/// A limit is at most this many times the worst value that is measured.
const MAX_RATIO: u32 = 2;

/// The checkers of most limits look once a second.
const LOOK: Duration = Duration::from_secs(1);
/// A write or a start at the last moment takes twice this time, in one run or another, until all know it.
const LAST_MOMENT: Duration = Duration::from_millis(750);
/// A verdict that is under way when a host returns arrives within this time, in one run or another.
const VERDICT: Duration = Duration::from_millis(2_500);

impl MeasuredLimit {
    /// Why the limit is too loose for the worst of several runs. `None` when it is not.
    #[must_use]
    pub fn slack(&self) -> Option<String> {
        let Some(measured) = self.measured else {
            let stated = Limits::default().values().all(|value| value != (self.name, self.limit));
            return stated.then(|| "the scenario does not put it to the test".to_owned());
        };
        let loose = match (self.limit, measured) {
            (LimitValue::Time(limit), LimitValue::Time(measured)) => {
                limit > measured.max(smallest(self.name)) * MAX_RATIO
            }
            (LimitValue::Rate(limit), LimitValue::Rate(measured)) => {
                limit > measured * u64::from(MAX_RATIO)
            }
            (limit, measured) => limit > measured,
        };
        loose.then(|| format!("{measured} is the worst that was measured"))
    }
}

/// Shorter times count as this one, since they are not measured more finely or vary from run to run.
const fn smallest(limit: Limit) -> Duration {
    match limit {
        Limit::HealWithin => LAST_MOMENT,
        Limit::JoinWithin | Limit::IsolationWithin | Limit::DuplicateWithin => LOOK,
        Limit::Grace => VERDICT,
        // Each verdict is measured to the microsecond. The other two are no times.
        Limit::DetectWithin
        | Limit::RotateWithin
        | Limit::RevokeWithin
        | Limit::FalseDowns
        | Limit::BytesPerSecond => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::FalseDowns;

    fn is_loose(name: Limit, limit: LimitValue, measured: Option<LimitValue>) -> bool {
        MeasuredLimit { name, limit, measured }.slack().is_some()
    }

    fn millis(millis: u64) -> LimitValue {
        LimitValue::Time(Duration::from_millis(millis))
    }

    #[test]
    fn a_limit_may_be_twice_what_is_measured() {
        for (limit, measured, loose) in [(5_000, 2_500, false), (5_001, 2_500, true)] {
            let measured_time = Some(millis(measured));
            assert_eq!(is_loose(Limit::DetectWithin, millis(limit), measured_time), loose);
            let measured_rate = Some(LimitValue::Rate(measured));
            let rate = LimitValue::Rate(limit);
            assert_eq!(is_loose(Limit::BytesPerSecond, rate, measured_rate), loose);
        }
    }

    #[test]
    fn small_times_may_be_exceeded() {
        assert!(!is_loose(Limit::HealWithin, millis(1_500), Some(millis(250))));
        assert!(is_loose(Limit::HealWithin, millis(1_501), Some(millis(250))));
        assert!(!is_loose(Limit::IsolationWithin, millis(2_000), Some(millis(0))));
        assert!(is_loose(Limit::Grace, millis(5_001), Some(millis(0))));
    }

    #[test]
    fn an_excuse_that_is_not_needed_is_too_loose() {
        let [never, excused] = [FalseDowns::Never, FalseDowns::Excused].map(LimitValue::FalseDowns);
        assert!(is_loose(Limit::FalseDowns, excused, Some(never)));
        assert!(!is_loose(Limit::FalseDowns, excused, Some(excused)));
    }

    #[test]
    fn a_limit_that_nothing_tests_is_not_stated() {
        let default = LimitValue::Time(Limits::default().detect_within.0);
        assert!(!is_loose(Limit::DetectWithin, default, None));
        assert!(is_loose(Limit::DetectWithin, millis(5_000), None));
    }
}
