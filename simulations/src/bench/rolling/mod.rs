//! Rolling deploys, restarts, upgrades and downgrades of real agents and their services, under calls.
//!
//! Every agent has a server and a client of its own. The clients pick in process, as an application does, and call what they
//! picked. A call fails when there is nothing to pick, or when the server does not answer.

mod load;
mod server;

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::row::{Goal, Row};
use crate::processes::{Api, Fleet, ProcessError};
use load::{Calls, Load};
use server::Server;

/// The service that is called.
const SERVICE: &str = "web";
/// The time of a drain, as in the recipe of the documentation but shorter.
const DRAIN: &str = "1s";
/// The time for which the load goes on after each step, so that a late effect is seen.
const SETTLE: Duration = Duration::from_secs(1);
/// A server that is back must be offered by everybody within this time, and a restarted agent must see all.
const BACK_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

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
    let mut hosts = Hosts::start(before.unwrap_or(hobnob), effort.agents)?;
    let load = Load::start(&hosts.fleet, effort).map_err(RollingError::Setting)?;
    let mut phase = |name: &str, hosts: &mut Hosts, step: &dyn Fn(&mut Hosts, usize) -> _| {
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

/// Agents with a server each.
struct Hosts {
    fleet: Fleet,
    /// The agents' gossip addresses, which they keep.
    addresses: Vec<String>,
    servers: Vec<Server>,
}

impl Hosts {
    fn start(hobnob: &Path, agents: usize) -> Result<Self, RollingError> {
        let mut fleet = Fleet::new(hobnob)?;
        let (mut addresses, mut servers) = (Vec::<String>::new(), Vec::new());
        for host in 0..agents {
            fleet.start(addresses.first().map(String::as_str))?;
            addresses.push(fleet.connect(host)?.info()?.gossip_address);
            servers.push(Server::start().map_err(RollingError::Setting)?);
        }
        let mut this = Self { fleet, addresses, servers };
        for host in 0..agents {
            this.register(host)?;
        }
        this.until_offered(agents)?;
        Ok(this)
    }

    /// Restarts an agent as the documentation says: its instances stay known meanwhile.
    fn restart(&mut self, host: usize) -> Result<(), RollingError> {
        self.fleet.stop(host)?;
        let join = self.addresses[(host + 1) % self.addresses.len()].clone();
        let own = self.addresses[host].clone();
        self.fleet.restart(host, &own, &join)?;
        self.until_offered(self.servers.len())
    }

    /// Deploys a service anew by the recipe of the documentation.
    fn deploy(&mut self, host: usize) -> Result<(), RollingError> {
        let (id, socket) = (id(host), self.fleet.socket(host).display().to_string());
        let at = ["--socket", &socket];
        let drain = ["drain", &id, "--for", DRAIN, "--wait-acked", "99%"];
        self.fleet.run(&[&drain[..], &at].concat())?;
        self.servers[host] = Server::start().map_err(RollingError::Setting)?;
        self.register(host)?;
        self.fleet.run(&[&["drain", &id, "--stop"][..], &at].concat())?;
        self.until_offered(self.servers.len())
    }

    fn register(&mut self, host: usize) -> Result<(), RollingError> {
        let address = self.servers[host].address;
        let check =
            json!({ "probe": { "tcp": { "address": address.to_string() } }, "interval_ms": 200 });
        let instance = json!({
            "service": SERVICE, "id": id(host), "address": address.ip().to_string(),
            "port": address.port(), "checks": [check],
        });
        Ok(self.fleet.connect(host)?.done("registered", &json!({ "register": instance }))?)
    }

    /// Waits until every agent offers as many instances.
    fn until_offered(&mut self, count: usize) -> Result<(), RollingError> {
        let since = Instant::now();
        for agent in 0..self.fleet.len() {
            let mut api: Api = self.fleet.connect(agent)?;
            while api.offered(SERVICE)? < count {
                if since.elapsed() > BACK_TIMEOUT {
                    let what = format!("all {count} healthy instances");
                    return Err(ProcessError::Incomplete { agent, what }.into());
                }
                thread::sleep(LOOK);
            }
        }
        Ok(())
    }
}

fn id(host: usize) -> String {
    format!("{SERVICE}-{host}")
}
