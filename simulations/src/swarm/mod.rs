//! The swarm: another scenario for each seed, with some kinds of faults switched on and others off.
//!
//! Tests that each leave out most features find more than tests that use a little of everything (Groce et al., "Swarm
//! Testing", ISSTA 2012). Every fifth seed is a drill: one stress under tight limits.

mod datacenters;
mod drills;
mod exits;
mod mixed;
#[cfg(feature = "mutants")]
pub mod mutants;
mod parallel;
mod sealed;
mod size;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::checkers::{Failure, PANIC};
use crate::run::{Outcome, RunOptions, run};
use crate::scenario::Scenario;

pub use parallel::in_parallel;
pub use size::Size;

/// The scenario of a seed.
#[must_use]
pub fn scenario(seed: u64, size: Size) -> Scenario {
    drills::drill(seed, size).unwrap_or_else(|| mixed::mixed(seed, size))
}

/// Runs the scenario of a seed. A panic counts as a failure.
#[must_use]
pub fn run_seed(seed: u64, size: Size) -> Outcome {
    run_caught(&scenario(seed, size), seed, RunOptions::default())
}

/// Runs the scenario of a seed until the first failure.
#[must_use]
pub fn run_seed_to_failure(seed: u64, size: Size) -> Outcome {
    let options = RunOptions { stop_at_failure: true, ..RunOptions::default() };
    run_caught(&scenario(seed, size), seed, options)
}

/// Runs a scenario. A panic counts as a failure.
#[must_use]
pub fn run_caught(scenario: &Scenario, seed: u64, options: RunOptions) -> Outcome {
    let result = catch_unwind(AssertUnwindSafe(|| run(scenario, seed, options)));
    result.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_else(|| "of an unknown kind".to_owned());
        Outcome::broken(scenario, seed, Failure { checker: PANIC.0, at_micros: 0, what })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_scenario_that_can_be_written_and_read() {
        for seed in 0..200 {
            let drawn = scenario(seed, Size::default());
            let text = toml::to_string(&drawn).expect("a scenario can be written");
            let read = Scenario::parse(&text).expect("and read");
            assert_eq!(toml::to_string(&read).expect("again"), text, "seed {seed}");
            assert_eq!(drawn, scenario(seed, Size::default()));
        }
    }
}
