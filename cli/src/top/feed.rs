//! What the agent answers, over and over, on a connection that is made again whenever it breaks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use hobnob_api::client::{Client, ClientError};
use hobnob_api::{Datacenters, Info, Instance, Member, Query, Request, Response, ServiceSummary};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::app::Event;
use super::now;

/// The readings that wait to be drawn. The agent is not asked again before they are taken.
const MAX_WAITING: usize = 2;
/// The pause before the agent is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The name and the namespace of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceName {
    pub(super) service: String,
    pub(super) namespace: String,
}

/// What the agent says at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
    pub(super) info: Info,
    pub(super) members: Vec<Member>,
    pub(super) services: Vec<ServiceSummary>,
    /// The instances of the service that is chosen on the screen.
    pub(super) instances: Option<Chosen>,
}

/// The instances of one service.
pub(super) type Chosen = (ServiceName, Vec<Instance>);

/// Asks once, on a connection of its own.
pub(super) async fn ask(
    socket: &Path,
    within: Duration,
    chosen: Option<ServiceName>,
) -> Result<Reading, ClientError> {
    let mut client = Client::connect(socket).await?.answer_within(within);
    read(&mut client, socket, chosen).await
}

async fn read(
    client: &mut Client,
    socket: &Path,
    chosen: Option<ServiceName>,
) -> Result<Reading, ClientError> {
    let Response::Info(info) = client.call(Request::Info {}).await? else {
        return Err(unreadable(socket));
    };
    let everybody = Request::Members { all: true, datacenter: Datacenters::All };
    let Response::Members(members) = client.call(everybody).await? else {
        return Err(unreadable(socket));
    };
    let services = client.call(Request::Services { namespace: None }).await?;
    let Response::Services(services) = services else { return Err(unreadable(socket)) };
    let instances = read_instances(client, socket, chosen).await?;
    let (at, wall) = now();
    let (members, services) = (members.members, services.services);
    Ok(Reading { at, wall, info: *info, members, services, instances })
}

/// Asks for the instances of the chosen service alone.
async fn read_instances(
    client: &mut Client,
    socket: &Path,
    chosen: Option<ServiceName>,
) -> Result<Option<Chosen>, ClientError> {
    let Some(chosen) = chosen else { return Ok(None) };
    let query =
        Query { namespace: chosen.namespace.clone(), all: true, ..Query::new(&*chosen.service) };
    match client.call(Request::Resolve(query)).await? {
        Response::Instances(answer) => Ok(Some((chosen, answer.instances))),
        _ => Err(unreadable(socket)),
    }
}

fn unreadable(socket: &Path) -> ClientError {
    let reason = "it answers another question".to_owned();
    ClientError::Unreadable { path: socket.to_owned(), reason }
}

/// The task that asks. Dropping it ends the task.
pub(super) struct Feed {
    events: mpsc::Receiver<Event>,
    chosen: watch::Sender<Option<ServiceName>>,
    task: JoinHandle<()>,
}

impl Feed {
    pub(super) fn start(socket: PathBuf, within: Duration, interval: Duration) -> Self {
        let (sender, events) = mpsc::channel(MAX_WAITING);
        let (chosen, choice) = watch::channel(None);
        let task = tokio::spawn(ask_over_and_over(socket, within, interval, choice, sender));
        Self { events, chosen, task }
    }

    /// Sets the service whose instances are asked for, at once if it is another one.
    pub(super) fn choose(&self, service: Option<ServiceName>) {
        self.chosen.send_if_modified(|chosen| {
            let is_other = *chosen != service;
            *chosen = service;
            is_other
        });
    }

    pub(super) async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask_over_and_over(
    socket: PathBuf,
    within: Duration,
    interval: Duration,
    mut choice: watch::Receiver<Option<ServiceName>>,
    events: mpsc::Sender<Event>,
) {
    loop {
        let Err(error) = follow(&socket, within, interval, &mut choice, &events).await else {
            return;
        };
        if events.send(Event::Lost(error.to_string(), Instant::now())).await.is_err() {
            return;
        }
        sleep(RETRY).await;
    }
}

/// Asks until the connection breaks, or nobody takes the answers.
async fn follow(
    socket: &Path,
    within: Duration,
    interval: Duration,
    choice: &mut watch::Receiver<Option<ServiceName>>,
    events: &mpsc::Sender<Event>,
) -> Result<(), ClientError> {
    let mut client = Client::connect(socket).await?.answer_within(within);
    loop {
        let chosen = choice.borrow_and_update().clone();
        let reading = read(&mut client, socket, chosen).await?;
        if events.send(Event::Read(Box::new(reading))).await.is_err() {
            return Ok(());
        }
        let pause = sleep(interval);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                changed = choice.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
            // A key asks for no more than what it changes on the screen.
            let chosen = choice.borrow_and_update().clone();
            let Some(instances) = read_instances(&mut client, socket, chosen).await? else {
                continue;
            };
            if events.send(Event::Instances(instances)).await.is_err() {
                return Ok(());
            }
        }
    }
}
