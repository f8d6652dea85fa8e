//! The values that runs measure for the limits of a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::scenario::{Limit, LimitValue, Limits};

/// The worst value that was seen for each limit. A checker fires when a limit is below its value.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    worst: BTreeMap<Limit, LimitValue>,
}

/// A limit beside the value that was measured for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredLimit {
    /// The limit.
    pub name: Limit,
    /// Its value in the scenario.
    pub limit: LimitValue,
    /// The worst value that was measured. `None` when the run put the limit to no test.
    pub measured: Option<LimitValue>,
}

impl Measured {
    /// Notes a value, unless a worse one is known. Times are rounded up to milliseconds.
    pub fn note(&mut self, limit: Limit, value: LimitValue) {
        let value = match value {
            LimitValue::Time(time) => {
                let millis = time.as_micros().div_ceil(1_000);
                LimitValue::Time(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
            }
            value => value,
        };
        let worst = self.worst.entry(limit).or_insert(value);
        if *worst < value {
            *worst = value;
        }
    }

    /// Notes a time, if there is one.
    pub(super) fn note_time(&mut self, limit: Limit, time: Option<Duration>) {
        if let Some(time) = time {
            self.note(limit, LimitValue::Time(time));
        }
    }

    /// Notes all values of another.
    pub fn merge(&mut self, other: &Self) {
        other.worst.iter().for_each(|(limit, value)| self.note(*limit, *value));
    }

    /// All limits of a scenario with what was measured.
    #[must_use]
    pub fn beside(&self, limits: &Limits) -> Vec<MeasuredLimit> {
        let measured = |name| self.worst.get(&name).copied();
        limits
            .values()
            .map(|(name, limit)| MeasuredLimit { name, limit, measured: measured(name) })
            .collect()
    }
}

impl MeasuredLimit {
    /// The limits of one scenario beside the worst value of all its runs.
    #[must_use]
    pub fn worst_of<'a>(runs: impl IntoIterator<Item = &'a [Self]>) -> Vec<Self> {
        let mut worst: Vec<Self> = Vec::new();
        for run in runs {
            if worst.is_empty() {
                worst = run.to_vec();
                continue;
            }
            for (one, other) in worst.iter_mut().zip(run) {
                // No value is less than any value.
                if one.measured < other.measured {
                    one.measured = other.measured;
                }
            }
        }
        worst
    }
}
