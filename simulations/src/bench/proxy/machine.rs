//! Processors, descriptors and memory, as Linux gives and counts them.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::ProxyBenchError;
use crate::processes::of_threads;

/// A processor for the proxies, and the others for all else.
pub(super) struct Processors {
    proxy: CpuSet,
    others: CpuSet,
}

impl Processors {
    /// Splits the processors that this process may use. This thread and what it starts have the others from now on.
    pub(super) fn split() -> Result<Self, ProxyBenchError> {
        let told = "read the processors of this process";
        let allowed = sched_getaffinity(None).map_err(io::Error::from);
        let allowed = allowed.map_err(ProxyBenchError::at(told))?;
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let [first, rest @ ..] = &numbers[..] else {
            return Err(ProxyBenchError::TooFewProcessors(0));
        };
        if rest.is_empty() {
            return Err(ProxyBenchError::TooFewProcessors(1));
        }
        let (mut proxy, mut others) = (CpuSet::new(), CpuSet::new());
        proxy.set(*first);
        rest.iter().for_each(|cpu| others.set(*cpu));
        stay_on(&others)?;
        Ok(Self { proxy, others })
    }

    /// Starts something on the processor of the proxies: a process inherits the processors of the thread that starts it.
    pub(super) fn on_the_proxies<T, E: From<ProxyBenchError>>(
        &self,
        start: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        stay_on(&self.proxy)?;
        let started = start();
        stay_on(&self.others)?;
        started
    }
}

fn stay_on(processors: &CpuSet) -> Result<(), ProxyBenchError> {
    let told = "choose the processors of a thread";
    sched_setaffinity(None, processors).map_err(io::Error::from).map_err(ProxyBenchError::at(told))
}

/// Raises the limit of descriptors as far as allowed, for this process and what it starts. Returns the limit.
pub(super) fn raise_descriptors() -> Result<u64, ProxyBenchError> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised
        .map_err(io::Error::from)
        .map_err(ProxyBenchError::at("raise the limit of descriptors"))?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// The time for which the threads of a process ran since they began. A thread that ended meanwhile is not in it.
pub(super) fn processor_time(pid: u32) -> Result<Duration, ProxyBenchError> {
    let read = of_threads(pid, "schedstat");
    let total = read.and_then(|stats| stats.iter().map(|stat| ran_for(stat)).sum());
    total.map_err(ProxyBenchError::at(format!("read the processor time of process {pid}")))
}

/// The first of three numbers: nanoseconds on a processor.
fn ran_for(schedstat: &str) -> io::Result<Duration> {
    let nanoseconds = schedstat.split_whitespace().next().and_then(|number| number.parse().ok());
    let time = nanoseconds.map(Duration::from_nanos);
    time.ok_or_else(|| io::Error::other("no time in /proc/PID/task/ID/schedstat"))
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Resident, with all of the pages that it shares.
    pub(super) resident: u64,
    /// Resident, with its part of the pages that it shares.
    pub(super) proportional: u64,
}

impl Memory {
    pub(super) fn of(pid: u32) -> Result<Self, ProxyBenchError> {
        let read = || {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            Ok(Self { resident: field(&rollup, "Rss:")?, proportional: field(&rollup, "Pss:")? })
        };
        read().map_err(ProxyBenchError::at(format!("read the memory of process {pid}")))
    }
}

fn field(rollup: &str, name: &str) -> io::Result<u64> {
    let mut rests = rollup.lines().filter_map(|line| line.strip_prefix(name));
    let number = rests.next().and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("no {name} in /proc/PID/smaps_rollup")))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn times_and_sizes_are_read() {
        assert_eq!(
            ran_for("131193819 381235950 60\n").ok(),
            Some(Duration::from_nanos(131_193_819))
        );
        assert!(ran_for("").is_err());
        let rollup = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:   2048 kB\nPss:   1024 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(field(rollup, "Pss:").ok(), Some(1024 * 1024));
        assert!(field(rollup, "Swap:").is_err());
    }

    #[test]
    fn a_busy_process_uses_time() {
        let pid = std::process::id();
        let (before, since) = (processor_time(pid).unwrap(), Instant::now());
        while processor_time(pid).unwrap() == before {
            assert!(since.elapsed() < Duration::from_secs(30), "a busy process uses no time");
        }
        let memory = Memory::of(pid).unwrap();
        assert!(
            memory.proportional > 100_000 && memory.resident >= memory.proportional,
            "{memory:?}"
        );
    }
}
