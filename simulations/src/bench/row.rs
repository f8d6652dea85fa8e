//! One number of real agents, and what it was meant to be.

use serde::Serialize;

/// The goal for a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The name of the measurement.
    pub what: String,
    /// The number.
    pub measured: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The goal for the number, if it has one.
    pub goal: Option<Goal>,
    /// Further remarks.
    pub note: String,
}

impl Row {
    pub(super) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, unit, goal: None, note: String::new() }
    }

    pub(super) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    pub(super) fn note(self, note: &str) -> Self {
        Self { note: note.to_owned(), ..self }
    }

    /// Whether the goal was met, if there is one. A number that could not be measured misses its goal.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| match goal {
            Goal::AtMost(limit) => self.measured <= limit,
            Goal::AtLeast(limit) => self.measured >= limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_has_a_side() {
        let row = |measured| Row::new("a ratio", measured, "x");
        assert_eq!(row(1.4).goal(Goal::AtMost(1.5)).is_met(), Some(true));
        assert_eq!(row(1.6).goal(Goal::AtMost(1.5)).is_met(), Some(false));
        assert_eq!(row(0.7).goal(Goal::AtLeast(0.6)).is_met(), Some(true));
        assert_eq!(row(0.5).goal(Goal::AtLeast(0.6)).is_met(), Some(false));
        assert_eq!(row(f64::NAN).goal(Goal::AtMost(1.5)).is_met(), Some(false));
        assert_eq!(row(1.0).is_met(), None);
    }
}
