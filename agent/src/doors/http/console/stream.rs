//! The stream of the console: one connection tells the agent, the members, the instances and the history, each four times a second at
//! most. A page that comes back with the id of the last event goes on there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hobnob_api::{
    API_VERSION, ApiError, DatacenterList, HistoryQuery, Info, Reply, WatchAllQuery,
    WatchMembersQuery,
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::links::Links;
use crate::actor::Stopping;
use crate::budget::{Budget, Exhausted};
use crate::clock::wall_clock_ms;
use crate::doors::http::answer::{counted, text_of};
use crate::doors::http::connection::Connection;
use crate::doors::http::events::{Watching, failure, piece, reply};
use crate::doors::http::limits::{Limit, Taken};
use crate::doors::http::own::{as_error, refusal};
use crate::doors::http::routes::Routes;
use crate::doors::unix::handler::Handler;
use crate::queries::datacenters::datacenters;
use crate::queries::history::history;
use crate::queries::info::info;
use crate::queries::timestamp::timestamp;
use crate::queries::watch::{MembersWatch, Told, Watch};
use crate::services::Shown;

/// The changes of so long are told together. The first after a quiet time is told at once.
const COALESCE: Duration = Duration::from_millis(250);
/// The time between two looks at the agent itself. They also show that the stream goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The history of so long is told at the begin.
const HISTORY_MS: u64 = 15 * 60 * 1_000;
/// Later events of the history are asked for from so long before the last look: a lost member may be recorded ten seconds later.
const OVERLAP_MS: u64 = 15_000;
/// The most events of the history in one event of the stream. The newest are told.
const MAX_EVENTS: u32 = 2_000;

/// Answers `/ui/events`.
pub(super) async fn events(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Response {
    match begin(&routes, &connection, Position::of(&headers)).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

async fn begin(
    routes: &Routes,
    connection: &Connection,
    position: Position,
) -> Result<Response, ApiError> {
    let handler = routes.handler().map_err(as_error)?.clone();
    let taken = routes.limits.take(Limit::Streams).map_err(as_error)?;
    let allowance = connection.picks(routes.budget(&handler)).lock().await.allowance().clone();
    let told = ConsoleStream::new(handler, allowance, position, taken)?;
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    let pieces = futures_util::stream::unfold(told, ConsoleStream::tell);
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Where a page left off: the revisions of instances and of members that it has, of a run of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Position {
    instances: Option<u64>,
    members: Option<u64>,
    run: Option<String>,
}

impl Position {
    /// The position in the header `Last-Event-ID`. Without one that can be read everything is told from the begin.
    fn of(headers: &HeaderMap) -> Self {
        let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        id.and_then(Self::parse).unwrap_or_default()
    }

    /// The position in a run of an agent; the begin, if it is of another run.
    fn in_run(self, run: &str) -> Self {
        match self.run.as_deref() == Some(run) {
            true => self,
            false => Self { run: Some(run.to_owned()), ..Self::default() },
        }
    }

    /// Reads `INSTANCES.MEMBERS-RUN`. A revision of 0 stands for none.
    fn parse(id: &str) -> Option<Self> {
        let (revisions, run) = id.split_once('-')?;
        let (instances, members) = revisions.split_once('.')?;
        let revision = |text: &str| text.parse().ok().filter(|revision| *revision > 0);
        let (instances, members) = (revision(instances), revision(members));
        Some(Self { instances, members, run: Some(run.to_owned()) })
    }

    fn id(&self) -> String {
        let revision = |revision: Option<u64>| revision.unwrap_or_default();
        let run = self.run.as_deref().unwrap_or_default();
        format!("{}.{}-{run}", revision(self.instances), revision(self.members))
    }
}

/// A watch that tells its events apart from each other.
struct Paced {
    watching: Watching,
    not_before: Instant,
}

impl Paced {
    fn new(watching: Watching) -> Self {
        Self { watching, not_before: Instant::now() }
    }

    /// The next event. Dropping the future before it is ready loses nothing.
    async fn next(&mut self) -> Result<Told, Exhausted> {
        sleep_until(self.not_before).await;
        let told = self.watching.next().await?;
        if !told.more {
            self.not_before = Instant::now() + COALESCE;
        }
        Ok(told)
    }
}

/// What is to be told next.
enum Due {
    Agent,
    History,
    Watched(Box<Result<Told, Exhausted>>),
}

/// The agent itself.
#[derive(Serialize)]
struct AboutAgent {
    time: String,
    info: Info,
    datacenters: DatacenterList,
    links: Links,
}

impl AboutAgent {
    async fn of(handler: &Handler) -> Result<Self, Stopping> {
        let Handler { info: own, clock, registry, registrations, driver, .. } = handler;
        let mut info = info(own, clock, registry, registrations, driver).await?;
        // They are many, and the page shows none.
        info.counters.clear();
        info.protocol.clear();
        Ok(Self {
            time: timestamp(wall_clock_ms()),
            info,
            datacenters: datacenters(registry, driver).await?,
            links: driver.inspect(Links::read).await?,
        })
    }
}

/// The stream of a page.
struct ConsoleStream {
    handler: Arc<Handler>,
    allowance: Arc<Budget>,
    instances: Paced,
    members: Paced,
    position: Position,
    agent_at: Instant,
    history_at: Instant,
    /// The number of recorded events at the last look, and its time, in milliseconds since 1970.
    history_seen: Option<(u64, u64)>,
    is_over: bool,
    _taken: Taken,
}

impl ConsoleStream {
    fn new(
        handler: Arc<Handler>,
        allowance: Arc<Budget>,
        position: Position,
        taken: Taken,
    ) -> Result<Self, ApiError> {
        let registry = &handler.registry;
        let position = position.in_run(registry.run());
        let Position { instances: since, members, run } = position.clone();
        let query = WatchAllQuery { since, run: run.clone(), ..WatchAllQuery::default() };
        let instances = Watch::all(registry.clone(), query, allowance.clone())?;
        let query = WatchMembersQuery { since: members, run, ..WatchMembersQuery::default() };
        let members = MembersWatch::new(registry.clone(), query, allowance.clone())?;
        let now = Instant::now();
        Ok(Self {
            instances: Paced::new(Watching::Instances(Box::new(instances))),
            members: Paced::new(Watching::Members(Box::new(members))),
            position,
            agent_at: now,
            // What is there comes before what was.
            history_at: now + COALESCE,
            history_seen: None,
            is_over: false,
            handler,
            allowance,
            _taken: taken,
        })
    }

    /// The next piece of the stream. It is asked for when there is room to write.
    async fn tell(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        loop {
            let told = match self.due().await {
                Due::Agent => self.tell_agent().await.map(Some),
                Due::History => self.tell_history().await,
                Due::Watched(told) => {
                    told.map_err(ApiError::from).and_then(|told| self.tell_watched(told)).map(Some)
                }
            };
            let piece = match told {
                Ok(None) => continue,
                Ok(Some(piece)) => piece,
                Err(error) => {
                    self.is_over = true;
                    failure(&error).into()
                }
            };
            return Some((Ok(piece), self));
        }
    }

    /// Waits for what is due first. The agent comes before its members, and these before the instances, since a page shows them in that order.
    async fn due(&mut self) -> Due {
        tokio::select! {
            biased;
            () = sleep_until(self.agent_at) => {
                self.agent_at = Instant::now() + LOOK_EVERY;
                Due::Agent
            }
            () = sleep_until(self.history_at) => {
                self.history_at = Instant::now() + COALESCE;
                Due::History
            }
            told = self.members.next() => Due::Watched(Box::new(told)),
            told = self.instances.next() => Due::Watched(Box::new(told)),
        }
    }

    async fn tell_agent(&mut self) -> Result<Bytes, ApiError> {
        let agent = AboutAgent::of(&self.handler).await?;
        let text = text_of(&agent, false).map_err(as_error)?;
        self.counted("agent", &text)
    }

    /// The events that were recorded since the last look, if there are any.
    async fn tell_history(&mut self) -> Result<Option<Bytes>, ApiError> {
        let (recorded, now) = (self.handler.history.recorded(), wall_clock_ms());
        let since_ms = match self.history_seen {
            Some((seen, _)) if seen == recorded => return Ok(None),
            Some((_, at)) => now.saturating_sub(at) + OVERLAP_MS,
            None => HISTORY_MS,
        };
        self.history_seen = Some((recorded, now));
        let Handler { registry, history: kept, info, .. } = &*self.handler;
        let query =
            HistoryQuery { subject: None, since_ms: Some(since_ms), limit: Some(MAX_EVENTS) };
        let found = history(registry, kept, &info.name, query).await?;
        let reply: Reply<Shown> = Reply::new(0, hobnob_api::Response::History(Box::new(found)));
        let text = text_of(&Reply { api: Some(API_VERSION), ..reply }, false).map_err(as_error)?;
        self.counted("history", &text).map(Some)
    }

    fn tell_watched(&mut self, told: Told) -> Result<Bytes, ApiError> {
        let held = told.held.clone();
        let run = self.position.run.clone();
        let (name, revision, reply) = reply(told, run);
        let revision = Some(revision);
        match name {
            "instances" | "changes" => self.position.instances = revision,
            _ => self.position.members = revision,
        }
        let text = text_of(&reply, false).map_err(as_error)?;
        drop(held);
        self.counted(name, &text)
    }

    fn counted(&self, name: &str, json: &[u8]) -> Result<Bytes, ApiError> {
        counted(piece(name, Some(&self.position.id()), json), &self.allowance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_where_it_left_off() {
        let position = Position::parse("12.7-00ab").expect("a position");
        assert_eq!(
            (position.instances, position.members, position.run.as_deref()),
            (Some(12), Some(7), Some("00ab"))
        );
        assert_eq!(position.id(), "12.7-00ab");
        let half = Position::parse("0.7-x").expect("a position");
        assert_eq!(
            (half.instances, half.members),
            (None, Some(7)),
            "a picture that was not whole is told again"
        );
        assert_eq!(position.clone().in_run("00ab"), position);
        let fresh = Position { run: Some("00ac".to_owned()), ..Position::default() };
        assert_eq!(position.in_run("00ac"), fresh, "revisions of another run mean nothing");
        for other in ["", "12", "12-x", "12.7"] {
            assert_eq!(Position::parse(other), None, "{other}");
        }
        assert_eq!(
            Position::parse("a.b-x"),
            Some(Position { run: Some("x".to_owned()), ..Position::default() })
        );
    }
}
