//! `run`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use hobnob_simulations::report;
use hobnob_simulations::run::{Outcome, RunOptions};
use hobnob_simulations::swarm::run_caught;
use hobnob_simulations::world::Seal;

use super::CommandResult;
use super::load::load;
use super::output::{limits, print, repeat, summary, tell_failures};
use super::progress::Progress;
use super::trace_file::TraceFile;

/// The arguments of `run`.
#[derive(Args)]
pub(crate) struct RunArguments {
    /// The name of a built-in scenario (see `list`), or the path of a TOML file.
    scenario: String,
    /// The number of hosts [default: the scenario's].
    #[arg(long)]
    nodes: Option<usize>,
    /// The seed [default: the scenario's].
    #[arg(long)]
    seed: Option<u64>,
    /// Seal the cluster, with the fast or the real cryptography [default: the scenario's].
    #[arg(long)]
    seal: Option<Seal>,
    /// Show the result as JSON.
    #[arg(long)]
    json: bool,
    /// Write a report with charts to this file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the trace to this file, one line per event.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Include every packet in the trace.
    #[arg(long, requires = "trace")]
    packets: bool,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<CommandResult> {
    let mut scenario = load(&arguments.scenario)?;
    if let Some(nodes) = arguments.nodes {
        if nodes == 0 {
            bail!("--nodes must be at least 1");
        }
        scenario = scenario.with_nodes(nodes);
    }
    scenario.seal = arguments.seal.unwrap_or(scenario.seal);
    let seed = arguments.seed.unwrap_or(scenario.seed);
    let trace = arguments
        .trace
        .as_ref()
        .map(|path| {
            TraceFile::create(
                path,
                &format!("run {} --nodes {} --seed {seed}", arguments.scenario, scenario.nodes),
            )
        })
        .transpose()?;
    let progress = progress_of(&scenario.name);
    let options = RunOptions {
        recording: arguments.report.is_some(),
        stop_at_failure: false,
        trace: trace.as_ref().map(|trace| trace.sink(arguments.packets)),
        progress: Some(Box::new(progress)),
    };
    let clock = Progress::new();
    let outcome = run_caught(&scenario, seed, options);
    clock.done();
    if let Some(trace) = trace {
        trace.finish(&outcome)?;
    }
    if let (Some(path), Some(recording)) = (&arguments.report, &outcome.recording) {
        let html = report::render(recording, &outcome)?;
        fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tell(&outcome, arguments, clock.seconds())
}

fn tell(
    outcome: &Outcome,
    arguments: &RunArguments,
    seconds: f64,
) -> anyhow::Result<CommandResult> {
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(outcome)?))?;
    } else {
        print(&summary(outcome, Some(seconds)))?;
        print(&limits(outcome))?;
        if !outcome.is_green() {
            let again = format!(
                "run {} --nodes {} --seed {}",
                arguments.scenario, outcome.nodes, outcome.seed
            );
            print(&tell_failures(outcome, &repeat(&again)))?;
        }
    }
    Ok(if outcome.is_green() { CommandResult::Green } else { CommandResult::Broken })
}

/// Shows the progress of a run.
fn progress_of(name: &str) -> impl FnMut(hobnob_membership::Time, hobnob_membership::Time) + use<> {
    let name = name.to_owned();
    let mut progress = Progress::new();
    move |now, end| progress.tell(|| format!("{name}: {now} of {end}"))
}
