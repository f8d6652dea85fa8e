//! Agents with a server each, which are restarted and deployed by the recipes of the documentation.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{RollingError, SERVICE};
use crate::processes::{Api, Fleet, ProcessError};

/// The time of a drain, as in the recipe of the documentation but shorter.
const DRAIN: &str = "1s";
/// A server that is back must be offered by everybody within this time, and a restarted agent must see all.
const BACK_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// A server of a host.
pub(in crate::bench) trait Serve: Sized {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Ends it, after the calls that it has.
    fn stop(&mut self) -> Result<(), RollingError>;
}

/// How a server is started.
type Start<S> = Box<dyn Fn(&Fleet) -> Result<S, RollingError>>;

/// Agents with a server each.
pub(in crate::bench) struct Hosts<S> {
    pub(in crate::bench) fleet: Fleet,
    /// The agents' gossip addresses, which they keep.
    addresses: Vec<String>,
    servers: Vec<S>,
    start: Start<S>,
}

impl<S: Serve> Hosts<S> {
    pub(in crate::bench) fn start(
        hobnob: &Path,
        agents: usize,
        start: Start<S>,
    ) -> Result<Self, RollingError> {
        let mut fleet = Fleet::new(hobnob)?;
        let (mut addresses, mut servers) = (Vec::<String>::new(), Vec::new());
        for host in 0..agents {
            fleet.start(addresses.first().map(String::as_str))?;
            addresses.push(fleet.connect(host)?.info()?.gossip_address);
            servers.push(start(&fleet)?);
        }
        let mut this = Self { fleet, addresses, servers, start };
        for host in 0..agents {
            this.register(host)?;
        }
        this.until_offered(agents)?;
        Ok(this)
    }

    /// Restarts an agent as the documentation says: its instances stay known meanwhile.
    pub(in crate::bench) fn restart(&mut self, host: usize) -> Result<(), RollingError> {
        self.fleet.stop(host)?;
        let join = self.addresses[(host + 1) % self.addresses.len()].clone();
        let own = self.addresses[host].clone();
        self.fleet.restart(host, &own, &join)?;
        self.until_offered(self.servers.len())
    }

    /// Deploys a service anew by the recipe of the documentation.
    pub(in crate::bench) fn deploy(&mut self, host: usize) -> Result<(), RollingError> {
        let (id, socket) = (id(host), self.fleet.socket(host).display().to_string());
        let at = ["--socket", &socket];
        let drain = ["drain", &id, "--for", DRAIN, "--wait-acked", "99%"];
        self.fleet.run(&[&drain[..], &at].concat())?;
        self.servers[host].stop()?;
        self.servers[host] = (self.start)(&self.fleet)?;
        self.register(host)?;
        self.fleet.run(&[&["drain", &id, "--stop"][..], &at].concat())?;
        self.until_offered(self.servers.len())
    }

    fn register(&mut self, host: usize) -> Result<(), RollingError> {
        let address = self.servers[host].address();
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
