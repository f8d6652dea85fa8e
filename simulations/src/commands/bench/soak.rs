//! `bench soak`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::soak::{SHORTEST, SoakEffort, measure};
use humantime::parse_duration;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of `bench soak`.
#[derive(Args)]
pub(crate) struct SoakArguments {
    /// The binary of the agents [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// Agents. One of them is killed and restarted all the time, and not watched.
    #[arg(long, value_name = "COUNT", default_value_t = 6)]
    agents: usize,
    /// The duration.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    lasts: Duration,
    /// Registrations, changes and deregistrations a second.
    #[arg(long, value_name = "RATE", default_value_t = 20)]
    changes: u32,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(arguments: &SoakArguments) -> anyhow::Result<CommandResult> {
    if arguments.agents < 3 || arguments.changes == 0 {
        bail!("--agents must be at least 3, and --changes at least 1");
    }
    if arguments.lasts < SHORTEST {
        bail!("--for must be at least {SHORTEST:?}");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let effort = SoakEffort {
        agents: arguments.agents,
        lasts: arguments.lasts,
        changes_per_second: arguments.changes,
    };
    let mut progress = Progress::new();
    let rows = measure(&hobnob, effort, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("the soak", &rows)))?;
    }
    Ok(CommandResult::Green)
}
