//! `mutants`.

use clap::Args;
use comfy_table::{Table, presets};
use hobnob_membership::Mutant;
use hobnob_simulations::swarm::mutants::{Caught, Finder, hunt, hunt_in};
use hobnob_simulations::swarm::{Size, in_parallel};

use super::CommandResult;
use super::output::print;
use super::progress::Progress;

/// The arguments of `mutants`.
#[derive(Args)]
pub(crate) struct MutantsArguments {
    /// Bugs that are hunted in parallel.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The largest number of seeds for each bug.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Hosts in each run.
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// Seconds under faults in each run.
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Only bugs whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Only this run: `seed 4`, `scenario crash`, `measurement storm`.
    #[arg(long, value_name = "RUN")]
    finder: Option<Finder>,
    /// Show the results as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn mutants(arguments: &MutantsArguments) -> anyhow::Result<CommandResult> {
    let size = Size { nodes: arguments.nodes.max(2), seconds: arguments.seconds.max(10) };
    let wanted = |number: &u64| {
        let name = format!("{:?}", Mutant::ALL[*number as usize]);
        arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    };
    let numbers: Vec<u64> = (0..Mutant::ALL.len() as u64).filter(wanted).collect();
    let mut progress = Progress::new();
    let mut results: Vec<(u64, Caught)> = Vec::new();
    let work = |number: u64| {
        let mutant = Mutant::ALL[number as usize];
        match arguments.finder {
            Some(finder) => hunt_in(mutant, std::iter::once(finder), size),
            None => hunt(mutant, arguments.seeds, size),
        }
    };
    let done = |number, caught| {
        results.push((number, caught));
        let (found, of) = (results.len(), numbers.len());
        progress.tell(|| format!("{found} of {of} bugs hunted"));
    };
    in_parallel(&numbers, arguments.jobs, work, done);
    progress.done();
    results.sort_by_key(|(number, _)| *number);
    let escaped = results.iter().filter(|(_, caught)| caught.failure.is_none()).count();
    let results: Vec<Caught> = results.into_iter().map(|(_, caught)| caught).collect();
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&results)?))?;
    } else {
        print(&format!("{}\n", table(&results)))?;
        let seconds = progress.seconds();
        print(&format!("{} bugs in {seconds:.0} s: {escaped} escaped\n", results.len()))?;
    }
    Ok(if escaped == 0 { CommandResult::Green } else { CommandResult::Broken })
}

fn table(results: &[Caught]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["bug", "runs", "found in", "s", "checker", "failure"]);
    for caught in results {
        let (checker, what) = match &caught.failure {
            Some(failure) => (failure.checker, failure.what.as_str()),
            None => ("none", "it escaped"),
        };
        let finder = caught.finder.as_deref().unwrap_or_default();
        let (runs, seconds) = (caught.runs.to_string(), format!("{:.1}", caught.seconds));
        table.add_row([&caught.mutant, &runs, finder, &seconds, checker, what]);
    }
    table
}
