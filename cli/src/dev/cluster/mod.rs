//! The agents and the services of the demonstration.

mod folder;
mod service;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use hobnob_agent::{Agent, AgentConfig};
use hobnob_api::client::Client;
use hobnob_api::{Request, Response};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::counted::counted;
use service::{Service, TOGGLED};

pub(super) use folder::Folder;
pub(super) use service::SPECS;

/// The agents, which join through the first one, and the services registered with them.
pub(in crate::dev) struct Cluster<'a> {
    folder: &'a Folder,
    agents: Vec<RunningAgent>,
    services: Vec<(usize, Service)>,
}

/// An agent of the cluster. It runs until it is told to stop, or to leave through its socket.
pub(in crate::dev) struct RunningAgent {
    pub(in crate::dev) name: String,
    pub(in crate::dev) gossip: SocketAddr,
    pub(in crate::dev) socket: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningAgent {
    fn new(mut agent: Agent) -> Self {
        let (name, gossip) = (agent.name().to_owned(), agent.gossip_addr());
        let socket = agent.socket().to_owned();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                stopped = agent.stopped() => if let Err(error) = stopped {
                    // Dropping the agent ends it as a crash would, which the others and the table show.
                    return tracing::error!(name = agent.name(), %error, "the agent crashed");
                },
                _ = stopped => {}
            }
            agent.shutdown().await;
        });
        Self { name, gossip, socket, stop, task }
    }

    async fn stop(self) {
        // Ignore errors: an agent that has left takes no more messages, and a panic was reported already.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

impl<'a> Cluster<'a> {
    /// A cluster without agents, whose files will be in `folder`.
    pub(in crate::dev) fn new(folder: &'a Folder) -> Self {
        Self { folder, agents: Vec::new(), services: Vec::new() }
    }

    /// Starts `count` agents, then the services, and registers each service with an agent, in turn.
    ///
    /// After an error, the agents and services that have started run on until [`Cluster::stop`].
    pub(in crate::dev) async fn start(&mut self, count: usize) -> anyhow::Result<()> {
        let seed = start_agent(self.config(0, vec![])).await?;
        let join = vec![seed.gossip.to_string()];
        self.agents.push(seed);
        let mut starting = JoinSet::new();
        for index in 1..count {
            starting.spawn(start_agent(self.config(index, join.clone())));
        }
        let mut failed = None;
        while let Some(started) = starting.join_next().await {
            match started.context("an agent panicked").flatten() {
                Ok(agent) => self.agents.push(agent),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.agents.sort_by_key(|agent| agent_number(&agent.name));
        self.start_services().await
    }

    async fn start_services(&mut self) -> anyhow::Result<()> {
        for (index, spec) in SPECS.into_iter().enumerate() {
            let agent = index % self.agents.len();
            let service =
                Service::start(spec).await.with_context(|| format!("cannot start {}", spec.id))?;
            register(&self.agents[agent].socket, &service)
                .await
                .with_context(|| format!("cannot register {}", spec.id))?;
            self.services.push((agent, service));
        }
        Ok(())
    }

    fn config(&self, index: usize, join: Vec<String>) -> AgentConfig {
        let name = format!("a{}", index + 1);
        AgentConfig {
            cluster: "dev".to_owned(),
            data_dir: self.folder.data_dir(&name),
            socket: self.folder.socket(&name),
            name,
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
            sync_bind: None,
            advertise: None,
            advertise_sync_port: None,
            join,
            datacenter: "dc1".to_owned(),
            zone: format!("z{}", index % 3 + 1),
            // All agents stop at once, so none would be left to hear another one leave.
            keep_on_exit: true,
            insecure: false,
            listener_watch: true,
        }
    }

    /// The agents, the seed first.
    pub(in crate::dev) fn agents(&self) -> &[RunningAgent] {
        &self.agents
    }

    /// The services, each with the agent that it is registered with.
    pub(in crate::dev) fn services(&self) -> impl Iterator<Item = (&RunningAgent, &Service)> {
        self.services.iter().map(|(agent, service)| (&self.agents[*agent], service))
    }

    /// The socket to try commands on.
    pub(in crate::dev) fn first_socket(&self) -> &Path {
        &self.agents[0].socket
    }

    /// Stops the service that the key toggles, or starts it again. Returns a message that says which.
    pub(in crate::dev) async fn toggle_service(&mut self) -> Option<String> {
        let mut services = self.services.iter_mut().map(|(_, service)| service);
        let service = services.find(|service| service.spec.id == TOGGLED)?;
        Some(match service.toggle().await {
            Ok(()) if service.is_running() => format!("{TOGGLED} is started again"),
            Ok(()) => {
                format!("{TOGGLED} is stopped: its check is about to fail; s starts it again")
            }
            Err(error) => format!("{TOGGLED} cannot start on {}: {error}", service.addr),
        })
    }

    /// Stops all agents, then the services. Returns a text with their numbers.
    pub(in crate::dev) async fn stop(&mut self) -> String {
        let agents = counted(self.agents.len(), "agent");
        let services = counted(self.services.len(), "service instance");
        let mut stopping: JoinSet<()> = self.agents.drain(..).map(RunningAgent::stop).collect();
        while stopping.join_next().await.is_some() {}
        self.services.clear();
        format!("{agents} and {services}")
    }
}

async fn start_agent(config: AgentConfig) -> anyhow::Result<RunningAgent> {
    let name = config.name.clone();
    let agent = Agent::start(config).await;
    agent.map(RunningAgent::new).with_context(|| format!("agent {name} cannot start"))
}

async fn register(socket: &Path, service: &Service) -> anyhow::Result<()> {
    let mut client = Client::connect(socket).await?;
    match client.call(Request::Register(service.registration())).await? {
        Response::Registered { .. } => Ok(()),
        other => Err(anyhow::anyhow!("the agent answered {other:?}")),
    }
}

fn agent_number(name: &str) -> usize {
    name.trim_start_matches('a').parse().unwrap_or(0)
}
