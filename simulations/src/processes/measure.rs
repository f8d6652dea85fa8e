//! The measurements of real agents.

use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::api::{Api, Info};
use super::beats::beats;
use super::fleet::Fleet;
use super::servers::kill_servers;
use super::usage::Usage;
use super::watch::{SeenStatus, Watches};
use super::{ANSWER_TIMEOUT, ProcessError};

/// The interval at which the members of a joining agent are read.
const LOOK: Duration = Duration::from_millis(5);
/// Repair goes on after a change has reached all, so the next change waits for a random part of this.
const BETWEEN_CHANGES: Duration = Duration::from_millis(60);
/// The pause after a killed agent is back.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);
/// The time until the agents count as at rest.
const SETTLE: Duration = Duration::from_secs(10);

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEffort {
    /// Agents.
    pub processes: usize,
    /// Changes to follow: registrations, and the deregistration of each.
    pub changes: usize,
    /// Agents to kill, one after the other.
    pub kills: usize,
    /// Servers to kill, one after the other.
    pub servers: usize,
    /// Checks of one agent whose beats are counted.
    pub checks: usize,
    /// The time for which the agents are measured at rest.
    pub rest: Duration,
}

/// The measurements. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessReport {
    /// Agents.
    pub processes: usize,
    /// From the start of the first agent until all see all.
    pub join_ms: f64,
    /// From a call until the watches of all agents show the change; the median.
    pub change_p50_ms: f64,
    /// The same at the 99th percentile.
    pub change_p99_ms: f64,
    /// The largest of these.
    pub change_max_ms: f64,
    /// Changes that some agent did not show in time.
    pub changes_lost: usize,
    /// The share of all processor time that went into watching while changes were measured.
    pub observer_cpu_share: f64,
    /// From a kill until all other agents believe it down; the median.
    pub kill_p50_ms: f64,
    /// The same at the 99th percentile; with fewer than a hundred kills, the largest.
    pub kill_p99_ms: f64,
    /// Kills that some agent did not notice in time.
    pub kills_lost: usize,
    /// From the restart of a killed agent until all see its instance again; the median.
    pub back_p50_ms: f64,
    /// From a kill of a checked server until no agent offers it; the median.
    pub server_killed_p50_ms: f64,
    /// The same at the 99th percentile.
    pub server_killed_p99_ms: f64,
    /// From the time that it listens again until all agents offer it; the median.
    pub server_back_p50_ms: f64,
    /// The same at the 99th percentile.
    pub server_back_p99_ms: f64,
    /// Kills and returns of servers that some agent did not notice in time.
    pub servers_lost: usize,
    /// The most probes of one agent with many checks that begin within 100 ms, as a multiple of the mean.
    pub largest_slot: f64,
    /// The same from its restart on.
    pub largest_slot_restarted: f64,
    /// The number of times that an agent believed a live one down.
    pub false_downs: u64,
    /// Processor time of an agent at rest, in percent of one core.
    pub rest_cpu_percent: f64,
    /// Resident memory of an agent at rest.
    pub resident_mib: f64,
    /// The same for the largest agent.
    pub resident_max_mib: f64,
    /// Wake-ups of an agent's threads per second at rest.
    pub wakeups_per_second: f64,
    /// Bytes that an agent sends per second at rest, without IP and UDP headers.
    pub bytes_per_second: f64,
    /// Datagrams that an agent sends per second at rest.
    pub packets_per_second: f64,
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
    let mut fleet = Fleet::new(hobnob)?;
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
    thread::sleep(SETTLE);
    let rest = rest(&fleet, &mut agents, effort.rest)?;
    watches.catch_up();

    progress("servers");
    let servers = kill_servers(program, &mut watches, &mut agents, effort.servers)?;
    watches.catch_up();

    progress("kills");
    let (kills, back) = kills(&mut fleet, &mut watches, &addresses, effort.kills)?;
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
        kill_p50_ms: percentile(&kills, 0.5),
        kill_p99_ms: percentile(&kills, 0.99),
        kills_lost: effort.kills - kills.len(),
        back_p50_ms: percentile(&back, 0.5),
        server_killed_p50_ms: percentile(&servers.killed, 0.5),
        server_killed_p99_ms: percentile(&servers.killed, 0.99),
        server_back_p50_ms: percentile(&servers.back, 0.5),
        server_back_p99_ms: percentile(&servers.back, 0.99),
        servers_lost: 2 * effort.servers - servers.killed.len() - servers.back.len(),
        largest_slot: beats.largest_slot,
        largest_slot_restarted: beats.largest_slot_restarted,
        false_downs: watches.false_downs,
        rest_cpu_percent: rest.cpu_percent,
        resident_mib: rest.resident_mib,
        resident_max_mib: rest.resident_max_mib,
        wakeups_per_second: rest.wakeups_per_second,
        bytes_per_second: rest.bytes_per_second,
        packets_per_second: rest.packets_per_second,
    })
}

/// The id of the instance that an agent keeps all the time.
fn standing(agent: usize) -> String {
    format!("standing-{agent}")
}

/// Starts the agents, all but the first at once, and waits until each sees all.
fn join(
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

struct Rest {
    cpu_percent: f64,
    resident_mib: f64,
    resident_max_mib: f64,
    wakeups_per_second: f64,
    bytes_per_second: f64,
    packets_per_second: f64,
}

fn rest(fleet: &Fleet, agents: &mut [Api], time: Duration) -> Result<Rest, ProcessError> {
    let (before, used, began) = (infos(agents)?, usages(fleet)?, Instant::now());
    thread::sleep(time);
    let (using, seconds) = (usages(fleet)?, began.elapsed().as_secs_f64());
    let after = infos(agents)?;
    let rate = |total: u64| total as f64 / seconds / fleet.len() as f64;
    let spent = |of: fn(&Usage) -> u64| -> u64 {
        using.iter().zip(&used).map(|(now, then)| of(now).saturating_sub(of(then))).sum()
    };
    let sent = |of: fn(&Info) -> u64| -> u64 {
        after.iter().zip(&before).map(|(now, then)| of(now).saturating_sub(of(then))).sum()
    };
    const MIB: f64 = 1024.0 * 1024.0;
    let resident = using.iter().map(|usage| usage.resident_bytes as f64 / MIB);
    Ok(Rest {
        cpu_percent: rate(spent(|usage| usage.cpu.as_micros() as u64)) / 1e6 * 100.0,
        resident_mib: resident.clone().sum::<f64>() / using.len() as f64,
        resident_max_mib: resident.fold(0.0, f64::max),
        wakeups_per_second: rate(spent(|usage| usage.wakeups)),
        bytes_per_second: rate(sent(Info::bytes_sent)),
        packets_per_second: rate(sent(Info::packets_sent)),
    })
}

/// The times until all others noticed each kill, and until all saw the killed agent's instance again.
fn kills(
    fleet: &mut Fleet,
    watches: &mut Watches,
    addresses: &[String],
    kills: usize,
) -> Result<(Vec<Duration>, Vec<Duration>), ProcessError> {
    let (everybody, mut noticed, mut back) = (addresses.len(), Vec::new(), Vec::new());
    for number in 0..kills {
        // The first agent is spared: the others join through it.
        let victim = 1 + number * (everybody - 1) / kills;
        let id = [standing(victim)];
        watches.catch_up();
        let began = Instant::now();
        fleet.kill(victim);
        let others = (0..everybody).filter(|agent| *agent != victim);
        if let Ok(last) = watches.all_say(others, &id, SeenStatus::Unknown) {
            noticed.push(last - began);
        }
        let began = Instant::now();
        fleet.restart(victim, &addresses[victim], &addresses[0])?;
        watches.add(fleet, victim)?;
        if let Ok(last) = watches.all_say(0..everybody, &id, SeenStatus::Healthy) {
            back.push(last - began);
        }
        thread::sleep(BETWEEN_KILLS);
    }
    Ok((noticed, back))
}

fn infos(agents: &mut [Api]) -> Result<Vec<Info>, ProcessError> {
    agents.iter_mut().map(Api::info).collect()
}

fn usages(fleet: &Fleet) -> Result<Vec<Usage>, ProcessError> {
    (0..fleet.len()).map(|agent| Usage::of(fleet.pid(agent))).collect()
}

fn cpu_of_all(fleet: &Fleet) -> Result<Duration, ProcessError> {
    Ok(usages(fleet)?.iter().map(|usage| usage.cpu).sum())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The time that this share of the times does not exceed; infinite without times.
fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(f64::INFINITY, |time| millis(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), 50.0);
        assert_eq!(percentile(&times, 0.99), 99.0);
        assert_eq!(percentile(&times, 1.0), 100.0);
        assert_eq!(percentile(&times[..1], 0.5), 100.0);
        assert_eq!(percentile(&[], 0.5), f64::INFINITY);
    }
}
