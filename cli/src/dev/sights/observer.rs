//! The observer: it asks every agent periodically for its view, through the socket of the agent, as any client does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hobnob_api::client::{Client, ClientError};
use hobnob_api::{Datacenters, Query, Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::snapshot::{AgentRow, InstanceRow, Sight, Snapshot};
use crate::dev::cluster::{Cluster, DevAgent, SPECS};

/// The pause between two questions to one agent.
const PAUSE: Duration = Duration::from_millis(100);
/// The age of its last answer from which on an agent counts as silent.
const MAX_AGE: Duration = Duration::from_secs(2);

type Latest = Option<(Instant, Sight)>;

/// One task for each agent, so that a slow agent does not delay the others. Dropping it ends them.
pub(in crate::dev) struct Observer {
    latest: Vec<watch::Receiver<Latest>>,
    _tasks: JoinSet<()>,
}

impl Observer {
    pub(in crate::dev) fn start(cluster: &Cluster<'_>) -> Self {
        let mut tasks = JoinSet::new();
        let observe = |agent: &DevAgent| {
            let (sender, receiver) = watch::channel(None);
            tasks.spawn(observe(agent.socket.clone(), sender));
            receiver
        };
        let latest = cluster.agents().iter().map(observe).collect();
        Self { latest, _tasks: tasks }
    }

    /// The agents and the servers, with the latest answers of each agent.
    pub(in crate::dev) fn snapshot(&self, cluster: &Cluster<'_>) -> Snapshot {
        let agents = cluster.agents().iter().zip(&self.latest).map(|(agent, latest)| AgentRow {
            name: agent.name.clone(),
            gossip: agent.gossip,
            sight: latest
                .borrow()
                .as_ref()
                .filter(|(at, _)| agent.is_running() && at.elapsed() < MAX_AGE)
                .map(|(_, sight)| sight.clone()),
            condition: agent.condition(),
            is_cut_off: cluster.is_cut_off(&agent.name),
        });
        let instances = cluster.servers().iter().map(|server| InstanceRow {
            service: server.spec.service.to_owned(),
            id: server.spec.id.to_owned(),
            agent: server.agent.clone(),
            addr: server.addr,
            is_running: server.is_running(),
            condition: server.condition(),
        });
        Snapshot { agents: agents.collect(), instances: instances.collect() }
    }
}

async fn observe(socket: PathBuf, latest: watch::Sender<Latest>) {
    loop {
        // Ignore errors: an agent that stopped is silent, and the snapshot shows that by the age of its last answer.
        let _ = ask_over_and_over(&socket, &latest).await;
        sleep(PAUSE).await;
    }
}

async fn ask_over_and_over(
    socket: &Path,
    latest: &watch::Sender<Latest>,
) -> Result<(), ClientError> {
    let mut client = Client::connect(socket).await?;
    let services = BTreeSet::from(SPECS.map(|spec| spec.service));
    loop {
        let mut sight = Sight::default();
        if let Response::Members(members) =
            client.call(Request::Members { all: true, datacenter: Datacenters::All }).await?
        {
            sight.members = members.members;
        }
        for service in &services {
            if let Response::Instances(answer) = client.call(all_of(service)).await? {
                sight.instances.extend(answer.instances);
            }
        }
        latest.send_replace(Some((Instant::now(), sight)));
        sleep(PAUSE).await;
    }
}

fn all_of(service: &str) -> Request {
    Request::Resolve(Query { all: true, ..Query::new(service) })
}
