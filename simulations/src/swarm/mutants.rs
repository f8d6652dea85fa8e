//! Known bugs, switched on one at a time: a checker that cannot fail proves nothing.

use hobnob_membership::Mutant;
use serde::Serialize;

use super::run_seed_to_failure;
use super::size::Size;
use crate::checkers::Failure;

/// How a bug was found.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// The bug.
    pub mutant: String,
    /// Seeds that were run, the one that found it included.
    pub seeds: u64,
    /// What fired first; `None` when nothing did.
    pub failure: Option<Failure>,
}

/// Runs seeds from 0 with a bug switched on until a checker fires, at most `seeds` of them.
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
