//! Memory, descriptors and disk of real agents over hours in which instances and an agent come and go.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::row::{Goal, Row};
use crate::processes::{Api, Fleet, ProcessError, Usage};

/// The shortest soak that says something: each quarter has some samples.
pub const SHORTEST: Duration = Duration::from_secs(120);
/// Time between two samples.
const SAMPLE: Duration = Duration::from_secs(5);
/// Time between two kills of the last agent.
const KILL: Duration = Duration::from_secs(20);
/// Instances of each agent, most of which are registered at any time.
const INSTANCES: usize = 200;
/// Services that they belong to.
const SERVICES: usize = 20;
/// Growth from the second quarter to the last one that counts as flat, in percent.
const FLAT_PERCENT: f64 = 5.0;
const MIB: f64 = 1024.0 * 1024.0;

/// The extent of the soak.
#[derive(Clone, Copy, Debug)]
pub struct SoakEffort {
    /// Agents. The last one is killed and restarted all the time.
    pub agents: usize,
    /// The duration.
    pub lasts: Duration,
    /// Registrations, changes and deregistrations a second.
    pub changes_per_second: u32,
}

/// Makes agents of the binary `hobnob` work, and compares what they hold in the second quarter and in the last one. `told`
/// hears how far it is.
///
/// # Errors
/// An agent fails.
pub fn measure(
    hobnob: &Path,
    effort: SoakEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, ProcessError> {
    let mut fleet = Fleet::new(hobnob)?;
    let mut addresses = Vec::<String>::new();
    for agent in 0..effort.agents {
        fleet.start(addresses.first().map(String::as_str))?;
        addresses.push(fleet.connect(agent)?.info()?.gossip_address);
    }
    let churned = effort.agents - 1;
    let (since, mut samples) = (Instant::now(), Vec::new());
    let (mut next_sample, mut next_kill) = (SAMPLE, KILL);
    let mut churn = Churn::new(&fleet, churned)?;
    let mut kills = 0;
    while since.elapsed() < effort.lasts {
        churn.change(&fleet)?;
        let due = Duration::from_secs(churn.changes) / effort.changes_per_second;
        thread::sleep(due.saturating_sub(since.elapsed()));
        if since.elapsed() >= next_kill {
            fleet.kill(churned);
            fleet.restart(churned, &addresses[churned], &addresses[0])?;
            kills += 1;
            next_kill += KILL;
        }
        if since.elapsed() >= next_sample {
            let sample: Result<Vec<Held>, _> =
                (0..churned).map(|agent| Held::of(&fleet, agent)).collect();
            samples.push(sample?);
            next_sample += SAMPLE;
            told(&format!(
                "{} s, {} changes, {kills} kills",
                since.elapsed().as_secs(),
                churn.changes
            ));
        }
    }
    let mut rows = compare(&samples);
    let changes = Row::new("registrations, changes and deregistrations", churn.changes as f64, "");
    rows.push(changes.note(&format!("in {} s, and {kills} kills", since.elapsed().as_secs())));
    Ok(rows)
}

/// Clients that change instances, ask, and come and go.
struct Churn {
    apis: Vec<Api>,
    rng: Xoshiro256PlusPlus,
    changes: u64,
}

impl Churn {
    fn new(fleet: &Fleet, agents: usize) -> Result<Self, ProcessError> {
        let apis = (0..agents).map(|agent| fleet.connect(agent)).collect::<Result<_, _>>()?;
        Ok(Self { apis, rng: Xoshiro256PlusPlus::seed_from_u64(1), changes: 0 })
    }

    fn change(&mut self, fleet: &Fleet) -> Result<(), ProcessError> {
        let agent = self.rng.random_range(0..self.apis.len());
        let instance = self.rng.random_range(0..INSTANCES);
        let id = format!("churn-{agent}-{instance}");
        let api = &mut self.apis[agent];
        if self.rng.random_bool(0.2) {
            // An id that is not registered is refused, and that is as good.
            match api.deregister(&id) {
                Ok(()) | Err(ProcessError::Answer { .. }) => {}
                Err(error) => return Err(error),
            }
        } else {
            let service = format!("churn-{}", instance % SERVICES);
            let port = self.rng.random_range(1_024..=u16::MAX);
            let instance = json!({ "service": service, "id": id, "port": port });
            api.done("registered", &json!({ "register": instance }))?;
        }
        // A client of its own, which goes at once.
        let mut visitor = fleet.connect(agent)?;
        visitor.info()?;
        self.changes += 1;
        Ok(())
    }
}

/// What an agent holds at one moment.
#[derive(Clone, Copy)]
struct Held {
    resident_mib: f64,
    descriptors: f64,
    disk_mib: f64,
}

impl Held {
    fn of(fleet: &Fleet, agent: usize) -> Result<Self, ProcessError> {
        let pid = fleet.pid(agent);
        let failed = |cause| ProcessError::Usage { pid, cause };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_err(failed)?.count() as f64;
        let disk = bytes_below(&fleet.data(agent)).map_err(failed)?;
        let resident_mib = Usage::of(pid)?.resident_bytes as f64 / MIB;
        Ok(Self { resident_mib, descriptors, disk_mib: disk as f64 / MIB })
    }
}

/// Bytes of all files in a folder and below. Files come and go meanwhile.
fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path())?,
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

/// The means over all agents and over the second and the last quarter of the samples.
fn compare(samples: &[Vec<Held>]) -> Vec<Row> {
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    type Kind = (&'static str, &'static str, fn(&Held) -> f64);
    let kinds: [Kind; 3] = [
        ("resident", "MiB", |held| held.resident_mib),
        ("descriptors", "", |held| held.descriptors),
        ("data on disk", "MiB", |held| held.disk_mib),
    ];
    let mut rows = Vec::new();
    for (what, unit, of) in kinds {
        let [early, late] = [early, late].map(|samples| {
            let all: Vec<f64> = samples.iter().flatten().map(of).collect();
            all.iter().sum::<f64>() / all.len() as f64
        });
        rows.push(Row::new(format!("{what}, second quarter"), early, unit));
        rows.push(Row::new(format!("{what}, last quarter"), late, unit));
        let growth = (late / early - 1.0) * 100.0;
        rows.push(
            Row::new(format!("{what}, growth"), growth, "%").goal(Goal::AtMost(FLAT_PERCENT)),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_found_and_flatness_is_met() {
        let held = |mib: f64| vec![Held { resident_mib: mib, descriptors: 20.0, disk_mib: 1.0 }];
        let flat: Vec<_> = (0..40).map(|_| held(30.0)).collect();
        assert!(compare(&flat).iter().all(|row| row.is_met() != Some(false)));
        let grows: Vec<_> = (0..40).map(|n| held(30.0 + f64::from(n))).collect();
        let missed = compare(&grows).into_iter().filter(|row| row.is_met() == Some(false));
        assert_eq!(missed.map(|row| row.what).collect::<Vec<_>>(), ["resident, growth"]);
    }
}
