//! Known bugs, switched on one at a time. They show that the checkers can fail.

use hobnob_membership::Mutant;
use serde::Serialize;

use super::drills::is_drill;
use super::run_seed_to_failure;
use super::size::Size;
use crate::bench::datacenters::{DatacentersEffort, PARTS};
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

/// Bugs that cost time, bytes or copies and break no promise, and the measurement of datacenters that they spoil.
const MEASURED: [(Mutant, &str); 2] =
    [(Mutant::BudgetDrops, "narrow"), (Mutant::AnyGatewayOpens, "storm")];

/// The name under which a missed goal is told.
const GOALS: &str = "goals";

/// The first goal that small datacenters miss in a part of their measurements.
#[must_use]
pub fn missed_goal(part: &str) -> Option<Failure> {
    let part = PARTS.iter().find(|it| it.name == part)?;
    let rows = part.measure(&DatacentersEffort::small(), &mut |_| {});
    let row = rows.into_iter().find(|row| row.is_met() == Some(false))?;
    let what = format!("{}: {} {}", row.what, row.measured, row.unit);
    Some(Failure { checker: GOALS, at_micros: 0, what })
}

/// Runs up to `seeds` seeds with a bug switched on, until a checker fires.
#[must_use]
pub fn hunt(mutant: Mutant, seeds: u64, size: Size) -> Caught {
    Mutant::activate(Some(mutant));
    let mut caught = Caught { mutant: format!("{mutant:?}"), seeds, failure: None };
    if let Some((_, part)) = MEASURED.iter().find(|(measured, _)| *measured == mutant) {
        caught.failure = missed_goal(part);
        Mutant::activate(None);
        return Caught { seeds: 1, ..caught };
    }
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
