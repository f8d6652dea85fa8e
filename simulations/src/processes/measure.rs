//! The measurements of real agents.

use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::api::Api;
use super::beats::beats;
use super::disturbances::disturb;
use super::exits::Exits;
use super::fleet::Fleet;
use super::report::{ProcessReport, millis, percentile};
use super::rest::rest;
use super::servers::kill_servers;
use super::usage::Usage;
use super::watch::{SeenStatus, Watches, standing};
use super::{ANSWER_TIMEOUT, ProcessError};

/// The interval at which the members of a joining agent are read.
const LOOK: Duration = Duration::from_millis(5);
/// Repair goes on after a change has reached all, so the next change waits for a random part of this.
const BETWEEN_CHANGES: Duration = Duration::from_millis(60);

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEffort {
    /// Agents.
    pub processes: usize,
    /// Whether they are members of a sealed cluster.
    pub is_sealed: bool,
    /// Changes to follow: registrations, and the deregistration of each.
    pub changes: usize,
    /// Agents to kill, one after the other.
    pub kills: usize,
    /// The number of times that a fifth of the agents is killed at once.
    pub bursts: usize,
    /// Agents to kill and start again at once, one after the other.
    pub restarts: usize,
    /// Agents to freeze for some time.
    pub freezes: usize,
    /// Held connections to reset meanwhile.
    pub resets: usize,
    /// Servers to kill, one after the other.
    pub servers: usize,
    /// Checks of one agent whose beats are counted.
    pub checks: usize,
    /// The time for which the agents are measured at rest.
    pub rest: Duration,
}

/// Starts agents, measures them and ends them. `program` is this program, which is also the checked servers. `progress` is
/// told the name of each phase.
///
/// # Errors
/// When agents do not start, do not answer, or do not join.
pub fn measure(
    hobnob: &Path,
    program: &Path,
    effort: ProcessEffort,
    mut progress: impl FnMut(&str),
) -> Result<ProcessReport, ProcessError> {
    let mut fleet = if effort.is_sealed { Fleet::sealed(hobnob)? } else { Fleet::new(hobnob)? };
    progress("joining");
    let (mut agents, addresses, join) = join(&mut fleet, effort.processes)?;
    let mut watches = Watches::new();
    for agent in 0..effort.processes {
        watches.add(&fleet, agent)?;
    }
    let standing: Vec<String> = (0..effort.processes).map(standing).collect();
    for (agent, id) in agents.iter_mut().zip(&standing) {
        agent.register(id)?;
    }
    let incomplete = |agent| ProcessError::Incomplete { agent, what: standing.join(", ") };
    let everybody = 0..effort.processes;
    watches.all_say(everybody, &standing, SeenStatus::Healthy).map_err(incomplete)?;

    progress("changes");
    let (observer, observed) = (Usage::of(process::id())?, cpu_of_all(&fleet)?);
    let changes = changes(&mut watches, &mut agents, effort.changes)?;
    let observer = Usage::of(process::id())?.cpu.saturating_sub(observer.cpu);
    let observed = cpu_of_all(&fleet)?.saturating_sub(observed);

    progress("rest");
    let (rest, serving) = rest(&fleet, &mut agents, effort.rest)?;
    watches.catch_up();

    let servers = kill_servers(program, &mut watches, &mut agents, effort.servers, &mut progress)?;
    watches.catch_up();

    let mut exits = Exits {
        fleet: &mut fleet,
        watches: &mut watches,
        addresses: &addresses,
        progress: &mut progress,
    };
    let kills = exits.kill_each(effort.kills)?;
    let burst = (effort.processes / 5).max(1);
    let bursts = exits.kill_bursts(burst, effort.bursts)?;
    let restarts = exits.restart_each(effort.restarts)?;
    watches.catch_up();

    // Last, since an agent waits about a second before it holds again a connection that was reset.
    agents = (0..effort.processes).map(|agent| fleet.connect(agent)).collect::<Result<_, _>>()?;
    let disturbing = (effort.freezes, effort.resets);
    let disturbances = disturb(&fleet, &mut agents, &addresses, disturbing, &mut progress)?;
    watches.catch_up();
    drop(fleet);

    progress("beats");
    let beats = beats(hobnob, effort.checks)?;
    Ok(ProcessReport {
        processes: effort.processes,
        join_ms: millis(join),
        change_p50_ms: percentile(&changes, 0.5),
        change_p99_ms: percentile(&changes, 0.99),
        change_max_ms: percentile(&changes, 1.0),
        changes_lost: effort.changes - changes.len(),
        observer_cpu_share: observer.as_secs_f64() / (observer + observed).as_secs_f64(),
        kill_p50_ms: percentile(&kills.killed, 0.5),
        kill_p99_ms: percentile(&kills.killed, 0.99),
        kills_lost: effort.kills - kills.killed.len(),
        back_p50_ms: percentile(&kills.back, 0.5),
        burst,
        burst_max_ms: percentile(&bursts.killed, 1.0),
        bursts_lost: effort.bursts - bursts.killed.len(),
        restarts,
        disturbances,
        server_killed_p50_ms: percentile(&servers.killed, 0.5),
        server_killed_p99_ms: percentile(&servers.killed, 0.99),
        server_back_p50_ms: percentile(&servers.back, 0.5),
        server_back_p99_ms: percentile(&servers.back, 0.99),
        servers_lost: 2 * effort.servers - servers.killed.len() - servers.back.len(),
        largest_slot: beats.largest_slot,
        largest_slot_restarted: beats.largest_slot_restarted,
        false_downs: watches.false_downs,
        rest,
        serving,
    })
}

/// Starts the agents, all but the first at once, and waits until each sees all.
pub(crate) fn join(
    fleet: &mut Fleet,
    processes: usize,
) -> Result<(Vec<Api>, Vec<String>, Duration), ProcessError> {
    let began = Instant::now();
    fleet.start(None)?;
    let seed = fleet.connect(0)?.info()?.gossip_address;
    for _ in 1..processes {
        fleet.start(Some(&seed))?;
    }
    // One agent is read until it sees all, then the next, so that reading costs next to nothing.
    let (mut agents, mut addresses) = (Vec::new(), Vec::new());
    for agent in 0..processes {
        let mut api = fleet.connect(agent)?;
        while api.info()?.active_members < processes {
            if began.elapsed() > ANSWER_TIMEOUT {
                let what = format!("all {processes} members");
                return Err(ProcessError::Incomplete { agent, what });
            }
            thread::sleep(LOOK);
        }
        agents.push(api);
    }
    let took = began.elapsed();
    for api in &mut agents {
        addresses.push(api.info()?.gossip_address);
    }
    Ok((agents, addresses, took))
}

/// The time of each change from the call until all watches showed it.
fn changes(
    watches: &mut Watches,
    agents: &mut [Api],
    changes: usize,
) -> Result<Vec<Duration>, ProcessError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let (everybody, mut took) = (agents.len(), Vec::new());
    let mut origin = 0;
    for number in 0..changes {
        let id = [format!("change-{}", number / 2)];
        let began = Instant::now();
        let status = if number % 2 == 0 {
            origin = rng.random_range(0..everybody);
            agents[origin].register(&id[0])?;
            SeenStatus::Healthy
        } else {
            agents[origin].deregister(&id[0])?;
            SeenStatus::Gone
        };
        if let Ok(last) = watches.all_say(0..everybody, &id, status) {
            took.push(last - began);
        }
        thread::sleep(BETWEEN_CHANGES.mul_f64(rng.random_range(0.5..1.0)));
    }
    Ok(took)
}

fn cpu_of_all(fleet: &Fleet) -> Result<Duration, ProcessError> {
    (0..fleet.len()).map(|agent| Ok(Usage::of(fleet.pid(agent))?.cpu)).sum()
}
