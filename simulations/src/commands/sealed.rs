//! `bench sealed`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::sealed::{SealedEffort, measure};

use super::CommandResult;
use super::output::{print, rows_table};
use super::processes::agent_binary;
use super::progress::Progress;

/// The arguments of `bench sealed`.
#[derive(Args)]
pub(crate) struct SealedArguments {
    /// The binary of the agents [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// Agents that get the orders of an operator.
    #[arg(long, value_name = "N", default_value_t = 50)]
    processes: usize,
    /// Hostile datagrams.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    datagrams: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(arguments: &SealedArguments) -> anyhow::Result<CommandResult> {
    let &SealedArguments { processes, datagrams, .. } = arguments;
    if processes < 3 || datagrams == 0 {
        bail!("--processes must be at least 3, and --datagrams at least 1");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let effort = SealedEffort { processes, datagrams };
    let mut progress = Progress::new();
    let rows = measure(&hobnob, effort, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("a sealed cluster", &rows)))?;
    }
    Ok(CommandResult::Green)
}
