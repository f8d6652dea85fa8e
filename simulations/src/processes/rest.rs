//! The cost of agents at rest, some of which have checked local services.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::ProcessError;
use super::api::{Api, Info, infos};
use super::fleet::Fleet;
use super::report::RestReport;
use super::usage::Usage;
use super::watch::CHECKED;

/// Checked local services of an agent that has some.
const SERVICES: usize = 10;
/// The largest number of agents that have some. With more of them, the unit of processor times matters less.
const MAX_SERVING: usize = 5;
/// The time until the agents count as at rest.
const SETTLE: Duration = Duration::from_secs(10);

/// Measures all agents for so long: those without local services, and some with ten of them.
pub(super) fn rest(
    fleet: &Fleet,
    agents: &mut [Api],
    time: Duration,
) -> Result<(RestReport, RestReport), ProcessError> {
    let count = agents.len();
    let serving = count - (count / 10).clamp(1, MAX_SERVING)..count;
    let services = services().map_err(ProcessError::Server)?;
    let id = |agent: usize, number: usize| format!("{CHECKED}{agent}-{number}");
    for agent in serving.clone() {
        for (number, address) in services.iter().enumerate() {
            agents[agent].register_checked(&id(agent, number), *address)?;
        }
    }
    thread::sleep(SETTLE);
    // The question for information is outside of the time for which usage counts.
    let before = infos(agents)?;
    let (used, began) = (usages(fleet)?, Instant::now());
    thread::sleep(time);
    let (using, seconds) = (usages(fleet)?, began.elapsed().as_secs_f64());
    let after = infos(agents)?;
    let costs = |(usage, info)| Cost { usage, info };
    let before: Vec<Cost> = used.into_iter().zip(before).map(costs).collect();
    let after: Vec<Cost> = using.into_iter().zip(after).map(costs).collect();
    for agent in serving.clone() {
        for number in 0..SERVICES {
            agents[agent].deregister(&id(agent, number))?;
        }
    }
    let report = |agents: Range<usize>| mean(&before[agents.clone()], &after[agents], seconds);
    Ok((report(0..serving.start), report(serving)))
}

/// Servers on loopback that take connections and close them, for as long as this process lives.
fn services() -> std::io::Result<Vec<SocketAddr>> {
    let service = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::Builder::new().spawn(move || listener.incoming().for_each(drop))?;
        Ok(address)
    };
    (0..SERVICES).map(service).collect()
}

struct Cost {
    usage: Usage,
    info: Info,
}

fn usages(fleet: &Fleet) -> Result<Vec<Usage>, ProcessError> {
    (0..fleet.len()).map(|agent| Usage::of(fleet.pid(agent))).collect()
}

fn mean(before: &[Cost], after: &[Cost], seconds: f64) -> RestReport {
    let spent = |of: fn(&Cost) -> u64| -> f64 {
        let both = after.iter().zip(before);
        let total: u64 = both.map(|(now, then)| of(now).saturating_sub(of(then))).sum();
        total as f64 / seconds / after.len() as f64
    };
    const MIB: f64 = 1024.0 * 1024.0;
    let resident = after.iter().map(|cost| cost.usage.resident_bytes as f64 / MIB);
    RestReport {
        cpu_percent: spent(|cost| cost.usage.cpu.as_micros() as u64) / 1e6 * 100.0,
        resident_mib: resident.clone().sum::<f64>() / after.len() as f64,
        resident_max_mib: resident.fold(0.0, f64::max),
        wakeups_per_second: spent(|cost| cost.usage.wakeups),
        bytes_per_second: spent(|cost| cost.info.bytes_sent()),
        packets_per_second: spent(|cost| cost.info.packets_sent()),
    }
}
