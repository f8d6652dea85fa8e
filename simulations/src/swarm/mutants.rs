//! Known bugs, switched on one at a time. They show that the checkers can fail.

use hobnob_membership::Mutant;
use serde::Serialize;

use super::drills::is_drill;
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

/// The seeds below `seeds`: drills and others in turn. Most bugs are found by one drill, and some by many faults at once.
fn in_turn(seeds: u64) -> impl Iterator<Item = u64> {
    let (drills, others): (Vec<u64>, Vec<u64>) = (0..seeds).partition(|seed| is_drill(*seed));
    let mut drills = drills.into_iter();
    let mut others = others.into_iter();
    let pairs = std::iter::from_fn(move || {
        let pair = [drills.next(), others.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten()
}

/// Runs up to `seeds` seeds with a bug switched on, until a checker fires.
#[must_use]
pub fn hunt(mutant: Mutant, seeds: u64, size: Size) -> Caught {
    Mutant::activate(Some(mutant));
    let mut caught = Caught { mutant: format!("{mutant:?}"), seeds, failure: None };
    for (runs, seed) in (1..).zip(in_turn(seeds)) {
        if let Some(failure) = run_seed_to_failure(seed, size).failures.into_iter().next() {
            caught.seeds = runs;
            caught.failure = Some(failure);
            break;
        }
    }
    Mutant::activate(None);
    caught
}
