//! The small HTTP servers of the demonstration: where they run, and how they are registered.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, anyhow};
use hobnob_api::{Check, Probe, Registration};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::folder::Folder;
use super::process::{Process, Spawner};
use super::supervised::{Condition, Supervised};

/// What a server of the demonstration serves.
#[derive(Clone, Copy, Debug)]
pub(in crate::dev) struct Spec {
    pub(in crate::dev) service: &'static str,
    pub(in crate::dev) id: &'static str,
    weight: u32,
    tag: &'static str,
    version: &'static str,
}

/// The servers, in the order in which they are dealt out to the agents.
pub(in crate::dev) const SPECS: [Spec; 6] = [
    Spec { service: "web", id: "web-1", weight: 3, tag: "stable", version: "1.4" },
    Spec { service: "web", id: "web-2", weight: 1, tag: "stable", version: "1.4" },
    Spec { service: "web", id: "web-3", weight: 1, tag: "canary", version: "1.5" },
    Spec { service: "api", id: "api-1", weight: 1, tag: "stable", version: "2.0" },
    Spec { service: "api", id: "api-2", weight: 1, tag: "stable", version: "2.0" },
    Spec { service: "db", id: "db-1", weight: 1, tag: "primary", version: "17" },
];

/// A server on loopback, in a process of its own, that runs, or returns after its death.
pub(in crate::dev) struct Server {
    pub(in crate::dev) spec: Spec,
    pub(in crate::dev) addr: SocketAddr,
    /// The name of the agent that it is registered with.
    pub(in crate::dev) agent: String,
    pub(super) process: Supervised,
}

impl Server {
    /// Starts it on a free port.
    pub(super) fn spawn(
        spawner: &Spawner,
        folder: &Folder,
        spec: Spec,
        agent: String,
    ) -> anyhow::Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let process = Supervised::start(spawner, args(spec, addr), folder.log(spec.id))
            .with_context(|| format!("{} cannot start", spec.id))?;
        Ok(Self { spec, addr, agent, process })
    }

    /// Waits until it listens. Its next life has the same address.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let process = self.process.process().context("it is not running")?;
        self.addr = told_address(process)
            .await
            .with_context(|| format!("{} cannot start", self.spec.id))?;
        self.process.set_args(args(self.spec, self.addr));
        Ok(())
    }

    /// Whether it runs.
    pub(in crate::dev) fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// What its process does.
    pub(in crate::dev) fn condition(&self) -> Condition {
        self.process.condition()
    }

    /// The registration of its instance.
    pub(in crate::dev) fn registration(&self) -> Registration {
        let Spec { service, id, weight, tag, version } = self.spec;
        Registration {
            id: Some(id.to_owned()),
            address: Some(self.addr.ip().to_string()),
            tags: BTreeSet::from([tag.to_owned()]),
            meta: BTreeMap::from([("version".to_owned(), version.to_owned())]),
            weight,
            checks: vec![Check {
                interval_ms: 500,
                failures_before_critical: 2,
                listener_watch: true,
                ..Check::new(Probe::http(format!("http://{}/health", self.addr)))
            }],
            ..Registration::new(service, self.addr.port())
        }
    }
}

fn args(spec: Spec, listen: SocketAddr) -> Vec<OsString> {
    ["dev", "server", spec.id, "--listen", &listen.to_string()].map(OsString::from).to_vec()
}

/// The address that a server tells once it listens.
async fn told_address(process: &mut Process) -> anyhow::Result<SocketAddr> {
    let stdout = process.take_stdout().context("its output was read already")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    if line.is_empty() {
        let end = process.ended().await;
        return Err(anyhow!("{}", end.map(|end| end.describe()).unwrap_or_default()));
    }
    line.trim().parse().with_context(|| format!("it told no address: {}", line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        let ids = BTreeSet::from_iter(SPECS.map(|spec| spec.id));
        assert_eq!(ids.len(), SPECS.len());
    }

    #[tokio::test]
    async fn a_server_that_ends_before_it_listens_is_named_with_the_reason() {
        let folder = Folder::create().unwrap();
        let spawner = Spawner::of("false".into());
        let mut server = Server::spawn(&spawner, &folder, SPECS[0], "a1".to_owned()).unwrap();
        let error = format!("{:#}", server.ready().await.unwrap_err());
        assert_eq!(error, "web-1 cannot start: exit status: 1");
    }
}
