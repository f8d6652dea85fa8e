//! Registrations, discoveries and picks beside catalogs of different sizes, and the cost of many checks.
//!
//! The agents are processes of their own. Every service has ten instances, so the answers are equally long. Rounds with one
//! catalog and with the other alternate, so that a busy machine slows both alike.

pub(super) mod catalog;
mod checks;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use hobnob_api::Strategy;
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::calls::Calls;
use super::goals::quantile;
use super::row::{Goal, Row};
use crate::processes::{Fleet, ProcessError, Usage};
use catalog::{INSTANCES_PER_SERVICE, service};

/// Rounds into which the calls are split.
const ROUNDS: usize = 20;
/// In-process picks and reads of a round: enough for the clock.
const IN_PROCESS_PER_ROUND: usize = 10_000;
/// How much slower a call with the large catalog may be that is to cost the same: the noise of a machine.
const SAME: f64 = 1.2;
const MIB: f64 = 1024.0 * 1024.0;

/// The extent of the measurements.
#[derive(Clone, Debug)]
pub struct RegistryEffort {
    /// Instances in the catalogs that are compared: a small one and a large one.
    pub catalogs: [usize; 2],
    /// Registrations, for each catalog.
    pub registrations: usize,
    /// Discoveries, for each catalog.
    pub discoveries: usize,
    /// Picks, for each catalog.
    pub picks: usize,
    /// Checks of one agent.
    pub checks: usize,
    /// Time between two probes of a check.
    pub interval: Duration,
    /// The duration for which the checks are measured.
    pub lasts: Duration,
}

/// Why the registry could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryBenchError {
    /// An agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// A connection broke.
    #[error("the connection to an agent failed: {0}")]
    Connection(io::Error),
    /// An answer is not what was asked for.
    #[error("an agent answered {answer} to {request}")]
    Refused {
        /// The request.
        request: String,
        /// The start of the answer.
        answer: String,
    },
    /// The client in process did not hear of a service.
    #[error("no instance of {service} came to the client in process")]
    NoPick {
        /// The service.
        service: String,
    },
    /// The in-process client cannot run, or the checked servers cannot.
    #[error("cannot start what the agents are measured with: {0}")]
    Setting(io::Error),
}

/// Measures agents of the binary `hobnob`. `told` hears how far it is.
///
/// # Errors
/// An agent cannot be started or asked.
pub fn measure(
    hobnob: &Path,
    effort: &RegistryEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, RegistryBenchError> {
    let mut rows = Vec::new();
    let [small, large] = effort.catalogs;
    told(&format!("a catalog of {small} instances"));
    let small_fleet = filled(hobnob, small, &mut told)?;
    told(&format!("a catalog of {large} instances"));
    let large_fleet = filled(hobnob, large, &mut told)?;
    let resident = Usage::of(large_fleet.pid(0))?.resident_bytes as f64 / MIB;
    let mut both = [Asked::new(&small_fleet, small)?, Asked::new(&large_fleet, large)?];
    over_the_socket(&mut both, effort, &mut rows, &mut told)?;
    told("picks in process");
    in_process(&both, &mut rows)?;
    let what = format!("resident, {large} instances of {} others", large_fleet.len() - 1);
    rows.push(Row::new(what, resident, "MiB").goal(Goal::AtMost(80.0)));
    drop((small_fleet, large_fleet));
    checks::measure(hobnob, effort, &mut rows, &mut told)?;
    Ok(rows)
}

/// Agents whose catalog holds so many instances.
fn filled(
    hobnob: &Path,
    instances: usize,
    told: &mut impl FnMut(&str),
) -> Result<Fleet, RegistryBenchError> {
    let mut fleet = Fleet::new(hobnob)?;
    fleet.start(None)?;
    catalog::fill(&mut fleet, instances, told)?;
    Ok(fleet)
}

/// The agent of one catalog.
struct Asked<'a> {
    fleet: &'a Fleet,
    instances: usize,
    calls: Calls,
    rng: Xoshiro256PlusPlus,
}

impl<'a> Asked<'a> {
    fn new(fleet: &'a Fleet, instances: usize) -> Result<Self, RegistryBenchError> {
        let calls = Calls::connect(&fleet.socket(0))?;
        Ok(Self { fleet, instances, calls, rng: Xoshiro256PlusPlus::seed_from_u64(1) })
    }

    /// A service of the catalog, each equally often.
    fn any_service(&mut self) -> String {
        service(self.rng.random_range(0..self.instances / INSTANCES_PER_SERVICE))
    }
}

fn over_the_socket(
    both: &mut [Asked<'_>; 2],
    effort: &RegistryEffort,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), RegistryBenchError> {
    told("registrations");
    let registrations = alternate(both, effort.registrations, |_, number| {
        // A service of its own for each ten.
        let name = format!("registered-{}", number / INSTANCES_PER_SERVICE);
        let id = format!("{name}-{number}");
        (json!({ "register": { "service": name, "id": id, "port": 80 } }), "\"registered\"")
    })?;
    report("registration", &registrations, both, None, rows);
    told("discoveries");
    let discoveries = alternate(both, effort.discoveries, |asked, _| {
        (json!({ "resolve": { "service": asked.any_service() } }), "\"instances\":[{")
    })?;
    // Logarithmically: as the length of the number of services does.
    let services = both.each_ref().map(|asked| asked.instances as f64);
    let growth = services[1].ln() / services[0].ln();
    report("discovery", &discoveries, both, Some(growth), rows);
    told("picks");
    let picks = alternate(both, effort.picks, |asked, _| {
        (json!({ "pick": { "service": asked.any_service() } }), "\"picks\":[{")
    })?;
    report("pick", &picks, both, Some(SAME), rows);
    Ok(())
}

/// The latencies of calls in microseconds, for each catalog. A first round, which does not count, warms up.
fn alternate(
    both: &mut [Asked<'_>; 2],
    calls: usize,
    request: impl Fn(&mut Asked<'_>, usize) -> (serde_json::Value, &'static str),
) -> Result<[Vec<f64>; 2], RegistryBenchError> {
    let mut latencies = [Vec::new(), Vec::new()];
    let per_round = calls.div_ceil(ROUNDS);
    for round in 0..=ROUNDS {
        for (asked, latencies) in both.iter_mut().zip(&mut latencies) {
            for call in 0..per_round {
                let (request, expected) = request(asked, round * per_round + call);
                let took = asked.calls.call(&request, expected)?;
                if round > 0 {
                    latencies.push(took.as_secs_f64() * 1e6);
                }
            }
        }
    }
    Ok(latencies)
}

fn report(
    what: &str,
    latencies: &[Vec<f64>; 2],
    both: &[Asked<'_>; 2],
    growth: Option<f64>,
    rows: &mut Vec<Row>,
) {
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let [small, large] =
            latencies.each_ref().map(|one| quantile(one, share).unwrap_or(f64::NAN));
        for (asked, measured) in both.iter().zip([small, large]) {
            let what = format!("{what}, {} instances, {name}", asked.instances);
            let note = format!("{} calls", latencies[0].len());
            rows.push(Row::new(what, measured, "us").note(&note));
        }
        let ratio = Row::new(format!("{what}, large over small, {name}"), large / small, "x");
        rows.push(match growth {
            Some(growth) if name == "p50" => ratio.goal(Goal::AtMost(growth)),
            _ => ratio,
        });
    }
}

/// Reads and picks of a client that follows one service, which asks the agent for nothing.
fn in_process(both: &[Asked<'_>; 2], rows: &mut Vec<Row>) -> Result<(), RegistryBenchError> {
    let runtime = tokio::runtime::Runtime::new().map_err(RegistryBenchError::Setting)?;
    let follow = |asked: &Asked<'_>| {
        let mut config = DiscoveryConfig::new(service(0));
        config.socket = asked.fleet.socket(0);
        config.strategy = Strategy::RoundRobin;
        runtime.block_on(async {
            let discovery = Discovery::start(config).expect("no selector");
            discovery.ready().await;
            discovery
        })
    };
    let followed = both.each_ref().map(follow);
    let mut pickers = followed.each_ref().map(Discovery::picker);
    let mut costs: [[Vec<f64>; 2]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (catalog, discovery) in followed.iter().enumerate() {
            let since = Instant::now();
            let mut known = 0;
            for _ in 0..IN_PROCESS_PER_ROUND {
                known += discovery.instances().len();
            }
            costs[0][catalog].push(per_call_ns(since));
            let since = Instant::now();
            let mut picked = 0;
            for _ in 0..IN_PROCESS_PER_ROUND {
                picked += usize::from(pickers[catalog].pick(None).is_some());
            }
            costs[1][catalog].push(per_call_ns(since));
            let enough = known == IN_PROCESS_PER_ROUND * INSTANCES_PER_SERVICE;
            if !enough || picked != IN_PROCESS_PER_ROUND {
                return Err(RegistryBenchError::NoPick { service: service(0) });
            }
        }
    }
    for (what, costs) in ["discovery in process", "pick in process"].iter().zip(&costs) {
        let [small, large] = costs.each_ref().map(|one| quantile(one, 0.5).unwrap_or(f64::NAN));
        for (asked, measured) in both.iter().zip([small, large]) {
            let row = Row::new(format!("{what}, {} instances", asked.instances), measured, "ns");
            rows.push(row.note(&format!("median of {ROUNDS} times {IN_PROCESS_PER_ROUND}")));
        }
        let ratio = Row::new(format!("{what}, large over small"), large / small, "x");
        rows.push(ratio.goal(Goal::AtMost(SAME)));
    }
    Ok(())
}

fn per_call_ns(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e9 / IN_PROCESS_PER_ROUND as f64
}
