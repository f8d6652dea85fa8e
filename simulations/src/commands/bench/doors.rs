//! `bench dns`, `bench http` and `bench console`: the doors of an agent that others ask.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::Row;
use hobnob_simulations::bench::{console, dns, http};
use humantime::parse_duration;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of each.
#[derive(Args)]
pub(crate) struct DoorArguments {
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

pub(super) fn bench_dns(arguments: &DoorArguments) -> anyhow::Result<CommandResult> {
    bench(arguments, "DNS", |hobnob, load, told| dns::measure(hobnob, load, told))
}

pub(super) fn bench_http(arguments: &DoorArguments) -> anyhow::Result<CommandResult> {
    bench(arguments, "HTTP", |hobnob, load, told| http::measure(hobnob, load, told))
}

pub(super) fn bench_console(arguments: &DoorArguments) -> anyhow::Result<CommandResult> {
    bench(arguments, "the console", |hobnob, load, told| console::measure(hobnob, load, told))
}

fn bench<E: Error + Send + Sync + 'static>(
    arguments: &DoorArguments,
    title: &str,
    measure: impl FnOnce(&Path, Duration, &mut dyn FnMut(&str)) -> Result<Vec<Row>, E>,
) -> anyhow::Result<CommandResult> {
    if arguments.load < Duration::from_secs(1) {
        bail!("--load must be at least 1s");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let mut progress = Progress::new();
    let rows = measure(&hobnob, arguments.load, &mut |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table(title, &rows)))?;
    }
    Ok(CommandResult::Green)
}
