//! Watches as Server-Sent Events: each event has a revision as its id, and a client that comes back with it goes on there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use hobnob_api::{API_VERSION, ApiError, ErrorCode, Reply, Request};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::answer::{counted, text_of};
use super::connection::Connection;
use super::limits::{Limit, Taken};
use super::own::{Field, as_error, fields_of, refusal};
use super::parameters::{BadParameter, Parameters};
use super::routes::Routes;
use crate::budget::{Budget, Exhausted};
use crate::clock::wall_clock_ms;
use crate::queries::timestamp::timestamp;
use crate::queries::watch::{Event, MembersWatch, Told, Watch};
use crate::services::Shown;

/// After this long without an event, a comment shows that the stream goes on.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// The time after which a browser comes back, in milliseconds.
const RETRY_MS: u64 = 1_000;

const FIELDS: &[(&str, Field)] = &[
    ("service", Field::Text),
    ("namespace", Field::Text),
    ("since", Field::Number),
    ("run", Field::Text),
    ("datacenter", Field::List),
    ("strict", Field::Flag),
];
const MEMBERS_FIELDS: &[(&str, Field)] =
    &[("since", Field::Number), ("run", Field::Text), ("datacenter", Field::List)];

/// A watch that goes on.
pub(super) enum Watching {
    Instances(Box<Watch>),
    Members(Box<MembersWatch>),
}

impl Watching {
    /// The next event or part of one. Dropping the future before it is ready loses nothing.
    pub(super) async fn next(&mut self) -> Result<Told, Exhausted> {
        match self {
            Self::Instances(watch) => watch.next().await,
            Self::Members(watch) => watch.next().await,
        }
    }
}

/// Answers `/v1/hobnob/watch`: one service, or all of them.
pub(super) async fn watch(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let begun = request(query.as_deref(), &headers, false);
    begin(&routes, &connection, begun).await
}

/// Answers `/v1/hobnob/watch_members`.
pub(super) async fn watch_members(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let begun = request(query.as_deref(), &headers, true);
    begin(&routes, &connection, begun).await
}

async fn begin(
    routes: &Routes,
    connection: &Connection,
    request: Result<Request, ApiError>,
) -> Response {
    match try_begin(routes, connection, request).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

async fn try_begin(
    routes: &Routes,
    connection: &Connection,
    request: Result<Request, ApiError>,
) -> Result<Response, ApiError> {
    let request = request?;
    let handler = routes.handler().map_err(as_error)?;
    let place = routes.limits.take(Limit::Streams).map_err(as_error)?;
    let allowance = connection.picks(routes.budget(handler)).lock().await.allowance().clone();
    let (registry, budget) = (handler.registry.clone(), allowance.clone());
    let watching = match request {
        Request::Watch(query) => {
            Watching::Instances(Box::new(Watch::new(registry.clone(), query, budget)?))
        }
        Request::WatchAll(query) => {
            Watching::Instances(Box::new(Watch::all(registry.clone(), query, budget)?))
        }
        Request::WatchMembers(query) => {
            Watching::Members(Box::new(MembersWatch::new(registry.clone(), query, budget)?))
        }
        other => {
            let message = format!("`{}` is no watch", other.name());
            return Err(ApiError::new(ErrorCode::RequestMalformed, message));
        }
    };
    let (run, stage) = (registry.run().to_owned(), Stage::First);
    let told = Stream { watching, allowance, run, stage, _place: place };
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(stream::unfold(told, Stream::tell))).into_response())
}

/// The watch that parameters ask for. The id of the last event that a client had stands for its revision and its run.
fn request(
    query: Option<&str>,
    headers: &HeaderMap,
    of_members: bool,
) -> Result<Request, ApiError> {
    let malformed = |BadParameter(message)| ApiError::new(ErrorCode::RequestMalformed, message);
    let fields = if of_members { MEMBERS_FIELDS } else { FIELDS };
    let mut parameters = Parameters::parse(query).map_err(malformed)?;
    let mut read = fields_of(&mut parameters, fields).map_err(malformed)?;
    let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    parameters.finish(&known).map_err(malformed)?;
    if let Some(last) = headers.get("last-event-id").and_then(|last| last.to_str().ok()) {
        let (revision, run) = last.split_once('-').unwrap_or((last, ""));
        let revision: u64 = revision.parse().map_err(|_| {
            malformed(BadParameter("the header `Last-Event-ID` is no id of an event".to_owned()))
        })?;
        read.insert("since".to_owned(), revision.into());
        read.remove("run");
        if !run.is_empty() {
            read.insert("run".to_owned(), run.into());
        }
    }
    let name = match (of_members, read.contains_key("service")) {
        (true, _) => "watch_members",
        (false, true) => "watch",
        (false, false) => "watch_all",
    };
    let request = Value::Object(Map::from_iter([(name.to_owned(), Value::Object(read))]));
    serde_json::from_value(request).map_err(|error| malformed(BadParameter(error.to_string())))
}

#[derive(PartialEq)]
enum Stage {
    First,
    Goes,
    Ended,
}

/// A stream of events.
struct Stream {
    watching: Watching,
    allowance: Arc<Budget>,
    run: String,
    stage: Stage,
    _place: Taken,
}

impl Stream {
    /// The next piece of the stream. It is asked for when there is room to write.
    async fn tell(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let piece = match self.stage {
            Stage::Ended => return None,
            Stage::First => {
                self.stage = Stage::Goes;
                format!("retry: {RETRY_MS}\n\n").into()
            }
            // Dropping the watch's future loses nothing.
            Stage::Goes => match timeout(ALIVE_EVERY, self.watching.next()).await {
                Err(_) => Bytes::from_static(b": alive\n\n"),
                Ok(Ok(told)) => self.event(told),
                Ok(Err(exhausted)) => self.failure(&exhausted.into()),
            },
        };
        Some((Ok(piece), self))
    }

    fn event(&mut self, told: Told) -> Bytes {
        let _held = told.held.clone();
        let (name, revision, reply) = reply(told, Some(self.run.clone()));
        let id = format!("{revision}-{}", self.run);
        let text = match text_of(&reply, false) {
            Ok(text) => text,
            Err(refused) => return self.failure(&as_error(refused)),
        };
        let counted = counted(piece(name, Some(&id), &text), &self.allowance);
        counted.unwrap_or_else(|exhausted| self.failure(&exhausted))
    }

    /// The last event, which tells why the watch ends.
    fn failure(&mut self, error: &ApiError) -> Bytes {
        self.stage = Stage::Ended;
        failure(error).into()
    }
}

/// An event of a watch as a reply, with its name and its revision.
pub(super) fn reply(told: Told, run: Option<String>) -> (&'static str, u64, Reply<Shown>) {
    let Told { event, reset, more, held: _ } = told;
    let (name, revision, response) = match event {
        Event::Instances(told) => {
            ("instances", told.revision, hobnob_api::Response::Instances(told))
        }
        Event::Changes(told) => ("changes", told.revision, hobnob_api::Response::Changes(told)),
        Event::Members(told) => ("members", told.revision, hobnob_api::Response::Members(told)),
        Event::MemberChanges(told) => {
            ("member_changes", told.revision, hobnob_api::Response::MemberChanges(told))
        }
    };
    let time = Some(timestamp(wall_clock_ms()));
    let api = Some(API_VERSION);
    (name, revision, Reply { api, run, time, reset, more, ..Reply::new(0, response) })
}

/// The event that ends a stream.
pub(super) fn failure(error: &ApiError) -> Vec<u8> {
    let reply: Reply<Shown> = Reply::new(0, hobnob_api::Response::Error(error.clone()));
    // Texts and numbers can always be written.
    let text = serde_json::to_vec(&reply).unwrap_or_default();
    piece("error", None, &text)
}

/// An event of one line of JSON.
pub(super) fn piece(name: &str, id: Option<&str>, json: &[u8]) -> Vec<u8> {
    let id = id.map(|id| format!("id: {id}\n"));
    let head = format!("event: {name}\n{}data: ", id.unwrap_or_default());
    let mut piece = Vec::with_capacity(head.len() + json.len() + 2);
    piece.extend_from_slice(head.as_bytes());
    piece.extend_from_slice(json.trim_ascii_end());
    piece.extend_from_slice(b"\n\n");
    piece
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(query: &str, last: Option<&str>, of_members: bool) -> Value {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", last.parse().expect("a value"));
        }
        let request = request(Some(query), &headers, of_members).expect("a watch");
        serde_json::to_value(request).expect("written")
    }

    #[test]
    fn the_last_event_says_where_a_watch_goes_on() {
        assert_eq!(read("", None, false), json!({ "watch_all": {} }));
        let fresh = read("service=web&strict", None, false);
        assert_eq!(fresh, json!({ "watch": { "service": "web", "strict": true } }));
        let resumed = read("service=web&since=1&run=x", Some("77-00ab"), false);
        assert_eq!(resumed, json!({ "watch": { "service": "web", "since": 77, "run": "00ab" } }));
        let plain = read("run=x", Some("77"), true);
        assert_eq!(plain, json!({ "watch_members": { "since": 77 } }));
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "x".parse().expect("a value"));
        assert!(request(None, &headers, false).is_err());
    }
}
