//! `replay`.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use hobnob_simulations::run::RunOptions;
use hobnob_simulations::swarm::{self, Size, run_caught};

use super::CommandResult;
use super::load::load;
use super::output::{print, repeat, summary, tell_failures};
use super::trace_file::{FOOTER, HEADER, TraceFile};

/// The arguments of `replay`.
#[derive(Args)]
pub(crate) struct ReplayArguments {
    /// A seed of the swarm, or a trace file of `run --trace` or `replay --trace`.
    what: String,
    /// Hosts in the run of the seed.
    #[arg(long, default_value_t = Size::default().nodes)]
    nodes: usize,
    /// Seconds under faults in the run of the seed.
    #[arg(long, default_value_t = Size::default().seconds)]
    seconds: u64,
    /// Write the trace to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    trace: Option<std::path::PathBuf>,
    /// Include every packet.
    #[arg(long)]
    packets: bool,
    /// Show only the result, without a trace.
    #[arg(long)]
    quiet: bool,
    /// Show only the scenario of the seed, as TOML.
    #[arg(long)]
    scenario: bool,
}

pub(super) fn replay(arguments: &ReplayArguments) -> anyhow::Result<CommandResult> {
    if let Ok(seed) = arguments.what.parse::<u64>() {
        return replay_seed(seed, arguments);
    }
    replay_trace(Path::new(&arguments.what))
}

fn replay_seed(seed: u64, arguments: &ReplayArguments) -> anyhow::Result<CommandResult> {
    let size = Size { nodes: arguments.nodes.max(2), seconds: arguments.seconds.max(10) };
    let scenario = swarm::scenario(seed, size);
    if arguments.scenario {
        print(&toml::to_string(&scenario)?)?;
        return Ok(CommandResult::Green);
    }
    let command = format!("replay {seed} --nodes {} --seconds {}", size.nodes, size.seconds);
    let trace = match &arguments.trace {
        _ if arguments.quiet => None,
        Some(path) => Some(TraceFile::create(path, &command)?),
        None => Some(TraceFile::to(Box::new(std::io::stdout()), &command)?),
    };
    let options = RunOptions {
        trace: trace.as_ref().map(|trace| trace.sink(arguments.packets)),
        ..RunOptions::default()
    };
    let outcome = run_caught(&scenario, seed, options);
    if let Some(trace) = trace {
        trace.finish(&outcome)?;
    }
    eprint!("{}", summary(&outcome, None));
    if outcome.is_green() {
        return Ok(CommandResult::Green);
    }
    eprint!("{}", tell_failures(&outcome, &repeat(&command)));
    Ok(CommandResult::Broken)
}

/// Repeats the run of a trace, and compares the hashes.
fn replay_trace(path: &Path) -> anyhow::Result<CommandResult> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| {
        format!("`{shown}` is neither a seed of the swarm nor a readable trace file")
    })?;
    let Some(command) = text.lines().next().and_then(|line| line.strip_prefix(HEADER)) else {
        bail!("{shown} does not begin with `{HEADER}`: it is not a trace of this simulator");
    };
    let Some(hash) = text.lines().last().and_then(|line| line.strip_prefix(FOOTER)) else {
        bail!("{shown} does not end with `{FOOTER}`: its run was interrupted");
    };
    let words: Vec<&str> = command.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().context("the first line of the trace is damaged");
    let (scenario, seed) = match words[..] {
        ["run", name, "--nodes", nodes, "--seed", seed] => {
            (load(name)?.with_nodes(number(nodes)? as usize), number(seed)?)
        }
        ["replay", seed, "--nodes", nodes, "--seconds", seconds] => {
            let size = Size { nodes: number(nodes)? as usize, seconds: number(seconds)? };
            (swarm::scenario(number(seed)?, size), number(seed)?)
        }
        _ => bail!("{shown} is the trace of an unknown command: {command}"),
    };
    let outcome = run_caught(&scenario, seed, RunOptions::default());
    print(&summary(&outcome, None))?;
    if !outcome.is_green() {
        print(&tell_failures(&outcome, &repeat(command)))?;
    }
    if outcome.trace_hash != hash {
        print(&format!(
            "  the trace file has another hash: {hash}. Either the program has changed since, or it is not deterministic.\n"
        ))?;
        return Ok(CommandResult::Broken);
    }
    Ok(if outcome.is_green() { CommandResult::Green } else { CommandResult::Broken })
}
