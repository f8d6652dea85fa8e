//! `smoke`.

use clap::Args;
use hobnob_simulations::checkers::{DETERMINISM, Failure};
use hobnob_simulations::run::{Outcome, RunOptions};
use hobnob_simulations::scenario::builtins;
use hobnob_simulations::swarm::{Size, in_parallel, run_caught};

use super::CommandResult;
use super::load::load;
use super::output::{print, repeat, summary, tell_failures};
use super::progress::Progress;
use super::swarm::run_checked;

/// The arguments of `smoke`.
#[derive(Args)]
pub(crate) struct SmokeArguments {
    /// Runs in parallel.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The number of seeds of the swarm, from 0.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
}

/// The largest scenario that is run.
const MAX_NODES: usize = 20;
/// The size of the swarm's runs.
const SIZE: Size = Size { nodes: 20, seconds: 60 };

pub(super) fn smoke(arguments: &SmokeArguments) -> anyhow::Result<CommandResult> {
    let names: Vec<&str> = builtins().iter().map(|builtin| builtin.name).collect();
    let scenarios = names.len() as u64;
    // The scenarios come first, then the seeds, under consecutive numbers.
    let numbers: Vec<u64> = (0..scenarios + arguments.seeds).collect();
    let mut progress = Progress::new();
    let mut results = Vec::new();
    let work = |number: u64| -> anyhow::Result<(Outcome, String)> {
        match names.get(number as usize) {
            Some(name) => run_twice(name),
            None => {
                let seed = number - scenarios;
                let again =
                    format!("replay {seed} --nodes {} --seconds {}", SIZE.nodes, SIZE.seconds);
                Ok((run_checked(seed, SIZE), again))
            }
        }
    };
    let done = |number, result| {
        results.push((number, result));
        let (finished, of) = (results.len(), numbers.len());
        progress.tell(|| format!("{finished} of {of} runs"));
    };
    in_parallel(&numbers, arguments.jobs, work, done);
    progress.done();
    results.sort_by_key(|(number, _)| *number);
    let mut broken = 0;
    for (_, result) in results {
        let (outcome, again) = result?;
        print(&summary(&outcome, None))?;
        if !outcome.is_green() {
            broken += 1;
            print(&tell_failures(&outcome, &repeat(&again)))?;
        }
    }
    #[cfg(feature = "mutants")]
    {
        broken += hunt_all(arguments.jobs)?;
    }
    let seconds = progress.seconds();
    print(&format!("{} runs in {seconds:.0} s: {broken} broken\n", numbers.len()))?;
    Ok(if broken == 0 { CommandResult::Green } else { CommandResult::Broken })
}

/// Hunts every known bug at small size, and returns how many escaped.
#[cfg(feature = "mutants")]
fn hunt_all(jobs: usize) -> anyhow::Result<usize> {
    use hobnob_membership::Mutant;
    use hobnob_simulations::swarm::mutants::hunt;
    const SEEDS: u64 = 200;
    let numbers: Vec<u64> = (0..Mutant::ALL.len() as u64).collect();
    let mut caught = Vec::new();
    let work = |number: u64| hunt(Mutant::ALL[number as usize], SEEDS, SIZE);
    in_parallel(&numbers, jobs, work, |_, found| caught.push(found));
    caught.sort_by(|a, b| a.mutant.cmp(&b.mutant));
    for found in &caught {
        let by = found.failure.as_ref().map_or("none: it escaped", |failure| failure.checker);
        print(&format!("bug    {:24} found by {by} with {} seeds\n", found.mutant, found.seeds))?;
    }
    Ok(caught.iter().filter(|found| found.failure.is_none()).count())
}

/// Runs a scenario at small size twice; the traces must be equal.
fn run_twice(name: &str) -> anyhow::Result<(Outcome, String)> {
    let mut scenario = load(name)?;
    if scenario.nodes > MAX_NODES {
        scenario = scenario.with_nodes(MAX_NODES);
    }
    let seed = scenario.seed;
    let mut outcome = run_caught(&scenario, seed, RunOptions::default());
    let again = run_caught(&scenario, seed, RunOptions::default());
    if again.trace_hash != outcome.trace_hash {
        let what = format!("traces {} and {}", outcome.trace_hash, again.trace_hash);
        outcome.failures.push(Failure { checker: DETERMINISM.0, at_micros: 0, what });
    }
    Ok((outcome, format!("run {name} --nodes {} --seed {seed}", scenario.nodes)))
}
