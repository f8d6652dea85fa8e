//! An agent of the demonstration: `hobnob agent` in a process of its own.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hobnob_api::client::{Client, ClientError};
use hobnob_api::{Registration, Request, Response};
use tokio::time::{sleep, timeout};

use super::folder::Folder;
use super::process::Spawner;
use super::supervised::{Condition, Supervised};

/// The namespace of [`PRESENCE`], which keeps it apart from the services of the demonstration.
pub(in crate::dev) const PRESENCE_NAMESPACE: &str = "dev";
/// The service that has an instance on each agent, with the name of the agent. Its changes tell that an agent is gone.
pub(in crate::dev) const PRESENCE: &str = "agents";

/// The name of the cluster.
pub(in crate::dev) const CLUSTER: &str = "dev";

/// The log filter of agents without a log. Their errors explain their end.
const NO_LOG: &str = "error";
/// The pause between two looks for the socket of an agent that starts.
const RETRY: Duration = Duration::from_millis(5);
/// The time after a failed answer in which the end of the agent explains it.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The settings that all agents share.
pub(super) struct AgentSettings<'a> {
    pub(super) folder: &'a Folder,
    pub(super) log: Option<&'a str>,
    /// Whether each agent joins with the token in the folder.
    pub(super) is_sealed: bool,
    /// The number of datacenters.
    pub(super) datacenters: usize,
}

/// The place of an agent in the cluster. Both numbers count from 1 on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) datacenter: usize,
    pub(super) number: usize,
}

/// The members that an agent joins at.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeds {
    /// Those of its own datacenter.
    pub(super) members: Vec<SocketAddr>,
    /// Those of other ones.
    pub(super) elsewhere: Vec<SocketAddr>,
}

impl AgentSettings<'_> {
    /// The name of an agent. It tells the datacenter, if there are several.
    pub(super) fn name(&self, place: Place) -> String {
        let Place { datacenter, number } = place;
        if self.datacenters > 1 {
            format!("dc{datacenter}-a{number}")
        } else {
            format!("a{number}")
        }
    }

    /// The address of an agent. Each has its own, so that packets tell which agent sent them.
    fn address(place: Place) -> Ipv4Addr {
        let number = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        Ipv4Addr::new(127, 0, number(place.datacenter), number(place.number))
    }

    fn args(&self, place: Place, bind: SocketAddr, seeds: &Seeds) -> Vec<OsString> {
        let name = self.name(place);
        let zone = format!("z{}", (place.number - 1) % 3 + 1);
        let datacenter = format!("dc{}", place.datacenter);
        let log = self.log.unwrap_or(NO_LOG);
        let bind = bind.to_string();
        let mut args: Vec<OsString> =
            vec!["agent".into(), "--no-config".into(), "--stop-with-stdin".into()];
        for (flag, value) in [
            ("--cluster", CLUSTER),
            ("--name", &name),
            ("--datacenter", &datacenter),
            ("--zone", &zone),
            ("--bind", &bind),
            ("--log", log),
        ] {
            args.extend([flag.into(), value.into()]);
        }
        args.extend(["--socket".into(), self.folder.socket(&name).into()]);
        args.extend(["--data-dir".into(), self.folder.data_dir(&name).into()]);
        if self.is_sealed {
            args.extend(["--token-file".into(), self.folder.token().into()]);
        }
        // All agents stop at once, so none would be left to hear another one leave.
        args.push("--keep-on-exit".into());
        let at = |flag: &'static str, addresses: &[SocketAddr]| {
            addresses.iter().map(|address| format!("{flag}={address}").into()).collect::<Vec<_>>()
        };
        args.extend(at("--join", &seeds.members));
        args.extend(at("--join-wan", &seeds.elsewhere));
        args
    }
}

/// An agent that runs, or returns after its death.
pub(in crate::dev) struct DevAgent {
    pub(in crate::dev) name: String,
    pub(in crate::dev) gossip: SocketAddr,
    pub(in crate::dev) socket: PathBuf,
    pub(super) process: Supervised,
    pub(super) place: Place,
}

impl DevAgent {
    /// Starts an agent on free ports. It joins at these members.
    pub(super) fn spawn(
        spawner: &Spawner,
        settings: &AgentSettings<'_>,
        place: Place,
        seeds: &Seeds,
    ) -> anyhow::Result<Self> {
        let name = settings.name(place);
        let gossip = SocketAddr::from((AgentSettings::address(place), 0));
        let args = settings.args(place, gossip, seeds);
        let process = Supervised::start(spawner, args, settings.folder.log(&name))
            .with_context(|| format!("agent {name} cannot start"))?;
        let socket = settings.folder.socket(&name);
        Ok(Self { name, gossip, socket, process, place })
    }

    /// Waits until it answers, and registers its presence.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let ready = self.introduce().await;
        let Err(error) = ready else { return Ok(()) };
        let process = self.process.process().context("it is not running")?;
        let error = match timeout(END_WITHIN, process.ended()).await {
            Ok(Some(end)) => anyhow!("{}", end.describe()),
            Ok(None) | Err(_) => error,
        };
        Err(error.context(format!("agent {} cannot start", self.name)))
    }

    async fn introduce(&mut self) -> anyhow::Result<()> {
        let mut client = self.connect().await?;
        match client.call(Request::Info {}).await? {
            Response::Info(info) => self.gossip = info.gossip_address.parse()?,
            other => return Err(anyhow!("it answered {other:?}")),
        }
        let presence = Registration {
            id: Some(self.name.clone()),
            namespace: PRESENCE_NAMESPACE.to_owned(),
            ..Registration::new(PRESENCE, self.gossip.port())
        };
        register(&mut client, presence).await
    }

    /// Connects to it as soon as it listens.
    async fn connect(&mut self) -> anyhow::Result<Client> {
        loop {
            match Client::connect(&self.socket).await {
                Err(ClientError::NoAgent { .. }) if !self.has_ended() => sleep(RETRY).await,
                result => return Ok(result?),
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        self.process.process().is_none_or(|process| process.end().is_some())
    }

    /// Lets its next life have its address, and join at these members.
    pub(super) fn settle(&mut self, settings: &AgentSettings<'_>, seeds: &Seeds) {
        self.process.set_args(settings.args(self.place, self.gossip, seeds));
    }

    /// The number of its datacenter, from 1 on.
    pub(in crate::dev) fn datacenter(&self) -> usize {
        self.place.datacenter
    }

    /// Whether it runs.
    pub(in crate::dev) fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// The address that its packets come from.
    pub(super) fn address(&self) -> Ipv4Addr {
        AgentSettings::address(self.place)
    }

    /// What its process does.
    pub(in crate::dev) fn condition(&self) -> Condition {
        self.process.condition()
    }
}

/// Registers an instance with the agent of this connection.
pub(super) async fn register(
    client: &mut Client,
    registration: Registration,
) -> anyhow::Result<()> {
    match client.call(Request::Register(registration.into())).await? {
        Response::Registered { .. } => Ok(()),
        other => Err(anyhow!("the agent answered {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_that_ends_before_it_answers_is_named_with_the_reason() {
        let folder = Folder::create().unwrap();
        let settings =
            AgentSettings { folder: &folder, log: None, is_sealed: false, datacenters: 1 };
        let spawner = Spawner::of("false".into());
        let place = Place { datacenter: 1, number: 2 };
        let seeds = Seeds::default();
        let mut agent = DevAgent::spawn(&spawner, &settings, place, &seeds).unwrap();
        let error = format!("{:#}", agent.ready().await.unwrap_err());
        assert_eq!(error, "agent a2 cannot start: exit status: 1");
        let error = DevAgent::spawn(&Spawner::of("/nowhere".into()), &settings, place, &seeds);
        let error = format!("{:#}", error.err().unwrap());
        assert!(
            error.starts_with("agent a2 cannot start: cannot run /nowhere: No such file"),
            "{error}"
        );
    }
}
