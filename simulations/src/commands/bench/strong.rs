//! `bench strong`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::strong::{StrongEffort, measure};
use humantime::parse_duration;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of `bench strong`.
#[derive(Args)]
pub(crate) struct StrongBenchArguments {
    /// The binary of the agents [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// Agents.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    agents: usize,
    /// Those of them that are voters: 3 or 5.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    voters: usize,
    /// Writes of each kind, plain and strong.
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    writes: usize,
    /// Reads of each kind.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    reads: usize,
    /// Services that are read.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    services: usize,
    /// Strong reads in a second.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    rate: u32,
    /// Connections that make them.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    connections: usize,
    /// The duration for which they are measured.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    lasts: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(arguments: &StrongBenchArguments) -> anyhow::Result<CommandResult> {
    let &StrongBenchArguments {
        agents,
        voters,
        writes,
        reads,
        services,
        rate,
        connections,
        lasts,
        ..
    } = arguments;
    if ![3, 5].contains(&voters) || agents <= voters || agents > 200 {
        bail!("--voters must be 3 or 5, and --agents more, and at most 200");
    }
    if [writes, reads, services, connections].contains(&0) || rate == 0 {
        bail!("--writes, --reads, --services, --rate and --connections must be at least 1");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let effort = StrongEffort { agents, voters, writes, reads, services, rate, connections, lasts };
    let mut progress = Progress::new();
    let rows = measure(&hobnob, effort, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("strong requests", &rows)))?;
    }
    Ok(CommandResult::Green)
}
