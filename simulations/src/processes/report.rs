//! The results of the measurements of real agents.

use std::time::Duration;

use serde::Serialize;

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
    /// Agents that are killed at once.
    pub burst: usize,
    /// From the first of these kills until all survivors believe all of them down; the largest of some bursts.
    pub burst_max_ms: f64,
    /// Bursts that some agent did not notice in time.
    pub bursts_lost: usize,
    /// Agents that are killed and started again at once.
    pub restarts: RestartReport,
    /// Agents that are disturbed and live on.
    pub disturbances: DisturbanceReport,
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
    /// Agents at rest without local services.
    pub rest: RestReport,
    /// Some agents at rest beside them, with ten checked local services each.
    pub serving: RestReport,
}

/// The cost of an agent at rest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RestReport {
    /// Processor time of an agent, in percent of one core.
    pub cpu_percent: f64,
    /// Resident memory of an agent.
    pub resident_mib: f64,
    /// The same for the largest agent.
    pub resident_max_mib: f64,
    /// Wake-ups of an agent's threads per second.
    pub wakeups_per_second: f64,
    /// Bytes that an agent sends per second, without IP and UDP headers.
    pub bytes_per_second: f64,
    /// Datagrams that an agent sends per second.
    pub packets_per_second: f64,
}

/// Agents that are killed and started again at once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RestartReport {
    /// Restarts.
    pub made: usize,
    /// From a kill until the port answers again; the median.
    pub dead_p50_ms: f64,
    /// The shortest of these.
    pub dead_min_ms: f64,
    /// Restarts whose port answered again so soon that nobody may notice.
    pub quick: usize,
    /// Agents that stopped offering the instance of a quick restart, over all of these.
    pub quick_hidden_by: usize,
    /// The same of all other restarts.
    pub slow_hidden_by: usize,
}

/// Agents that are disturbed and live on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DisturbanceReport {
    /// Processes that were stopped and continued.
    pub freezes: usize,
    /// Held connections that were reset.
    pub resets: usize,
    /// The kernel's reason to reset none: that takes root, and `CONFIG_INET_DIAG_DESTROY`.
    pub resets_refused: Option<String>,
    /// Held connections that agents saw close.
    pub hints: u64,
    /// Cases that such a hint opened, and that a sign of life closed.
    pub acquitted: u64,
    /// Members that an agent called down in such a case.
    pub convicted: u64,
}

/// The times until all noticed, of processes that were killed and of those that came back.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    pub(super) killed: Vec<Duration>,
    pub(super) back: Vec<Duration>,
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The time that this share of the times does not exceed; infinite without times.
pub(super) fn percentile(times: &[Duration], share: f64) -> f64 {
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
