//! `bench registry`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::registry::{RegistryEffort, measure};
use humantime::parse_duration;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of `bench registry`.
#[derive(Args)]
pub(crate) struct RegistryArguments {
    /// The binary of the agents [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// Instances in the small catalog.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    small: usize,
    /// Instances in the large catalog.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    large: usize,
    /// Registrations, for each catalog.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    registrations: usize,
    /// Discoveries, for each catalog.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    discoveries: usize,
    /// Picks, for each catalog.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    picks: usize,
    /// Checks of one agent; 0 measures none.
    #[arg(long, value_name = "COUNT", default_value_t = 5_000)]
    checks: usize,
    /// Time between two probes of a check.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    interval: Duration,
    /// The duration for which the checks are measured.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    lasts: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(arguments: &RegistryArguments) -> anyhow::Result<CommandResult> {
    let &RegistryArguments { small, large, registrations, discoveries, picks, .. } = arguments;
    if small < 20 || large <= small {
        bail!("--small must be at least 20, and --large larger");
    }
    if [registrations, discoveries, picks].contains(&0) {
        bail!("--registrations, --discoveries and --picks must be at least 1");
    }
    let Some(checks) = Some(arguments.checks).filter(|checks| *checks <= 30_000) else {
        bail!("--checks must be at most 30000, for one agent has them all");
    };
    if arguments.interval < Duration::from_secs(1) || arguments.lasts < Duration::from_secs(1) {
        bail!("--interval and --lasts must be at least 1s");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let effort = RegistryEffort {
        catalogs: [small, large],
        registrations,
        discoveries,
        picks,
        checks,
        interval: arguments.interval,
        lasts: arguments.lasts,
    };
    let mut progress = Progress::new();
    let rows = measure(&hobnob, &effort, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("the registry", &rows)))?;
    }
    Ok(CommandResult::Green)
}
