//! Asks every agent, over and over and through its socket as anybody would, what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hobnob_api::client::{Client, ClientError};
use hobnob_api::{DEFAULT_NAMESPACE, Instance, Member, Query, Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cluster::{Cluster, RunningAgent};
use super::service::SPECS;
use super::snapshot::{AgentRow, InstanceRow, Snapshot};

/// Between two questions to one agent.
const PAUSE: Duration = Duration::from_millis(100);
/// How old an answer may be before its agent counts as silent.
const MAX_AGE: Duration = Duration::from_secs(2);

/// What one agent sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    pub(super) members: Vec<Member>,
    pub(super) instances: Vec<Instance>,
}

type Latest = Option<(Instant, Sight)>;

/// One task for each agent, so that a slow agent does not delay the others. Dropping it ends them.
pub(super) struct Observer {
    latest: Vec<watch::Receiver<Latest>>,
    _tasks: JoinSet<()>,
}

impl Observer {
    pub(super) fn start(cluster: &Cluster<'_>) -> Self {
        let mut tasks = JoinSet::new();
        let observe = |agent: &RunningAgent| {
            let (sender, receiver) = watch::channel(None);
            tasks.spawn(observe(agent.socket.clone(), sender));
            receiver
        };
        let latest = cluster.agents().iter().map(observe).collect();
        Self { latest, _tasks: tasks }
    }

    /// What all agents see now, next to what there is to be seen.
    pub(super) fn snapshot(&self, cluster: &Cluster<'_>) -> Snapshot {
        let agents = cluster.agents().iter().zip(&self.latest).map(|(agent, latest)| AgentRow {
            name: agent.name.clone(),
            gossip: agent.gossip,
            sight: latest
                .borrow()
                .as_ref()
                .filter(|(at, _)| at.elapsed() < MAX_AGE)
                .map(|(_, sight)| sight.clone()),
        });
        let instances = cluster.services().map(|(agent, service)| InstanceRow {
            service: service.spec.service.to_owned(),
            id: service.spec.id.to_owned(),
            agent: agent.name.clone(),
            addr: service.addr,
            is_running: service.is_running(),
        });
        Snapshot { agents: agents.collect(), instances: instances.collect() }
    }
}

async fn observe(socket: PathBuf, latest: watch::Sender<Latest>) {
    loop {
        // An agent that stopped is silent; there is nobody to tell but the snapshot, which sees it from the age.
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
        let mut sight = Sight { members: vec![], instances: vec![] };
        if let Response::Members(members) = client.call(Request::Members {}).await? {
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
    Request::Resolve(Query {
        service: service.to_owned(),
        namespace: DEFAULT_NAMESPACE.to_owned(),
        all: true,
        tags: BTreeSet::new(),
        meta: BTreeMap::new(),
        selector: None,
        datacenter: None,
    })
}
