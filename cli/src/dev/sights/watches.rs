//! Watches on all agents: they tell at once when an agent offers an instance no more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hobnob_api::client::{Client, ClientError};
use hobnob_api::{Instance, InstanceStatus, WatchEvent, WatchQuery};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dev::cluster::{Cluster, PRESENCE, PRESENCE_NAMESPACE, SPECS};

/// The pause before an agent that is away is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// The most sightings that wait. Further ones wait in the sockets.
const MAX_SIGHTINGS: usize = 1_024;

/// The word of an agent on whether it offers an instance.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Sighting {
    /// The name of the agent.
    pub(in crate::dev) agent: String,
    /// The time at which that was read.
    pub(in crate::dev) at: Instant,
    /// The id of the instance.
    pub(in crate::dev) id: String,
    /// Whether the agent offers it.
    pub(in crate::dev) offer: Offer,
}

/// Whether an agent offers an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dev) enum Offer {
    /// It offers it as a healthy one.
    Healthy,
    /// It offers it because nothing healthy is left.
    LastResort,
    /// It does not offer it.
    Nothing,
}

impl From<&Instance> for Offer {
    fn from(instance: &Instance) -> Self {
        match (instance.offered, instance.status) {
            (true, InstanceStatus::Healthy) => Self::Healthy,
            (true, _) => Self::LastResort,
            (false, _) => Self::Nothing,
        }
    }
}

/// A watch on each agent of each service, and of the presence of the agents. Dropping it ends them.
pub(in crate::dev) struct Watches {
    sightings: mpsc::Receiver<Sighting>,
    _tasks: JoinSet<()>,
}

impl Watches {
    pub(in crate::dev) fn start(cluster: &Cluster<'_>) -> Self {
        let (sender, sightings) = mpsc::channel(MAX_SIGHTINGS);
        let services = BTreeSet::from(SPECS.map(|spec| spec.service)).into_iter();
        let presence =
            WatchQuery { namespace: PRESENCE_NAMESPACE.to_owned(), ..WatchQuery::new(PRESENCE) };
        let queries: Vec<_> = services.map(WatchQuery::new).chain([presence]).collect();
        let mut tasks = JoinSet::new();
        for agent in cluster.agents() {
            for query in &queries {
                tasks.spawn(follow(
                    agent.name.clone(),
                    agent.socket.clone(),
                    query.clone(),
                    sender.clone(),
                ));
            }
        }
        Self { sightings, _tasks: tasks }
    }

    /// The next sighting. Cancelling the wait loses none.
    pub(in crate::dev) async fn next(&mut self) -> Sighting {
        match self.sightings.recv().await {
            Some(sighting) => sighting,
            None => std::future::pending().await,
        }
    }
}

async fn follow(
    agent: String,
    socket: PathBuf,
    query: WatchQuery,
    sightings: mpsc::Sender<Sighting>,
) {
    loop {
        // Ignore errors: an agent that is away is followed again when it is back.
        let _ = watch(&agent, &socket, query.clone(), &sightings).await;
        sleep(PAUSE).await;
    }
}

async fn watch(
    agent: &str,
    socket: &Path,
    query: WatchQuery,
    sightings: &mpsc::Sender<Sighting>,
) -> Result<(), ClientError> {
    let mut watch = Client::connect(socket).await?.watch(query).await?;
    while let Some(event) = watch.next().await {
        let event = event?;
        let at = Instant::now();
        let instances = match event {
            WatchEvent::Instances(all) => all.instances,
            WatchEvent::Changes(changes) => changes.instances,
        };
        for instance in instances {
            let (offer, id) = (Offer::from(&instance), instance.id);
            let sighting = Sighting { agent: agent.to_owned(), at, id, offer };
            // Ignore the error: the task ends with the receiver.
            let _ = sightings.send(sighting).await;
        }
    }
    Ok(())
}
