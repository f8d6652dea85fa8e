//! The state that a connection keeps from call to call.

use std::sync::Arc;

use hobnob_api::codec::Malformed;
use hobnob_api::{API_VERSION, ApiError, Call, ErrorCode, Reply, Request, Response};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::answer::Answer;
use super::super::counters::Watching as Counted;
use super::super::door::Accepted;
use super::super::handler::Handler;
use super::super::places::Place;
use crate::budget::{Budget, Exhausted, Held};
use crate::clock::wall_clock_ms;
use crate::queries::pick::Picks;
use crate::queries::timestamp::timestamp;
use crate::queries::watch::{Event, MembersWatch, Told, Watch};
use crate::services::Shown;

/// Watches of one connection.
const MAX_WATCHES: usize = 64;

/// A reply of a watch, with what it takes until it is written.
pub(super) struct Outgoing {
    pub(super) reply: Reply<Shown>,
    /// Whether the connection ends with it: a watch failed after it began to tell.
    pub(super) ends: bool,
    _held: Option<Arc<Held>>,
}

/// A watch of instances or of members.
enum Watching {
    Instances(Box<Watch>),
    Members(Box<MembersWatch>),
}

impl Watching {
    fn of_instances(watch: Watch) -> Self {
        Self::Instances(Box::new(watch))
    }

    fn of_members(watch: MembersWatch) -> Self {
        Self::Members(Box::new(watch))
    }

    async fn next(&mut self) -> Result<Told, Exhausted> {
        match self {
            Self::Instances(watch) => watch.next().await,
            Self::Members(watch) => watch.next().await,
        }
    }
}

/// The reply that tells an event.
fn event(id: u64, told: Told) -> Outgoing {
    let Told { event, reset, more, held } = told;
    let response = match event {
        Event::Instances(instances) => Response::Instances(instances),
        Event::Changes(changes) => Response::Changes(changes),
        Event::Members(members) => Response::Members(members),
        Event::MemberChanges(changes) => Response::MemberChanges(changes),
    };
    let time = Some(timestamp(wall_clock_ms()));
    let reply = Reply { time, reset, more, ..Reply::new(id, response) };
    Outgoing { reply, ends: false, _held: Some(held) }
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

    /// The answer to a call; `None` for a watch, which replies by itself.
    pub(super) async fn answer(&mut self, call: Result<Call, Malformed>) -> Option<(u64, Answer)> {
        let Call { id, api, pages, request } = match call {
            Ok(call) => call,
            Err(malformed) => {
                self.count_malformed();
                let response = refusal(ErrorCode::RequestMalformed, &malformed.to_string());
                return Some((malformed.id, Answer::whole(response)));
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
                    (
                        Ok(()),
                        request @ (Request::Watch(_)
                        | Request::WatchAll(_)
                        | Request::WatchMembers(_)),
                    ) => self.watch(id, request)?,
                    (Ok(()), request) => {
                        let caller = *caller;
                        let answer = self.handler.answer(request, pages, caller, &mut self.picks);
                        return Some((id, answer.await));
                    }
                }
            }
        };
        Some((id, Answer::whole(response)))
    }

    /// Starts a watch, or says why not.
    fn watch(&mut self, id: u64, request: Request) -> Option<Response<Shown>> {
        self.watches();
        if self.watches.len() >= MAX_WATCHES {
            let message =
                format!("this connection has {MAX_WATCHES} watches, and more are not allowed");
            return Some(refusal(ErrorCode::TooManyWatches, &message));
        }
        let (registry, allowance) = (self.handler.registry().clone(), self.allowance.clone());
        let began = match request {
            Request::Watch(query) => {
                Watch::new(registry, query, allowance).map(Watching::of_instances)
            }
            Request::WatchAll(query) => {
                Watch::all(registry, query, allowance).map(Watching::of_instances)
            }
            Request::WatchMembers(query) => {
                MembersWatch::new(registry, query, allowance).map(Watching::of_members)
            }
            _ => return Some(refusal(ErrorCode::RequestMalformed, "this is no watch")),
        };
        let mut watching = match began {
            Ok(watching) => watching,
            Err(refused) => return Some(Response::Error(refused)),
        };
        let replies = self.replies.clone();
        let counted = Counted::begin(self.accepted.door.clone());
        self.watches.spawn(async move {
            let _counted = counted;
            let mut has_told = false;
            loop {
                let outgoing = match watching.next().await {
                    Ok(told) => event(id, told),
                    Err(exhausted) => Outgoing {
                        reply: Reply::new(id, Response::Error(exhausted.into())),
                        // Its client may know half a picture.
                        ends: has_told,
                        _held: None,
                    },
                };
                let has_ended = outgoing._held.is_none();
                if replies.send(outgoing).await.is_err() || has_ended {
                    return;
                }
                has_told = true;
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
