//! Strong reads and writes of real agents, beside plain ones of the same agents.
//!
//! The first agents are the voters. Clients ask the others, so that each strong request crosses to the voters. Plain and strong
//! requests alternate, so that a busy machine slows both alike.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::calls::Calls;
use super::goals::quantile;
use super::registry::RegistryBenchError;
use super::row::{Goal, Row};
use crate::processes::{Fleet, Usage, join};

/// Instances of each service.
const INSTANCES_PER_SERVICE: usize = 5;
/// The longest wait for voters, in milliseconds.
const WITHIN_MS: u64 = 5_000;

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct StrongEffort {
    /// Agents.
    pub agents: usize,
    /// Those of them that are voters: 3 or 5.
    pub voters: usize,
    /// Writes of each kind.
    pub writes: usize,
    /// Reads of each kind.
    pub reads: usize,
    /// Services that are read.
    pub services: usize,
    /// Strong reads in a second.
    pub rate: u32,
    /// Connections that make them.
    pub connections: usize,
    /// The duration for which they are measured.
    pub lasts: Duration,
}

/// Measures agents of the binary `hobnob`. `told` hears how far it is.
///
/// # Errors
/// An agent cannot be started or asked, or a strong request fails.
pub fn measure(
    hobnob: &Path,
    effort: StrongEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, RegistryBenchError> {
    told(&format!("{} agents, {} voters", effort.agents, effort.voters));
    let mut fleet = Fleet::new(hobnob)?;
    drop(join(&mut fleet, effort.agents)?);
    let socket = fleet.socket(0).display().to_string();
    let names: Vec<String> = (0..effort.voters).map(|voter| format!("agent-{voter}")).collect();
    let mut set = vec!["--socket", &socket, "voters", "set", "--timeout", "30s"];
    set.extend(names.iter().map(String::as_str));
    fleet.run(&set)?;
    let clients: Vec<usize> = (effort.voters..effort.agents).collect();
    for client in &clients {
        await_voters(&fleet, *client)?;
    }
    fill(&fleet, &clients, effort)?;
    let mut rows = Vec::new();
    told("writes and reads, one at a time");
    one_at_a_time(&fleet, &clients, effort, &mut rows)?;
    told(&format!("{} strong reads a second", effort.rate));
    under_load(&fleet, &clients, effort, &mut rows)?;
    Ok(rows)
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

/// Waits until an agent was told of the voters.
fn await_voters(fleet: &Fleet, agent: usize) -> Result<(), RegistryBenchError> {
    let mut calls = Calls::connect(&fleet.socket(agent))?;
    let read = json!({ "resolve": { "service": "none", "consistency": "strong", "consistency_timeout_ms": WITHIN_MS } });
    let began = Instant::now();
    while let Err(refused) = calls.call(&read, "\"instances\":") {
        if began.elapsed() > Duration::from_secs(30) {
            return Err(refused);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn register(service: usize, number: usize, port: usize, is_strong: bool) -> serde_json::Value {
    let service = self::service(service);
    let (id, port) = (format!("{service}-{number}"), 1 + port % 65_000);
    match is_strong {
        false => json!({ "register": { "service": service, "id": id, "port": port } }),
        true => json!({ "register": { "service": service, "id": id, "port": port,
            "consistency": "strong", "consistency_timeout_ms": WITHIN_MS } }),
    }
}

fn resolve(service: usize, is_strong: bool) -> serde_json::Value {
    let service = self::service(service);
    match is_strong {
        false => json!({ "resolve": { "service": service } }),
        true => json!({ "resolve": { "service": service, "consistency": "strong",
            "consistency_timeout_ms": WITHIN_MS } }),
    }
}

fn fill(fleet: &Fleet, clients: &[usize], effort: StrongEffort) -> Result<(), RegistryBenchError> {
    for number in 0..INSTANCES_PER_SERVICE {
        let client = clients[number % clients.len()];
        let mut calls = Calls::connect(&fleet.socket(client))?;
        for service in 0..effort.services {
            calls.call(&register(service, number, 1, true), "\"registered\"")?;
        }
    }
    Ok(())
}

/// Calls that alternate between plain and strong ones. Returns the latencies of each kind in microseconds.
fn alternate(
    calls: &mut Calls,
    count: usize,
    expected: &'static str,
    request: impl Fn(usize, bool) -> serde_json::Value,
) -> Result<[Vec<f64>; 2], RegistryBenchError> {
    let mut latencies = [Vec::new(), Vec::new()];
    for number in 0..count {
        for (is_strong, latencies) in [false, true].into_iter().zip(&mut latencies) {
            let took = calls.call(&request(number, is_strong), expected)?;
            latencies.push(took.as_secs_f64() * 1e6);
        }
    }
    Ok(latencies)
}

fn one_at_a_time(
    fleet: &Fleet,
    clients: &[usize],
    effort: StrongEffort,
    rows: &mut Vec<Row>,
) -> Result<(), RegistryBenchError> {
    let (first, last) = (clients[0], clients[clients.len() - 1]);
    let mut calls = Calls::connect(&fleet.socket(first))?;
    // Instances of services that nobody reads, each with another port than before.
    let writes = alternate(&mut calls, effort.writes, "\"registered\"", |number, is_strong| {
        let service = effort.services + usize::from(is_strong);
        register(service, number % 16, 2 + number, is_strong)
    })?;
    let mut calls = Calls::connect(&fleet.socket(last))?;
    let reads = alternate(&mut calls, effort.reads, "\"instances\":[{", |number, is_strong| {
        resolve(number % effort.services, is_strong)
    })?;
    for (what, latencies, goals) in [
        ("register", &writes, [Some(Goal::AtMost(3.0)), Some(Goal::AtMost(6.0))]),
        ("resolve", &reads, [None, None]),
    ] {
        for ((name, share), goal) in [("p50", 0.5), ("p99", 0.99)].into_iter().zip(goals) {
            let [plain, strong] =
                latencies.each_ref().map(|one| quantile(one, share).unwrap_or(f64::NAN));
            let note = format!("{} calls", latencies[0].len());
            rows.push(Row::new(format!("plain {what}, {name}"), plain, "us").note(&note));
            let row = Row::new(format!("strong {what}, {name}"), strong, "us").note(&note);
            let is_read = what == "resolve" && name == "p50";
            rows.push(if is_read { row.goal(Goal::AtMost(1_000.0)) } else { row });
            let ratio = Row::new(format!("{what}, strong over plain, {name}"), strong / plain, "x");
            rows.push(match goal {
                Some(goal) => ratio.goal(goal),
                None => ratio,
            });
        }
    }
    Ok(())
}

/// Strong reads at an even rate, and what they cost each voter.
fn under_load(
    fleet: &Fleet,
    clients: &[usize],
    effort: StrongEffort,
    rows: &mut Vec<Row>,
) -> Result<(), RegistryBenchError> {
    let between = Duration::from_secs(1) * effort.connections as u32 / effort.rate;
    let usage = || {
        (0..effort.voters).map(|voter| Usage::of(fleet.pid(voter))).collect::<Result<Vec<_>, _>>()
    };
    let failed = AtomicUsize::new(0);
    let (before, began) = (usage()?, Instant::now());
    let read = |connection: usize| -> Result<Vec<f64>, RegistryBenchError> {
        let mut calls = Calls::connect(&fleet.socket(clients[connection % clients.len()]))?;
        let mut latencies = Vec::new();
        let first = began + between * connection as u32 / effort.connections as u32;
        for number in 0.. {
            let due = first + between * number as u32;
            if due > began + effort.lasts {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = resolve((connection + number) % effort.services, true);
            if calls.call(&request, "\"instances\":[{").is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            // From the moment at which it was due, so that a late call counts with what delayed it.
            latencies.push(due.elapsed().as_secs_f64() * 1e6);
        }
        Ok(latencies)
    };
    let latencies = thread::scope(|scope| {
        let readers =
            (0..effort.connections).map(|connection| scope.spawn(move || read(connection)));
        let readers: Vec<_> = readers.collect();
        let mut all = Vec::new();
        for reader in readers {
            all.extend(reader.join().expect("a reader does not panic")?);
        }
        Ok::<_, RegistryBenchError>(all)
    })?;
    let (lasted, after) = (began.elapsed().as_secs_f64(), usage()?);
    let shares = before
        .iter()
        .zip(&after)
        .map(|(before, after)| 100.0 * (after.cpu - before.cpu).as_secs_f64() / lasted);
    let shares: Vec<f64> = shares.collect();
    let most = shares.iter().copied().fold(0.0, f64::max);
    let note = format!("{} connections, {} services", effort.connections, effort.services);
    rows.push(
        Row::new("strong reads under load", latencies.len() as f64 / lasted, "/s").note(&note),
    );
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let latency = quantile(&latencies, share).unwrap_or(f64::NAN);
        rows.push(Row::new(format!("strong reads under load, {name}"), latency, "us"));
    }
    let failed = failed.into_inner() as f64;
    rows.push(Row::new("strong reads under load that failed", failed, "").goal(Goal::AtMost(0.0)));
    let row = Row::new("the busiest voter", most, "% of a core");
    let told: Vec<String> = shares.iter().map(|share| format!("{share:.0}")).collect();
    rows.push(row.goal(Goal::AtMost(30.0)).note(&told.join(", ")));
    Ok(())
}
