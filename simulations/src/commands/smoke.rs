//! `smoke`.

use std::time::Instant;

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
/// One scenario in this many is run twice, to compare the traces.
const TWICE_EVERY: usize = 10;

/// Something that `smoke` does.
#[derive(Clone, Copy)]
enum Work {
    /// Runs a scenario, and once more if asked.
    Scenario { name: &'static str, is_twice: bool },
    /// Runs a seed of the swarm.
    Seed(u64),
    /// Hunts a known bug.
    #[cfg(feature = "mutants")]
    Bug(hobnob_membership::Mutant),
}

/// What came of it, for people, and whether it is as it should be.
struct Done {
    text: String,
    is_good: bool,
}

pub(super) fn smoke(arguments: &SmokeArguments) -> anyhow::Result<CommandResult> {
    let work = all_work(arguments.seeds);
    let numbers: Vec<u64> = (0..work.len() as u64).collect();
    let mut progress = Progress::new();
    let mut results = Vec::new();
    let done = |number, result| {
        results.push((number, result));
        let (finished, of) = (results.len(), numbers.len());
        progress.tell(|| format!("{finished} of {of} runs and hunts"));
    };
    in_parallel(&numbers, arguments.jobs, |number| carry_out(work[number as usize]), done);
    progress.done();
    results.sort_by_key(|(number, _)| *number);
    let mut broken = 0;
    for (_, result) in results {
        let Done { text, is_good } = result?;
        print(&text)?;
        broken += usize::from(!is_good);
    }
    let seconds = progress.seconds();
    print(&format!("{} runs and hunts in {seconds:.0} s: {broken} broken\n", numbers.len()))?;
    Ok(if broken == 0 { CommandResult::Green } else { CommandResult::Broken })
}

/// All that is done. Hunts come first: one that goes on for long ends while there is other work.
fn all_work(seeds: u64) -> Vec<Work> {
    let mut work = Vec::new();
    #[cfg(feature = "mutants")]
    work.extend(hobnob_membership::Mutant::ALL.iter().map(|mutant| Work::Bug(*mutant)));
    let scenarios = builtins().iter().enumerate().map(|(number, builtin)| Work::Scenario {
        name: builtin.name,
        is_twice: number.is_multiple_of(TWICE_EVERY),
    });
    work.extend(scenarios);
    work.extend((0..seeds).map(Work::Seed));
    work
}

fn carry_out(work: Work) -> anyhow::Result<Done> {
    let started = Instant::now();
    let (text, is_good) = match work {
        Work::Scenario { name, is_twice } => {
            let (outcome, again) = run_scenario(name, is_twice)?;
            told(&outcome, &again, started)
        }
        Work::Seed(seed) => {
            let again = format!("replay {seed} --nodes {} --seconds {}", SIZE.nodes, SIZE.seconds);
            told(&run_checked(seed, SIZE), &again, started)
        }
        #[cfg(feature = "mutants")]
        Work::Bug(mutant) => hunted(mutant),
    };
    Ok(Done { text, is_good })
}

fn told(outcome: &Outcome, again: &str, started: Instant) -> (String, bool) {
    let mut text = summary(outcome, Some(started.elapsed().as_secs_f64()));
    if !outcome.is_green() {
        text += &tell_failures(outcome, &repeat(again));
    }
    (text, outcome.is_green())
}

/// Hunts a known bug at small size.
#[cfg(feature = "mutants")]
fn hunted(mutant: hobnob_membership::Mutant) -> (String, bool) {
    use hobnob_simulations::swarm::mutants::hunt;
    const SEEDS: u64 = 200;
    let found = hunt(mutant, SEEDS, SIZE);
    let by = found.failure.as_ref().map_or("none: it escaped", |failure| failure.checker);
    let finder = found.finder.as_deref().unwrap_or("nothing");
    let text = format!(
        "bug    {:24} found by {by} in {finder}, run {}, after {:.1} s\n",
        found.mutant, found.runs, found.seconds
    );
    (text, found.failure.is_some())
}

/// Runs a scenario at small size. If it is run twice, the traces must be equal.
fn run_scenario(name: &str, is_twice: bool) -> anyhow::Result<(Outcome, String)> {
    let mut scenario = load(name)?;
    if scenario.nodes > MAX_NODES {
        scenario = scenario.with_nodes(MAX_NODES);
    }
    let seed = scenario.seed;
    let mut outcome = run_caught(&scenario, seed, RunOptions::default());
    if is_twice {
        let again = run_caught(&scenario, seed, RunOptions::default());
        if again.trace_hash != outcome.trace_hash {
            let what = format!("traces {} and {}", outcome.trace_hash, again.trace_hash);
            outcome.failures.push(Failure { checker: DETERMINISM.0, at_micros: 0, what });
        }
    }
    Ok((outcome, format!("run {name} --nodes {} --seed {seed}", scenario.nodes)))
}
