//! `bench rolling`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::rolling::{RollingEffort, measure};

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of `bench rolling`.
#[derive(Args)]
pub(crate) struct RollingArguments {
    /// The binary of the agents [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// An earlier binary: agents are upgraded from it, downgraded to it, and upgraded again.
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// Agents, and as many servers and clients.
    #[arg(long, value_name = "COUNT", default_value_t = 6)]
    agents: usize,
    /// Calls a second of all clients together.
    #[arg(long, value_name = "RATE", default_value_t = 500)]
    calls: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(arguments: &RollingArguments) -> anyhow::Result<CommandResult> {
    if arguments.agents < 2 || arguments.calls == 0 {
        bail!("--agents must be at least 2, and --calls at least 1");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let effort = RollingEffort { agents: arguments.agents, calls_per_second: arguments.calls };
    let mut progress = Progress::new();
    let rows = measure(&hobnob, arguments.before.as_deref(), effort, |what| {
        progress.tell(|| what.to_owned());
    });
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("rolling changes", &rows)))?;
    }
    Ok(CommandResult::Green)
}
