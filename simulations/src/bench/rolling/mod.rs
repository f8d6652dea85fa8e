//! Rolling deploys, restarts, upgrades and downgrades of real agents and their services, under calls.
//!
//! Every agent has a server and a client of its own. The clients pick in process, as an application does, and call what they
//! picked. A call fails when there is nothing to pick, or when the server does not answer.

mod hosts;
mod load;
mod server;

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::row::{Goal, Row};
use crate::processes::{Fleet, ProcessError};
pub(super) use hosts::{Hosts, Serve};
use load::{Calls, Load};
use server::Server;

/// The service that is called.
pub(super) const SERVICE: &str = "web";
/// The time for which the load goes on after each step, so that a late effect is seen.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct RollingEffort {
    /// Agents, and as many servers and clients.
    pub agents: usize,
    /// Calls a second of all clients together.
    pub calls_per_second: u32,
}

/// Why the measurement could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollingError {
    /// An agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// A server or a client cannot be started.
    #[error("cannot start what the agents are measured with: {0}")]
    Setting(io::Error),
}

/// Deploys all services, then restarts all agents of the binary `hobnob`. With `before`, an earlier binary, agents are
/// upgraded from it and downgraded to it as well. `told` hears how far it is.
///
/// # Errors
/// An agent cannot be started or asked.
pub fn measure(
    hobnob: &Path,
    before: Option<&Path>,
    effort: RollingEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, RollingError> {
    let mut rows = Vec::new();
    let start = |_: &Fleet| Server::start().map_err(RollingError::Setting);
    let mut hosts = Hosts::start(before.unwrap_or(hobnob), effort.agents, Box::new(start))?;
    let load = Load::start(&hosts.fleet, effort).map_err(RollingError::Setting)?;
    let mut phase =
        |name: &str, hosts: &mut Hosts<Server>, step: &dyn Fn(&mut Hosts<Server>, usize) -> _| {
            let (before, since) = (load.calls(), Instant::now());
            for host in 0..effort.agents {
                told(&format!("{name}: {} of {}", host + 1, effort.agents));
                step(hosts, host)?;
                thread::sleep(SETTLE);
            }
            let (calls, took) = (load.calls().since(before), since.elapsed());
            report(name, calls, took, &mut rows);
            Ok::<(), RollingError>(())
        };
    if let Some(before) = before {
        hosts.fleet.use_binary(hobnob)?;
        phase("rolling upgrade of the agents", &mut hosts, &Hosts::restart)?;
        hosts.fleet.use_binary(before)?;
        phase("rolling downgrade of the agents", &mut hosts, &Hosts::restart)?;
        hosts.fleet.use_binary(hobnob)?;
        phase("a second rolling upgrade", &mut hosts, &Hosts::restart)?;
    }
    phase("rolling restart of the agents", &mut hosts, &Hosts::restart)?;
    phase("rolling deploy of the services", &mut hosts, &Hosts::deploy)?;
    let examples = load.end();
    if !examples.is_empty() {
        rows.push(
            Row::new("kinds of failed calls", examples.len() as f64, "").note(&examples.join("; ")),
        );
    }
    Ok(rows)
}

fn report(name: &str, calls: Calls, took: Duration, rows: &mut Vec<Row>) {
    let rate = calls.made as f64 / took.as_secs_f64();
    let note = format!("{} calls in {:.0} s, {rate:.0} a second", calls.made, took.as_secs_f64());
    let failed = Row::new(format!("{name}: failed calls"), calls.failed as f64, "");
    rows.push(failed.goal(Goal::AtMost(0.0)).note(&note));
}
