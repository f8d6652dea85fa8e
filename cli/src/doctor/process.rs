//! The process of the agent, as the system sees it: descriptors and memory.

use std::fs;

use super::finding::Findings;
use crate::terminal::bytes;

/// The share of a limit from which on somebody should look.
const WARN_SHARE: f64 = 0.8;
/// The limit of descriptors below which the agent serves fewer clients and checks.
const FEW: u64 = 1_024;
/// The memory of the host that should be available.
const WARN_AVAILABLE: f64 = 0.05;

/// Looks at a process of this host.
pub(super) fn look(findings: &mut Findings, pid: u32) {
    descriptors(findings, pid);
    memory(findings, pid);
}

fn descriptors(findings: &mut Findings, pid: u32) {
    let Some(limit) = read(pid, "limits").as_deref().and_then(limit_of_files) else {
        return findings.ok("files", "the system does not show the limits of the agent's process");
    };
    let used = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    let told = match &used {
        Ok(used) => format!("{used} of {limit} descriptors in use"),
        Err(_) => format!(
            "at most {limit} descriptors; only the user of the agent sees how many are in use"
        ),
    };
    let share = used.map_or(0.0, |used| used as f64 / limit.max(1) as f64);
    let advice = "raise the hard limit: `ulimit -Hn`, or LimitNOFILE= of systemd";
    if share >= WARN_SHARE || limit < FEW {
        findings.warn("files", told, advice);
    } else {
        findings.ok("files", told);
    }
}

fn memory(findings: &mut Findings, pid: u32) {
    let resident = read(pid, "status").as_deref().and_then(|text| kilobytes(text, "VmRSS:"));
    let host = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let (all, available) = (kilobytes(&host, "MemTotal:"), kilobytes(&host, "MemAvailable:"));
    let (Some(resident), Some(all), Some(available)) = (resident, all, available) else {
        return findings.ok("memory", "the system does not show the memory of the agent's process");
    };
    let kb = |kilobytes: u64| bytes(kilobytes as f64 * 1_024.0);
    let mut told = format!(
        "{} resident; {} of {} available on the host",
        kb(resident),
        kb(available),
        kb(all)
    );
    let cap = read(pid, "cgroup").as_deref().and_then(cap_of);
    if let Some(cap) = cap {
        told = format!("{told}; at most {} for its control group", bytes(cap as f64));
    }
    let is_near = cap.is_some_and(|cap| resident as f64 * 1_024.0 > WARN_SHARE * cap as f64);
    if is_near || (available as f64) < WARN_AVAILABLE * all as f64 {
        findings.warn(
            "memory",
            told,
            "the kernel kills when memory ends: find what takes it, or give the agent more (MemoryMax=)",
        );
    } else {
        findings.ok("memory", told);
    }
}

fn read(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// The soft limit of open files, of `/proc/PID/limits`.
fn limit_of_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A value of `/proc/meminfo` or `/proc/PID/status`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The most bytes that a control group may take, if it has a limit.
fn cap_of(groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let path = format!("/sys/fs/cgroup{}/memory.max", group.trim());
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             7                    7                    processes \n\
                      Max open files            1024                 4096                 files     \n";
        assert_eq!(limit_of_files(limits), Some(1_024));
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t   5120 kB\n", "VmRSS:"), Some(5_120));
        assert_eq!(kilobytes("", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_both() {
        let mut findings = Findings::default();
        look(&mut findings, std::process::id());
        assert!(findings.of("files")[0].found.contains(" descriptors"));
        assert!(findings.of("memory")[0].found.contains(" resident; "));
    }
}
