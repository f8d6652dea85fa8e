//! `bench --processes`.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::{Table, presets};
use hobnob_simulations::processes::{
    DisturbanceReport, ProcessEffort, ProcessReport, measure, serve,
};
use humantime::parse_duration;

use super::CommandResult;
use super::output::print;
use super::progress::Progress;

/// Checks of the agent whose beats are counted.
const CHECKS: usize = 2_000;
/// The number of times that a fifth of the agents is killed at once.
const BURSTS: usize = 3;
/// Agents that are killed and started again at once.
const RESTARTS: usize = 20;
/// Agents that are frozen for some time.
const FREEZES: usize = 100;
/// Held connections that are reset meanwhile.
const RESETS: usize = 300;

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
    /// The agents are members of a sealed cluster.
    #[arg(long, requires = "processes")]
    sealed: bool,
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
    if kills == 0 {
        bail!("--crashes must be at least 1");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let program = env::current_exe()
        .context("this binary cannot be found, which is also the checked servers")?;
    let &ProcessArguments { rest, servers, sealed: is_sealed, .. } = arguments;
    let effort = ProcessEffort {
        processes,
        is_sealed,
        changes,
        kills,
        bursts: BURSTS,
        restarts: RESTARTS,
        freezes: FREEZES,
        resets: RESETS,
        servers,
        checks: CHECKS,
        rest,
    };
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
    let mut rows = Rows::new(report.processes);
    speed(&mut rows, report);
    survival(&mut rows, report);
    rest(&mut rows, report);
    rows.0.to_string()
}

/// The rows of a table.
struct Rows(Table);

impl Rows {
    fn new(processes: usize) -> Self {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([&format!("{processes} processes"), "goal", "measured", ""]);
        Self(table)
    }

    fn add(&mut self, what: &str, unit: &str, digits: usize, measured: f64, goal: Option<f64>) {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let verdict = match goal {
            Some(goal) if measured <= goal => "met",
            Some(_) => "**missed**",
            None => "",
        };
        let goal = goal.map_or(String::new(), |goal| format!("{goal}{unit}"));
        self.0.add_row([what, &goal, &format!("{measured:.digits$}{unit}"), verdict]);
    }

    /// A count that must be zero, or the reason why it was not measured.
    fn none(&mut self, what: &str, counted: Result<f64, &str>) {
        match counted {
            Ok(counted) => self.add(what, "", 0, counted, Some(0.0)),
            Err(reason) => {
                self.0.add_row([what, "0", "not measured", reason]);
            }
        }
    }
}

/// How fast changes, and deaths, are known.
fn speed(rows: &mut Rows, r: &ProcessReport) {
    let mut row = |what: &str, unit: &str, digits: usize, measured: f64, goal: Option<f64>| {
        rows.add(what, unit, digits, measured, goal);
    };
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
    let burst = format!("{} killed at once, known to all survivors, worst", r.burst);
    row(&burst, "ms", 0, r.burst_max_ms, Some(500.0));
    row("bursts not known to all within 30 s", "", 0, r.bursts_lost as f64, Some(0.0));
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
    row("servers not seen by all within 30 s", "", 0, r.servers_lost as f64, Some(0.0));
    row("2,000 checks a second, largest 100 ms", "x mean", 2, r.largest_slot, Some(1.5));
    row("the same after a restart", "x mean", 2, r.largest_slot_restarted, Some(1.5));
}

/// Disturbances that must not be taken for deaths.
fn survival(rows: &mut Rows, r: &ProcessReport) {
    let restarts = &r.restarts;
    let of = format!("of {}", restarts.made);
    rows.add(
        "agent killed and restarted, port answers again, p50",
        "ms",
        0,
        restarts.dead_p50_ms,
        None,
    );
    rows.add(
        "of these, restarts whose port answered within 30 ms",
        &of,
        0,
        restarts.quick as f64,
        None,
    );
    let hidden_by = match restarts.quick {
        0 => Err(format!("the quickest took {:.0} ms", restarts.dead_min_ms)),
        _ => Ok(restarts.quick_hidden_by as f64),
    };
    let hidden_by = hidden_by.as_ref().map(|count| *count).map_err(String::as_str);
    rows.none("agents that hid instances of these", hidden_by);
    rows.add(
        "agents that hid instances of the slower ones",
        "",
        0,
        restarts.slow_hidden_by as f64,
        None,
    );
    let DisturbanceReport { freezes, resets, resets_refused, hints, acquitted, convicted } =
        &r.disturbances;
    if let Some(reason) = resets_refused {
        let needs = format!("{reason}: that needs root, and CONFIG_INET_DIAG_DESTROY");
        rows.0.add_row(["held connections reset", "", &resets.to_string(), &needs]);
    }
    let disturbed =
        format!("{resets} resets and {freezes} freezes of 50 to 900 ms: hints of an exit");
    rows.add(&disturbed, "", 0, *hints as f64, None);
    rows.add("hints closed by a sign of life", "", 0, *acquitted as f64, None);
    rows.none("members called down for a hint", Ok(*convicted as f64));
    rows.none("live agents believed down, over all", Ok(r.false_downs as f64));
}

fn rest(rows: &mut Rows, ProcessReport { rest, serving, .. }: &ProcessReport) {
    let mut row = |what: &str, unit: &str, digits: usize, measured: f64, goal: Option<f64>| {
        rows.add(what, unit, digits, measured, goal);
    };
    row("processor at rest, an agent", "%", 2, rest.cpu_percent, Some(0.2));
    row("resident memory at rest, an agent", "MiB", 1, rest.resident_mib, Some(12.0));
    row("resident memory at rest, the largest", "MiB", 1, rest.resident_max_mib, None);
    row("wakeups at rest, an agent", "a second", 1, rest.wakeups_per_second, None);
    row("sent at rest, an agent", "B/s", 0, rest.bytes_per_second, None);
    row("sent at rest, an agent", "packets/s", 1, rest.packets_per_second, None);
    row("with 10 local services: processor", "%", 2, serving.cpu_percent, Some(0.25));
    row("with 10 local services: resident memory", "MiB", 1, serving.resident_mib, Some(12.5));
    row("with 10 local services: wakeups", "a second", 1, serving.wakeups_per_second, None);
}
