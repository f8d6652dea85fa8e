//! `bench --processes`.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::{Table, presets};
use hobnob_simulations::processes::{ProcessEffort, ProcessReport, measure, serve};
use humantime::parse_duration;

use super::CommandResult;
use super::output::print;
use super::progress::Progress;

/// Checks of the agent whose beats are counted.
const CHECKS: usize = 2_000;

/// The arguments of `bench` for real processes.
#[derive(Args)]
#[group(skip)]
pub(crate) struct ProcessArguments {
    /// Measure this many real agents on loopback instead, each in its own process (Linux).
    #[arg(long, value_name = "N", conflicts_with_all = ["nodes", "loss", "only", "seed"])]
    pub(super) processes: Option<usize>,
    /// The binary of the agents [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH", requires = "processes")]
    hobnob: Option<PathBuf>,
    /// The time for which the agents are measured at rest.
    #[arg(long, value_name = "TIME", requires = "processes", default_value = "30s")]
    #[arg(value_parser = parse_duration)]
    rest: Duration,
    /// Checked servers to kill, one after the other.
    #[arg(long, value_name = "COUNT", requires = "processes", default_value_t = 60)]
    servers: usize,
}

/// The arguments of a checked server.
#[derive(Args)]
pub(crate) struct ServerArguments {
    /// The address at which it listens.
    address: SocketAddr,
}

pub(super) fn server(arguments: &ServerArguments) -> anyhow::Result<CommandResult> {
    serve(arguments.address).with_context(|| format!("cannot serve {}", arguments.address))?;
    Ok(CommandResult::Green)
}

pub(super) fn bench(
    arguments: &ProcessArguments,
    processes: usize,
    changes: usize,
    kills: usize,
    json: bool,
) -> anyhow::Result<CommandResult> {
    if processes < 2 || changes == 0 || arguments.rest.is_zero() {
        bail!("--processes must be at least 2, --changes at least 1, and --rest longer than zero");
    }
    if !(1..processes).contains(&kills) {
        bail!(
            "--crashes must be at least 1 and less than --processes, since the first agent is never killed"
        );
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let program = env::current_exe()
        .context("this binary cannot be found, which is also the checked servers")?;
    let &ProcessArguments { rest, servers, .. } = arguments;
    let effort = ProcessEffort { processes, changes, kills, servers, checks: CHECKS, rest };
    let mut progress = Progress::new();
    let report = measure(&hobnob, &program, effort, |what| {
        progress.tell(|| format!("{processes} processes: {what}"));
    });
    progress.done();
    let report = report?;
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(&format!("{}\n", table(&report)))?;
    }
    Ok(CommandResult::Green)
}

/// The named binary, else `hobnob` beside this one.
pub(super) fn agent_binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => env::current_exe()
            .context("cannot find this program's own path, beside which `hobnob` is expected: name the binary with --hobnob")
            .map(|path| path.with_file_name("hobnob")),
    }
}

fn table(report: &ProcessReport) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let title = format!("{} processes", report.processes);
    table.set_header([title.as_str(), "goal", "measured", ""]);
    let mut row = |what: &str, unit: &str, digits: usize, measured: f64, goal: Option<f64>| {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let verdict = match goal {
            Some(goal) if measured <= goal => "met",
            Some(_) => "**missed**",
            None => "",
        };
        let goal = goal.map_or(String::new(), |goal| format!("{goal}{unit}"));
        table.add_row([what, &goal, &format!("{measured:.digits$}{unit}"), verdict]);
    };
    let r = report;
    row("join, until all see all", "ms", 0, r.join_ms, Some(1_500.0));
    row("change seen at all agents, p50", "ms", 1, r.change_p50_ms, Some(20.0));
    row("change seen at all agents, p99", "ms", 1, r.change_p99_ms, Some(60.0));
    row("change seen at all agents, worst", "ms", 1, r.change_max_ms, None);
    row("changes not seen by all within 30 s", "", 0, r.changes_lost as f64, Some(0.0));
    row("processor time spent on watching", "%", 0, r.observer_cpu_share * 100.0, None);
    row("`kill -9` known to all others, p50", "ms", 0, r.kill_p50_ms, Some(75.0));
    row("`kill -9` known to all others, p99", "ms", 0, r.kill_p99_ms, Some(150.0));
    row("kills not known to all within 30 s", "", 0, r.kills_lost as f64, Some(0.0));
    row("killed agent back at all, p50", "ms", 0, r.back_p50_ms, None);
    row("checked server killed, offered by none, p50", "ms", 0, r.server_killed_p50_ms, Some(50.0));
    row(
        "checked server killed, offered by none, p99",
        "ms",
        0,
        r.server_killed_p99_ms,
        Some(100.0),
    );
    row("checked server back, offered by all, p50", "ms", 0, r.server_back_p50_ms, Some(60.0));
    row("checked server back, offered by all, p99", "ms", 0, r.server_back_p99_ms, Some(120.0));
    row("such not seen by all within 30 s", "", 0, r.servers_lost as f64, Some(0.0));
    row("2,000 checks a second, largest 100 ms", "x mean", 2, r.largest_slot, Some(1.5));
    row("the same after a restart", "x mean", 2, r.largest_slot_restarted, Some(1.5));
    row("live agents believed down", "", 0, r.false_downs as f64, Some(0.0));
    row("processor at rest, an agent", "%", 2, r.rest_cpu_percent, Some(0.2));
    row("resident memory at rest, an agent", "MiB", 1, r.resident_mib, Some(12.0));
    row("resident memory at rest, the largest", "MiB", 1, r.resident_max_mib, None);
    row("wakeups at rest, an agent", "a second", 1, r.wakeups_per_second, None);
    row("sent at rest, an agent", "B/s", 0, r.bytes_per_second, None);
    row("sent at rest, an agent", "packets/s", 1, r.packets_per_second, None);
    table.to_string()
}
