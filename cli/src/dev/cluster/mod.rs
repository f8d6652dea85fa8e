//! The agents and the servers of the demonstration, each a process of its own.

mod agent;
mod cut;
mod folder;
mod process;
mod server;
mod sockets;
mod supervised;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join_all;
use hobnob_api::client::Client;
use tokio::time::sleep_until;

use super::counted::counted;
use agent::{AgentSettings, Place, Seeds, register};
use cut::Cut;
use process::Spawner;
use server::Server;
use supervised::Supervised;

pub(super) use agent::{CLUSTER, DevAgent, PRESENCE, PRESENCE_NAMESPACE};
pub(super) use cut::CutChange;
pub(super) use folder::Folder;
pub(super) use process::End;
pub(super) use server::SPECS;
pub(super) use supervised::{BACK_AFTER, Condition};

/// The agents, which join through the first one, and the servers registered with them.
pub(super) struct Cluster<'a> {
    settings: AgentSettings<'a>,
    spawner: Spawner,
    agents: Vec<DevAgent>,
    servers: Vec<Server>,
    cut: Cut,
}

/// A change of a process that no key has asked for at this moment.
#[derive(Debug)]
pub(super) enum Event {
    /// It ended by itself, or was killed from elsewhere.
    Ended(Part, End),
    /// It was started again.
    Started(Part),
    /// It could not be started again, and will be tried again.
    NotStarted(Part, anyhow::Error),
}

/// An agent or a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The agent with this name.
    Agent(String),
    /// The server with this id.
    Server(String),
}

impl Part {
    /// The id of its instance: for an agent, that of its presence.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Agent(id) | Self::Server(id) => id,
        }
    }

    /// Whether it is the agent with this name.
    pub(super) fn is_agent(&self, name: &str) -> bool {
        matches!(self, Self::Agent(agent) if agent == name)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => write!(f, "agent {name}"),
            Self::Server(id) => write!(f, "server {id}"),
        }
    }
}

impl<'a> Cluster<'a> {
    /// A cluster of so many datacenters without agents, whose files will be in `folder`. With a filter, its agents log. Those of a
    /// sealed one join with the token that is there.
    pub(super) fn new(
        folder: &'a Folder,
        log: Option<&'a str>,
        is_sealed: bool,
        datacenters: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            settings: AgentSettings { folder, log, is_sealed, datacenters },
            spawner: Spawner::new()?,
            agents: Vec::new(),
            servers: Vec::new(),
            cut: Cut::default(),
        })
    }

    /// Starts `count` agents in each datacenter and the servers, and registers each server with an agent, in turn.
    ///
    /// After an error, the processes that have started run on until [`Cluster::stop`].
    pub(super) async fn start(&mut self, count: usize) -> anyhow::Result<()> {
        // In turn over the datacenters, so that each has servers of each service.
        let places: Vec<Place> = (1..=count)
            .flat_map(|number| {
                (1..=self.settings.datacenters).map(move |datacenter| Place { datacenter, number })
            })
            .collect();
        for (index, spec) in SPECS.into_iter().enumerate() {
            let agent = self.settings.name(places[index % places.len()]);
            let server = Server::spawn(&self.spawner, self.settings.folder, spec, agent)?;
            self.servers.push(server);
        }
        self.spawn(places[0], &Seeds::default())?;
        self.agents[0].ready().await?;
        // The first agent of each other datacenter meets that of the first one.
        let first = vec![self.agents[0].gossip];
        let elsewhere = Seeds { elsewhere: first, ..Seeds::default() };
        for place in &places[1..self.settings.datacenters] {
            self.spawn(*place, &elsewhere)?;
        }
        try_join_all(self.agents.iter_mut().skip(1).map(DevAgent::ready)).await?;
        let firsts = self.agents.len();
        for place in &places[firsts..] {
            let members = vec![self.agents[place.datacenter - 1].gossip];
            self.spawn(*place, &Seeds { members, ..Seeds::default() })?;
        }
        try_join_all(self.agents.iter_mut().skip(firsts).map(DevAgent::ready)).await?;
        self.agents.sort_by_key(|agent| (agent.place.datacenter, agent.place.number));
        try_join_all(self.servers.iter_mut().map(Server::ready)).await?;
        self.settle();
        for server in &self.servers {
            let id = server.spec.id;
            self.register(server).await.with_context(|| format!("cannot register {id}"))?;
        }
        Ok(())
    }

    fn spawn(&mut self, place: Place, seeds: &Seeds) -> anyhow::Result<()> {
        self.agents.push(DevAgent::spawn(&self.spawner, &self.settings, place, seeds)?);
        Ok(())
    }

    /// Lets each agent return to its address, and join at all others.
    fn settle(&mut self) {
        let all: Vec<(usize, SocketAddr)> =
            self.agents.iter().map(|agent| (agent.place.datacenter, agent.gossip)).collect();
        for agent in &mut self.agents {
            let mut seeds = Seeds::default();
            for (datacenter, address) in &all {
                match *datacenter == agent.place.datacenter {
                    true if *address == agent.gossip => {}
                    true => seeds.members.push(*address),
                    false => seeds.elsewhere.push(*address),
                }
            }
            agent.settle(&self.settings, &seeds);
        }
    }

    async fn register(&self, server: &Server) -> anyhow::Result<()> {
        let agent = self.agents.iter().find(|agent| agent.name == server.agent);
        let agent = agent.context("there is no such agent")?;
        register(&mut Client::connect(&agent.socket).await?, server.registration()).await
    }

    /// The agents, the seed first.
    pub(super) fn agents(&self) -> &[DevAgent] {
        &self.agents
    }

    /// The servers.
    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The names of the agents that run.
    pub(super) fn running_agents(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().filter(|agent| agent.is_running()).map(|agent| agent.name.as_str())
    }

    /// The socket to try commands on.
    pub(super) fn first_socket(&self) -> &Path {
        &self.agents[0].socket
    }

    /// Kills a process as `kill -9` does, if it runs. It returns after [`BACK_AFTER`]. Returns a time just before the kill.
    pub(super) fn kill(&mut self, part: &Part) -> Option<Instant> {
        self.supervised(part)?.kill()
    }

    /// Lets a process stand still, or go on. Returns a time just before that, and whether it stands still now. None, if it is away.
    pub(super) fn pause_or_resume(&mut self, part: &Part) -> Option<(Instant, bool)> {
        self.supervised(part)?.pause_or_resume()
    }

    /// Ends a process as an operator does, and starts it again at once. Returns whether it runs.
    pub(super) fn restart(&mut self, part: &Part) -> bool {
        self.supervised(part).is_some_and(Supervised::restart)
    }

    /// Stops a process as an operator does, or starts it again at its old address. Returns whether it was stopped.
    pub(super) fn stop_or_start(&mut self, part: &Part) -> bool {
        let Some(process) = self.supervised(part) else { return false };
        let runs = process.is_running();
        if runs {
            process.stop();
        } else {
            process.hurry();
        }
        runs
    }

    fn supervised(&mut self, part: &Part) -> Option<&mut Supervised> {
        self.processes().find(|(other, _)| other == part).map(|(_, process)| process)
    }

    /// The ids of the instances that are lost with a process, unless they are the last ones of their service: others have to be
    /// there for traffic to avoid these.
    pub(super) fn replaceable(&self, part: &Part) -> Vec<String> {
        let is_lost = |server: &Server| match part {
            Part::Agent(name) => server.agent == *name,
            Part::Server(id) => server.spec.id == id,
        };
        let lost = self.servers.iter().filter(|server| is_lost(server));
        let has_others = |server: &&Server| {
            self.servers.iter().any(|other| {
                other.spec.service == server.spec.service && !is_lost(other) && other.is_running()
            })
        };
        lost.filter(has_others).map(|server| server.spec.id.to_owned()).collect()
    }

    /// The next event. Starts a process again when its time has come. Cancelling the wait loses no event.
    pub(super) async fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.take_event() {
                return event;
            }
            let due_at = self.processes().filter_map(|(_, process)| process.due_at()).min();
            match due_at {
                Some(due_at) => tokio::select! {
                    () = self.spawner.ended() => {}
                    () = sleep_until(due_at.into()) => {}
                },
                None => self.spawner.ended().await,
            }
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        let Self { agents, servers, spawner, .. } = self;
        processes(agents, servers).find_map(|(part, process)| {
            if let Some(end) = process.take_end() {
                return Some(Event::Ended(part, end));
            }
            Some(match process.start_again(spawner)? {
                Ok(()) => Event::Started(part),
                Err(error) => Event::NotStarted(part, error),
            })
        })
    }

    fn processes(&mut self) -> impl Iterator<Item = (Part, &mut Supervised)> {
        processes(&mut self.agents, &mut self.servers)
    }

    /// Kills all processes, since nothing of them is to be kept, and waits for their end. Returns a text with their numbers.
    pub(super) async fn stop(&mut self) -> String {
        let agents = counted(self.agents.len(), "agent");
        let servers = counted(self.servers.len(), "server");
        for (_, process) in self.processes() {
            // Also those that were asked to end, and that may be frozen.
            if let Some(process) = process.process() {
                process.kill();
            }
        }
        for (_, process) in self.processes() {
            if let Some(process) = process.process() {
                process.ended().await;
            }
        }
        format!("{agents} and {servers}")
    }
}

fn processes<'c>(
    agents: &'c mut [DevAgent],
    servers: &'c mut [Server],
) -> impl Iterator<Item = (Part, &'c mut Supervised)> {
    let agents =
        agents.iter_mut().map(|agent| (Part::Agent(agent.name.clone()), &mut agent.process));
    let servers = servers
        .iter_mut()
        .map(|server| (Part::Server(server.spec.id.to_owned()), &mut server.process));
    agents.chain(servers)
}
