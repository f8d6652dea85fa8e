//! The state that a connection keeps from call to call.

use std::sync::Arc;

use hobnob_api::codec::Malformed;
use hobnob_api::{API_VERSION, ApiError, Call, ErrorCode, Reply, Request, Response, WatchQuery};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::counters::Watching;
use super::super::door::Accepted;
use super::super::handler::Handler;
use super::super::places::Place;
use crate::budget::{Budget, Held};
use crate::queries::pick::Picks;
use crate::queries::watch::{Event, Told, Watch};
use crate::services::Shown;

/// Watches of one connection.
const MAX_WATCHES: usize = 64;

/// A reply of a watch, with what it takes until it is written.
pub(super) struct Outgoing {
    pub(super) reply: Reply<Shown>,
    _held: Option<Arc<Held>>,
}

/// Answers the calls of one connection.
pub(super) struct Conversation {
    handler: Arc<Handler>,
    accepted: Accepted,
    allowance: Arc<Budget>,
    picks: Picks,
    watches: JoinSet<()>,
    /// The queue into which watches send their events.
    replies: mpsc::Sender<Outgoing>,
}

impl Conversation {
    pub(super) fn new(
        handler: Arc<Handler>,
        accepted: Accepted,
        allowance: Arc<Budget>,
        replies: mpsc::Sender<Outgoing>,
    ) -> Self {
        let picks = Picks::new(allowance.clone());
        Self { handler, accepted, allowance, picks, watches: JoinSet::new(), replies }
    }

    pub(super) fn place(&self) -> &Place {
        &self.accepted.place
    }

    /// Whether a watch goes on.
    pub(super) fn watches(&mut self) -> bool {
        while self.watches.try_join_next().is_some() {}
        !self.watches.is_empty()
    }

    /// The reply to a call; `None` for a watch, which replies by itself.
    pub(super) async fn answer(&mut self, call: Result<Call, Malformed>) -> Option<Reply<Shown>> {
        let Call { id, api, request } = match call {
            Ok(call) => call,
            Err(malformed) => {
                self.count_malformed();
                let response = refusal(ErrorCode::RequestMalformed, &malformed.to_string());
                return Some(Reply { id: malformed.id, api: None, response });
            }
        };
        let response = match (api, request) {
            (Some(asked), _) if asked != API_VERSION => {
                let message = format!(
                    "the agent speaks version {API_VERSION} of the API, not version {asked}"
                );
                refusal(ErrorCode::ApiVersionUnsupported, &message)
            }
            (_, request) => {
                let Accepted { door, place, caller } = &self.accepted;
                door.counters.count_call();
                let allowed = door.check(&request).and_then(|()| place.check(&request));
                match (allowed, request) {
                    (Err(refused), _) => Response::Error(refused),
                    (Ok(()), Request::Watch(query)) => self.watch(id, query)?,
                    (Ok(()), request) => {
                        self.handler.answer(request, *caller, &mut self.picks).await
                    }
                }
            }
        };
        Some(Reply { id, api: None, response })
    }

    /// Starts a watch, or says why not.
    fn watch(&mut self, id: u64, query: WatchQuery) -> Option<Response<Shown>> {
        self.watches();
        if self.watches.len() >= MAX_WATCHES {
            let message =
                format!("this connection watches {MAX_WATCHES} services, and more are not allowed");
            return Some(refusal(ErrorCode::TooManyWatches, &message));
        }
        let registry = self.handler.registry().clone();
        let mut watch = match Watch::new(registry, query, self.allowance.clone()) {
            Ok(watch) => watch,
            Err(refused) => return Some(Response::Error(refused)),
        };
        let replies = self.replies.clone();
        let watching = Watching::begin(self.accepted.door.clone());
        self.watches.spawn(async move {
            let _watching = watching;
            loop {
                let (response, held) = match watch.next().await {
                    Ok(Told { event: Event::Instances(instances), held }) => {
                        (Response::Instances(instances), Some(held))
                    }
                    Ok(Told { event: Event::Changes(changes), held }) => {
                        (Response::Changes(changes), Some(held))
                    }
                    Err(exhausted) => (Response::Error(exhausted.into()), None),
                };
                let has_ended = held.is_none();
                let reply = Reply { id, api: None, response };
                if replies.send(Outgoing { reply, _held: held }).await.is_err() || has_ended {
                    return;
                }
            }
        });
        None
    }

    /// Makes the agent leave and stop.
    pub(super) fn leave(&self) {
        self.handler.leave();
    }

    pub(super) fn count_malformed(&self) {
        self.accepted.door.counters.count_malformed();
    }

    pub(super) fn count_idle(&self) {
        self.accepted.door.counters.count_idle();
    }
}

fn refusal(code: ErrorCode, message: &str) -> Response<Shown> {
    Response::Error(ApiError::new(code, message))
}
