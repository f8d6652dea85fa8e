//! Known bugs, switched on one at a time. They show that the checkers can fail.

use hobnob_membership::Mutant;
use serde::Serialize;

use super::run_seed_to_failure;
use super::size::Size;
use crate::checkers::Failure;

/// The result of hunting a bug.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// The bug.
    pub mutant: String,
    /// Seeds that were run, including the one that found it.
    pub seeds: u64,
    /// The first failure; `None` when no checker fired.
    pub failure: Option<Failure>,
}

/// Runs up to `seeds` seeds with a bug switched on, until a checker fires.
#[must_use]
pub fn hunt(mutant: Mutant, seeds: u64, size: Size) -> Caught {
    Mutant::activate(Some(mutant));
    let mut caught = Caught { mutant: format!("{mutant:?}"), seeds, failure: None };
    for seed in 0..seeds {
        if let Some(failure) = run_seed_to_failure(seed, size).failures.into_iter().next() {
            caught.seeds = seed + 1;
            caught.failure = Some(failure);
            break;
        }
    }
    Mutant::activate(None);
    caught
}
