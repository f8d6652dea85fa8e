//! `bench http`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::http::measure;
use humantime::parse_duration;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of `bench http`.
#[derive(Args)]
pub(crate) struct HttpArguments {
    /// The binary of the agent [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// The duration of each measurement.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    load: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(arguments: &HttpArguments) -> anyhow::Result<CommandResult> {
    if arguments.load < Duration::from_secs(1) {
        bail!("--load must be at least 1s");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let mut progress = Progress::new();
    let rows = measure(&hobnob, arguments.load, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("HTTP", &rows)))?;
    }
    Ok(CommandResult::Green)
}
