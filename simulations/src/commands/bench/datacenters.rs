//! `bench datacenters`.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hobnob_simulations::bench::datacenters::{DatacentersEffort, PARTS};
use hobnob_simulations::scenario::Span;
use hobnob_simulations::world::Seal;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::progress::Progress;

/// The arguments of `bench datacenters`.
#[derive(Args)]
pub(crate) struct DatacentersArguments {
    /// Datacenters.
    #[arg(long, value_name = "N", default_value_t = 10)]
    datacenters: usize,
    /// Agents in each datacenter.
    #[arg(long, value_name = "N", default_value_t = 100)]
    agents: usize,
    /// Instances of each agent.
    #[arg(long, value_name = "N", default_value_t = 1)]
    instances: usize,
    /// Changes to follow at each loss.
    #[arg(long, value_name = "N", default_value_t = 500)]
    changes: usize,
    /// Loss inside of datacenters, in percent.
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    lan_loss: Vec<f64>,
    /// Loss between datacenters, in percent.
    #[arg(long, default_value_t = 1.0)]
    wan_loss: f64,
    /// One-way latency between datacenters, in ms.
    #[arg(long, default_value_t = 40)]
    latency: u64,
    /// Changes on each side of a cut of a minute.
    #[arg(long, default_value_t = 10_000)]
    storm: usize,
    /// The length of the long cut.
    #[arg(long, default_value = "1h", value_parser = span)]
    cut: Duration,
    /// Days over bad links.
    #[arg(long, default_value_t = 0.1)]
    days: f64,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Start with agents that know each other, instead of a join. At sizes at which a join takes hours, the rest can be measured
    /// so.
    #[arg(long, conflicts_with = "seal")]
    settled: bool,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seal the cluster, with the fast or the real cryptography.
    #[arg(long, default_value = "none")]
    seal: Seal,
    /// List the parts.
    #[arg(long)]
    list: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0)
}

pub(super) fn bench(arguments: &DatacentersArguments) -> anyhow::Result<CommandResult> {
    if arguments.list {
        let lines = PARTS.iter().map(|part| format!("{:12} {}\n", part.name, part.about));
        print(&lines.collect::<String>())?;
        return Ok(CommandResult::Green);
    }
    if arguments.datacenters < 2 || arguments.agents == 0 {
        bail!("--datacenters must be at least 2, and --agents at least 1");
    }
    if let Some(unknown) = arguments.only.iter().find(|it| PARTS.iter().all(|p| p.name != **it)) {
        bail!("there is no part `{unknown}`; `--list` names them");
    }
    let effort = DatacentersEffort {
        datacenters: arguments.datacenters,
        agents: arguments.agents,
        instances: arguments.instances.max(1),
        changes: arguments.changes,
        lan_losses: arguments.lan_loss.iter().map(|percent| percent / 100.0).collect(),
        wan_loss: arguments.wan_loss / 100.0,
        latency: Duration::from_millis(arguments.latency),
        storm: arguments.storm,
        long_cut: arguments.cut,
        days: arguments.days,
        is_settled: arguments.settled,
        seed: arguments.seed,
        seal: arguments.seal,
    };
    let mut progress = Progress::new();
    let mut rows = Vec::new();
    let is_asked =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|o| o == name);
    for part in PARTS.iter().filter(|part| is_asked(part.name)) {
        let mut told = |what: &str| progress.tell(|| format!("{}: {what}", part.name));
        rows.extend(part.measure(&effort, &mut told));
    }
    progress.done();
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        let (datacenters, agents) = (effort.datacenters, effort.agents);
        let title = format!("{datacenters} datacenters of {agents} agents, seed {}", effort.seed);
        print(&format!("{}\n", rows_table(&title, &rows)))?;
    }
    Ok(CommandResult::Green)
}
