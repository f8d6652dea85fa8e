//! The task of a discovery: it watches the service, reconnects, and moves the balancer's clock.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use hobnob_balancer::{Layered, Nearness, Prefer, Selector};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::known::{Known, Locality, Scope};
use super::{DiscoveryConfig, View};
use crate::ErrorCode;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};
use crate::clock::Moment;
use crate::types::{Instance, Request, Response, WatchQuery};
use crate::watching::WatchEvent;

/// Time between two moves of the balancer's clock.
const ADVANCE_PERIOD: Duration = Duration::from_millis(250);
/// An agent must answer within this time. The answer comes from memory, so a longer silence is a fault. An agent that
/// stalls during a watch is away after this time without an event, and as long again without a sign of life.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Follows one service.
pub(super) struct Follower {
    socket: PathBuf,
    query: WatchQuery,
    /// The run of the agent that told what is known.
    run: Option<String>,
    known: Known,
    scope: Scope,
    /// Whether picks depend on where the agent is.
    needs_locality: bool,
    balancer: Arc<Layered<Arc<Instance>>>,
    publish: watch::Sender<View>,
}

impl Follower {
    pub(super) fn new(
        config: DiscoveryConfig,
        selector: Selector,
        nearness: Nearness,
        balancer: Arc<Layered<Arc<Instance>>>,
        publish: watch::Sender<View>,
    ) -> Self {
        let DiscoveryConfig { service, namespace, socket, prefer, datacenter, strict, .. } = config;
        Self {
            socket,
            query: WatchQuery { namespace, ..WatchQuery::new(service) },
            run: None,
            known: Known::default(),
            scope: Scope { selector, datacenter, strict, nearness, locality: Locality::default() },
            needs_locality: prefer != Prefer::Any,
            balancer,
            publish,
        }
    }

    /// Runs until it is aborted. The clock of the balancer began then.
    pub(super) async fn run(mut self, started: Moment) {
        let balancer = self.balancer.clone();
        join(keep_time(&balancer, started), self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut backoff = Backoff::new();
        loop {
            // The error says why the agent is away. The view says that it is.
            let Err(error) = self.watch(&mut backoff).await;
            if matches!(&error, ClientError::Api(refusal) if refusal.code == ErrorCode::RequestMalformed)
            {
                // An agent of an earlier version knows no runs, and recognises most revisions of others all the same.
                self.run = None;
            }
            self.publish.send_if_modified(|view| {
                let was_there = view.away_since.is_none();
                view.away_since.get_or_insert_with(Moment::now);
                was_there
            });
            sleep(backoff.next()).await;
        }
    }

    /// Watches the service on one connection, for as long as that lasts.
    async fn watch(&mut self, backoff: &mut Backoff) -> Result<Infallible, ClientError> {
        let mut client = Client::connect(&self.socket).await?.answer_within(ANSWER_WITHIN);
        if self.needs_locality
            && let Response::Info(info) = client.call(Request::Info {}).await?
        {
            self.scope.locality = Locality { datacenter: info.datacenter, zone: info.zone };
        }
        let (since, run) = (self.known.revision(), self.run.clone());
        let run = run.filter(|_| since.is_some());
        let query = WatchQuery { since, run, ..self.query.clone() };
        let mut watch = client.watch(query).await?;
        loop {
            match watch.next().await {
                Some(event) => {
                    let event = event?;
                    self.run = watch.run().map(str::to_owned);
                    self.take(event);
                }
                None => return Err(ClientError::Closed { path: self.socket.clone() }),
            }
            backoff.reset();
        }
    }

    fn take(&mut self, event: WatchEvent) {
        let isolated = match &event {
            WatchEvent::Instances(now) => now.isolated,
            WatchEvent::Changes(changes) => changes.isolated,
        };
        self.known.take(event);
        let instances = self.known.instances();
        self.balancer.update(self.scope.layers(&instances));
        let view = View { instances: Some(instances), away_since: None, isolated };
        self.publish.send_replace(view);
    }
}

/// Circuits, ejections and slow starts end by the clock.
async fn keep_time(balancer: &Layered<Arc<Instance>>, started: Moment) {
    let mut ticks = interval(ADVANCE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        balancer.advance(started.elapsed());
    }
}
