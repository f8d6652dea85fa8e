//! `swarm`.

use std::ops::Range;

use clap::Args;
use hobnob_simulations::checkers::DETERMINISM;
use hobnob_simulations::run::Outcome;
use hobnob_simulations::swarm::{Size, in_parallel, run_seed};

use super::CommandResult;
use super::output::{print, repeat, summary, tell_failures};
use super::progress::Progress;

/// One seed in this many is run twice, to compare the traces.
const TWICE_EVERY: u64 = 20;

/// The arguments of `swarm`.
#[derive(Args)]
pub(crate) struct SwarmArguments {
    /// The seeds; the last one is excluded.
    #[arg(long, default_value = "0..200", value_parser = parse_range)]
    seeds: Range<u64>,
    /// Seeds that run in parallel.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Hosts in each run.
    #[arg(long, default_value_t = Size::default().nodes)]
    nodes: usize,
    /// Seconds under faults in each run.
    #[arg(long, default_value_t = Size::default().seconds)]
    seconds: u64,
    /// Show a line for each seed, not only for failures.
    #[arg(long)]
    verbose: bool,
    /// Show the results as JSON, one line each.
    #[arg(long)]
    json: bool,
}

pub(super) fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let range =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.filter(|range| !range.is_empty()).ok_or_else(|| "write `0..200`".to_owned())
}

pub(super) fn swarm(arguments: &SwarmArguments) -> anyhow::Result<CommandResult> {
    let size = Size { nodes: arguments.nodes.max(2), seconds: arguments.seconds.max(10) };
    let seeds: Vec<u64> = arguments.seeds.clone().collect();
    let mut progress = Progress::new();
    let (mut finished, mut broken, mut healed) = (0, Vec::new(), Vec::new());
    let mut output = Ok(());
    let mut tell = |_seed, outcome: Outcome| {
        finished += 1;
        healed.extend(outcome.healed_after_ms);
        if output.is_ok() {
            output = tell_one(&outcome, size, arguments);
        }
        if !outcome.is_green() {
            broken.push(outcome.seed);
        }
        let (of, failed) = (seeds.len(), broken.len());
        progress.tell(|| format!("{finished} of {of} seeds, {failed} broken"));
    };
    in_parallel(&seeds, arguments.jobs, |seed| run_checked(seed, size), &mut tell);
    progress.done();
    output?;
    if !arguments.json {
        healed.sort_unstable();
        let at = |share: usize| healed.get(healed.len() * share / 100).copied().unwrap_or(0);
        print(&format!(
            "{finished} seeds of {} nodes and {} s in {:.0} s: {} broken; healed after {} ms (half), {} ms (99 %), {} ms (all)\n",
            size.nodes,
            size.seconds,
            progress.seconds(),
            broken.len(),
            at(50),
            at(99),
            healed.last().copied().unwrap_or(0),
        ))?;
    }
    Ok(if broken.is_empty() { CommandResult::Green } else { CommandResult::Broken })
}

/// Runs a seed. Some are run twice, to check that the seed alone decides.
pub(super) fn run_checked(seed: u64, size: Size) -> Outcome {
    let mut outcome = run_seed(seed, size);
    if seed.is_multiple_of(TWICE_EVERY) {
        let again = run_seed(seed, size);
        if again.trace_hash != outcome.trace_hash {
            let what = format!("traces {} and {}", outcome.trace_hash, again.trace_hash);
            let failure = hobnob_simulations::checkers::Failure {
                checker: DETERMINISM.0,
                at_micros: 0,
                what,
            };
            outcome.failures.push(failure);
        }
    }
    outcome
}

fn tell_one(outcome: &Outcome, size: Size, arguments: &SwarmArguments) -> anyhow::Result<()> {
    if arguments.json {
        return print(&format!("{}\n", serde_json::to_string(outcome)?));
    }
    if arguments.verbose || !outcome.is_green() {
        print(&summary(outcome, None))?;
    }
    if !outcome.is_green() {
        let again =
            format!("replay {} --nodes {} --seconds {}", outcome.seed, size.nodes, size.seconds);
        print(&tell_failures(outcome, &repeat(&again)))?;
    }
    Ok(())
}
