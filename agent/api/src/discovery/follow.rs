//! The task of a discovery: it watches the service, reconnects, and moves the balancer's clock.

use std::convert::Infallible;
use std::path::PathBuf;
#[cfg(feature = "call")]
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
#[cfg(feature = "call")]
use futures_util::future::{Either, select};
use hobnob_balancer::{Nearness, Prefer};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::View;
use super::known::{Known, Locality, Scope};
use super::settings::{InForce, OfProgram};
use crate::ErrorCode;
use crate::backoff::Backoff;
#[cfg(feature = "call")]
use crate::calls::Reporting;
use crate::client::{Client, ClientError};
use crate::clock::Moment;
use crate::types::{Request, Response, WatchQuery};
use crate::watching::{Watch, WatchEvent};

/// Time between two moves of the balancer's clock.
const ADVANCE_PERIOD: Duration = Duration::from_millis(250);
/// An agent must answer within this time. The answer comes from memory, so a longer silence is a fault. An agent that
/// stalls during a watch is away after this time without an event, and as long again without a sign of life.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Follows one service.
pub(super) struct Follower {
    pub(super) socket: PathBuf,
    pub(super) query: WatchQuery,
    /// The run of the agent that told what is known.
    pub(super) run: Option<String>,
    pub(super) known: Known,
    pub(super) scope: Scope,
    pub(super) prefer: Prefer,
    pub(super) program: OfProgram,
    pub(super) settings: watch::Sender<Arc<InForce>>,
    pub(super) publish: watch::Sender<View>,
    /// When the clock of the balancer began.
    pub(super) started: Moment,
    #[cfg(feature = "call")]
    pub(super) reporting: Reporting,
}

impl Follower {
    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let (settings, started) = (self.settings.subscribe(), self.started);
        join(keep_time(settings, started), self.follow()).await;
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
        // Picks depend on where the agent is.
        if self.prefer != Prefer::Any
            && let Response::Info(info) = client.call(Request::Info {}).await?
        {
            self.scope.locality = Locality { datacenter: info.datacenter, zone: info.zone };
        }
        let (since, run) = (self.known.revision(), self.run.clone());
        let run = run.filter(|_| since.is_some());
        let query = WatchQuery { since, run, ..self.query.clone() };
        let mut watch = client.watch(query).await?;
        #[cfg(feature = "call")]
        self.reporting.begin(&self.settings.borrow().balancer);
        loop {
            match self.next(&mut watch).await {
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

    /// The next event of a watch. Meanwhile the agent is told how calls ended.
    #[cfg(feature = "call")]
    async fn next(&mut self, watch: &mut Watch) -> Option<Result<WatchEvent, ClientError>> {
        loop {
            match select(pin!(watch.next()), pin!(self.reporting.due())).await {
                Either::Left((event, _)) => return event,
                Either::Right(((), _)) => {}
            }
            if watch.is_refused_aside() {
                self.reporting.refused();
            }
            let balancer = self.settings.borrow().balancer.clone();
            if let Some(report) = self.reporting.report(&balancer)
                && let Err(error) = watch.send_aside(report, ANSWER_WITHIN).await
            {
                return Some(Err(error));
            }
            self.reporting.done();
        }
    }

    #[cfg(not(feature = "call"))]
    async fn next(&mut self, watch: &mut Watch) -> Option<Result<WatchEvent, ClientError>> {
        watch.next().await
    }

    fn take(&mut self, event: WatchEvent) {
        let (isolated, told) = match &event {
            WatchEvent::Instances(now) => {
                (now.isolated, Some(now.settings.clone().unwrap_or_default()))
            }
            WatchEvent::Changes(changes) => (changes.isolated, changes.settings.clone()),
        };
        self.known.take(event);
        let instances = self.known.instances();
        let before = self.settings.borrow().clone();
        let changed = told.filter(|told| !before.is_told || *told != before.registered);
        let changed = changed.map(|told| self.program.in_force(told, Some(&before)));
        if let Some(now) = &changed {
            self.scope.nearness = Nearness::listed(self.prefer, now.failover.clone());
        }
        let balancer = changed.as_ref().map_or(&before.balancer, |now| &now.balancer);
        // A circuit that opens on a clock that stands at zero would close at once when the clock is set.
        balancer.advance(self.started.elapsed());
        balancer.update(self.scope.layers(&instances));
        if let Some(now) = changed {
            self.settings.send_replace(Arc::new(now));
        }
        let view = View { instances: Some(instances), away_since: None, isolated };
        self.publish.send_replace(view);
    }
}

/// Circuits, ejections and slow starts end by the clock.
async fn keep_time(settings: watch::Receiver<Arc<InForce>>, started: Moment) {
    let mut ticks = interval(ADVANCE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let balancer = settings.borrow().balancer.clone();
        balancer.advance(started.elapsed());
    }
}
