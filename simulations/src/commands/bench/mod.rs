//! `bench`.

mod datacenters;
mod doors;
mod proxy;
mod registry;
mod rolling;
mod soak;
mod strong;

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use hobnob_simulations::bench::compare::{
    self, Comparison, ComparisonEffort, FocaCluster, HobnobCluster,
};
use hobnob_simulations::bench::goals::{Measurement, SECTIONS, Setting};
use hobnob_simulations::world::Seal;
use serde_json::json;

use super::output::{print, rounded};
use super::progress::Progress;
use super::{CommandResult, processes, sealed, socket};

/// The section that compares Hobnob with plain foca.
const COMPARE: &str = "compare";

/// The arguments of `bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    part: Option<BenchPart>,
    #[command(flatten)]
    real: processes::ProcessArguments,
    /// Numbers of agents [default: 100,1000; in the section `compare`: 100,300,1000].
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<usize>,
    /// Loss in percent, for sections that measure at several.
    #[arg(long, value_delimiter = ',', default_value = "0,5,25")]
    loss: Vec<f64>,
    /// Only these sections; `--list` names them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// All sections but these.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// List the sections.
    #[arg(long)]
    list: bool,
    /// Changes to follow [default: 500, or 100 with --processes].
    #[arg(long)]
    changes: Option<usize>,
    /// Changes in the section `delivery`.
    #[arg(long, default_value_t = 100_000)]
    deliveries: usize,
    /// Crashes to follow [default: 40, or 30 with --processes].
    #[arg(long)]
    crashes: Option<usize>,
    /// Agents that pause for the first time, in the section `onsets`.
    #[arg(long, default_value_t = 50)]
    onsets: usize,
    /// Minutes over which false downs are counted, and length of the longer cut of `halves`.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Only this protocol, in the section `compare`.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seal the clusters, with the fast or the real cryptography.
    #[arg(long, default_value = "none")]
    seal: Seal,
    /// Show the measurements as JSON.
    #[arg(long)]
    json: bool,
}

/// Measurements of their own.
#[derive(Subcommand)]
enum BenchPart {
    /// Measure picks over the unix socket of a real agent, beside a bare echo (Linux).
    Socket(socket::SocketArguments),
    /// Measure DNS queries to a real agent over UDP (Linux).
    Dns(doors::DoorArguments),
    /// Measure questions over HTTP to a real agent, beside its unix socket, and questions that wait (Linux).
    Http(doors::DoorArguments),
    /// Measure the console of an agent of 10,000 instances while others change (Linux).
    Console(doors::DoorArguments),
    /// Measure registrations, discoveries and picks beside 1,000 and 100,000 instances, and many checks (Linux).
    Registry(registry::RegistryArguments),
    /// Measure strong reads and writes of real agents, beside plain ones (Linux).
    Strong(strong::StrongBenchArguments),
    /// Count the calls that fail while services are deployed, and agents restarted and upgraded, in turn (Linux).
    Rolling(rolling::RollingArguments),
    /// Measure `hobnob proxy` beside HAProxy, nginx and Envoy, and under servers that fail (Linux, two processors).
    Proxy(proxy::ProxyArguments),
    /// Watch memory, descriptors and disk of real agents over hours of churn (Linux).
    Soak(soak::SoakArguments),
    /// Measure many datacenters in virtual time.
    Datacenters(Box<datacenters::DatacentersArguments>),
    /// Measure orders and hostile datagrams at real agents of a sealed cluster (Linux, as root).
    Sealed(sealed::SealedArguments),
    /// The echo that `socket` measures beside the agent.
    #[command(hide = true)]
    Echo(socket::EchoArguments),
    /// The servers behind the proxies that `proxy` measures.
    #[command(hide = true)]
    Upstream(proxy::UpstreamArguments),
    /// A server that agents check while `--processes` measures them.
    #[command(hide = true)]
    Server(processes::ServerArguments),
}

/// The protocols that are compared.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Hobnob's protocol.
    Hobnob,
    /// Plain foca.
    Foca,
}

/// The default of `--changes`.
const CHANGES: usize = 500;
/// The default of `--crashes`.
const CRASHES: usize = 40;

pub(super) fn bench(arguments: &BenchArguments) -> anyhow::Result<CommandResult> {
    match &arguments.part {
        Some(BenchPart::Socket(arguments)) => return socket::bench(arguments),
        Some(BenchPart::Dns(arguments)) => return doors::bench_dns(arguments),
        Some(BenchPart::Http(arguments)) => return doors::bench_http(arguments),
        Some(BenchPart::Console(arguments)) => return doors::bench_console(arguments),
        Some(BenchPart::Registry(arguments)) => return registry::bench(arguments),
        Some(BenchPart::Strong(arguments)) => return strong::bench(arguments),
        Some(BenchPart::Rolling(arguments)) => return rolling::bench(arguments),
        Some(BenchPart::Proxy(arguments)) => return proxy::bench(arguments),
        Some(BenchPart::Upstream(arguments)) => return proxy::upstream(arguments),
        Some(BenchPart::Soak(arguments)) => return soak::bench(arguments),
        Some(BenchPart::Datacenters(arguments)) => return datacenters::bench(arguments),
        Some(BenchPart::Sealed(arguments)) => return sealed::bench(arguments),
        Some(BenchPart::Echo(arguments)) => return socket::echo(arguments),
        Some(BenchPart::Server(arguments)) => return processes::server(arguments),
        None => {}
    }
    if let Some(agents) = arguments.real.processes {
        let (changes, kills) = (arguments.changes.unwrap_or(100), arguments.crashes.unwrap_or(30));
        return processes::bench(&arguments.real, agents, changes, kills, arguments.json);
    }
    if arguments.list {
        let lines =
            SECTIONS.iter().map(|section| format!("{:12} {}\n", section.name, section.about));
        let compare =
            format!("{COMPARE:12} what plain foca can do as well, with foca beside Hobnob\n");
        print(&lines.chain([compare]).collect::<String>())?;
        return Ok(CommandResult::Green);
    }
    check(arguments)?;
    let mut progress = Progress::new();
    let measurements = goals(arguments, &mut progress);
    let rows =
        if wants(arguments, COMPARE) { compared(arguments, &mut progress) } else { Vec::new() };
    progress.done();
    if arguments.json {
        let all = json!({ "goals": measurements, "compare": rows });
        print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        return Ok(CommandResult::Green);
    }
    let mut text = String::new();
    if !measurements.is_empty() {
        writeln!(text, "Seed {}.\n\n{}", arguments.seed, goal_table(&measurements))?;
    }
    if !rows.is_empty() {
        writeln!(text, "\n{}", compare_table(&rows, compare_minutes(arguments)))?;
    }
    print(&text)?;
    Ok(CommandResult::Green)
}

fn check(arguments: &BenchArguments) -> anyhow::Result<()> {
    let known = |name: &String| name == COMPARE || SECTIONS.iter().any(|known| known.name == name);
    if let Some(unknown) = arguments.only.iter().chain(&arguments.skip).find(|name| !known(name)) {
        bail!("there is no section {unknown}; see bench --list");
    }
    if arguments.nodes.iter().any(|nodes| *nodes < 10) {
        bail!("--nodes must be at least 10");
    }
    let counts = [arguments.changes, arguments.crashes];
    let counts = counts.into_iter().flatten().chain([arguments.deliveries, arguments.onsets]);
    if counts.min() == Some(0) || arguments.minutes == 0 {
        bail!("--changes, --deliveries, --crashes, --onsets and --minutes must be at least 1");
    }
    if arguments.loss.iter().any(|loss| !(0.0..100.0).contains(loss)) {
        bail!("--loss is in percent, from 0 to less than 100");
    }
    Ok(())
}

fn wants(arguments: &BenchArguments, section: &str) -> bool {
    let named = |names: &[String]| names.iter().any(|name| name == section);
    (arguments.only.is_empty() || named(&arguments.only)) && !named(&arguments.skip)
}

fn nodes<'a>(arguments: &'a BenchArguments, default: &'a [usize]) -> &'a [usize] {
    if arguments.nodes.is_empty() { default } else { &arguments.nodes }
}

fn goals(arguments: &BenchArguments, progress: &mut Progress) -> Vec<Measurement> {
    let mut measurements = Vec::new();
    for nodes in nodes(arguments, &[100, 1_000]) {
        let setting = Setting {
            nodes: *nodes,
            losses: arguments.loss.iter().map(|percent| percent / 100.0).collect(),
            seed: arguments.seed,
            changes: arguments.changes.unwrap_or(CHANGES),
            deliveries: arguments.deliveries,
            crashes: arguments.crashes.unwrap_or(CRASHES),
            minutes: arguments.minutes,
            onsets: arguments.onsets,
            seal: arguments.seal,
        };
        for section in SECTIONS.iter().filter(|section| wants(arguments, section.name)) {
            let name = section.name;
            let began = progress.seconds();
            let mut told = |what: &str| progress.tell(|| format!("{name}, {nodes} agents: {what}"));
            let measured = section.measure(&setting, &mut told);
            let took = progress.seconds() - began;
            progress.note(&format!("{name}, {nodes} agents: measured in {took:.0} s"));
            for one in &measured {
                progress.note(&format!("  {}: {}{}", one.what, number(one), verdict(one)));
            }
            measurements.extend(measured);
        }
    }
    measurements
}

/// A measured number with its unit.
fn number(measurement: &Measurement) -> String {
    let Some(measured) = measurement.measured else { return "never".into() };
    format!("{} {}", rounded(measured), measurement.unit).trim_end().to_owned()
}

fn verdict(measurement: &Measurement) -> &'static str {
    match measurement.is_met() {
        Some(true) => " (met)",
        Some(false) => " (MISSED)",
        None => "",
    }
}

fn goal_table(measurements: &[Measurement]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["what", "agents", "loss %", "measured", "goal", "", "remarks"]);
    for one in measurements {
        table.add_row([
            one.what.clone(),
            one.nodes.to_string(),
            format!("{:.0}", one.loss * 100.0),
            number(one),
            one.goal.map_or(String::new(), rounded),
            one.is_met().map_or("", |met| if met { "met" } else { "**missed**" }).to_owned(),
            one.note.clone(),
        ]);
    }
    table.to_string()
}

/// Minutes over which false downs are compared: a sixth of those for the goals, since plain foca has many.
fn compare_minutes(arguments: &BenchArguments) -> u64 {
    arguments.minutes.div_ceil(6)
}

fn compared(arguments: &BenchArguments, progress: &mut Progress) -> Vec<Comparison> {
    let effort = ComparisonEffort {
        changes: u16::try_from(arguments.changes.unwrap_or(CHANGES).min(20)).unwrap_or(20),
        crashes: arguments.crashes.unwrap_or(CRASHES).min(5),
        minutes: compare_minutes(arguments),
        seed: arguments.seed,
    };
    let mut rows = Vec::new();
    for nodes in nodes(arguments, &[100, 300, 1_000]) {
        for loss in &arguments.loss {
            let began = progress.seconds();
            let mut told = |protocol: &str, what: &str| {
                progress.tell(|| format!("{protocol}, {nodes} agents, {loss} % loss: {what}"));
            };
            let share = loss / 100.0;
            if arguments.protocol != Some(Protocol::Foca) {
                let told = |what: &str| told("hobnob", what);
                rows.push(compare::measure::<HobnobCluster>(*nodes, share, effort, told));
            }
            if arguments.protocol != Some(Protocol::Hobnob) {
                let told = |what: &str| told("plain foca", what);
                rows.push(compare::measure::<FocaCluster>(*nodes, share, effort, told));
            }
            let took = progress.seconds() - began;
            let spent = format!("compare, {nodes} agents, {loss} % loss: measured in {took:.0} s");
            progress.note(&spent);
        }
    }
    rows
}

fn compare_table(rows: &[Comparison], minutes: u64) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let downs = format!("false downs in {minutes} min");
    let slow = "with 5 % slow";
    table.set_header([
        "protocol",
        "agents",
        "loss %",
        "join s",
        "change 50 % ms",
        "99 % ms",
        "all ms",
        "all, worst",
        "intervals",
        "lost",
        "copies",
        "crash first s",
        "half s",
        "all s",
        &downs,
        slow,
        "B/s at rest",
        "heal s",
    ]);
    let ms = |time: Option<u64>| time.map_or("never".to_owned(), |ms| ms.to_string());
    let s =
        |time: Option<u64>| time.map_or("never".to_owned(), |ms| format!("{:.1}", ms as f64 / 1e3));
    for row in rows {
        table.add_row([
            row.protocol.clone(),
            row.nodes.to_string(),
            format!("{:.0}", row.loss * 100.0),
            s(row.join_ms),
            ms(row.change_half_ms),
            ms(row.change_99_ms),
            ms(row.change_all_ms),
            ms(row.change_all_worst_ms),
            row.change_all_intervals.map_or("never".into(), |intervals| format!("{intervals:.2}")),
            row.changes_lost.to_string(),
            format!("{:.1}", row.copies),
            s(row.crash_first_ms),
            s(row.crash_half_ms),
            s(row.crash_all_ms),
            row.false_downs.to_string(),
            row.false_downs_slow.to_string(),
            format!("{:.0}", row.rest_bytes_per_second),
            s(row.heal_ms),
        ]);
    }
    table.to_string()
}
