//! Watches: their events, put together of their parts, and a follower that connects again.

mod follow;
mod parts;
mod picture;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
#[cfg(feature = "call")]
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use tokio::task::yield_now;
#[cfg(feature = "call")]
use tokio::time::timeout;
use tokio::time::{Instant, timeout_at};

use crate::client::{Client, ClientError, answer};
use crate::types::{
    Changes, Instances, MemberChanges, Members, Request, Reset, Response, WatchAllQuery,
    WatchMembersQuery, WatchQuery,
};

pub use follow::{Follow, Followed, Subject};
pub use picture::{MemberPicture, Picture};

impl Client {
    /// Follows a service on this connection: its instances now, then its changes.
    ///
    /// # Errors
    /// When the request cannot be sent. A refusal comes as the first event.
    pub async fn watch(self, query: WatchQuery) -> Result<Watch, ClientError> {
        self.follow(&query).await
    }

    /// Follows all services on this connection.
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub async fn watch_all(self, query: WatchAllQuery) -> Result<Watch, ClientError> {
        self.follow(&query).await
    }

    /// Follows the members on this connection.
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub async fn watch_members(
        self,
        query: WatchMembersQuery,
    ) -> Result<Watch<MembersEvent>, ClientError> {
        self.follow(&query).await
    }

    /// Follows anything that can be followed, on this connection. A [`Follow`] connects again.
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub async fn follow<S: Subject>(mut self, subject: &S) -> Result<Watch<S::Event>, ClientError> {
        let id = self.send(subject.request()).await?;
        Ok(Watch::new(self, id))
    }
}

/// An event of a watch of instances. In JSON it is the response that it came as.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEvent {
    /// All instances now: the first event, unless the watch resumes, and again when the agent starts the watch over.
    Instances(Instances),
    /// The instances that changed since the last event.
    Changes(Changes),
}

impl WatchEvent {
    /// The revision that the watch has reached. Another watch can go on from it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Instances(instances) => instances.revision,
            Self::Changes(changes) => changes.revision,
        }
    }
}

/// An event of a watch of members. In JSON it is the response that it came as.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MembersEvent {
    /// All members that are not gone: the first event, unless the watch resumes, and again when the agent starts the watch
    /// over.
    Members(Members),
    /// What changed since the last event.
    MemberChanges(MemberChanges),
}

/// Something that a watch tells.
pub trait Event: Sized {
    /// The event that a response is; `None` for another response.
    fn of(response: Response) -> Option<Self>;

    /// The revision that the watch has reached with it.
    fn at(&self) -> u64;

    /// Whether it is the whole picture.
    fn is_whole(&self) -> bool;
}

impl Event for WatchEvent {
    fn of(response: Response) -> Option<Self> {
        match response {
            Response::Instances(instances) => Some(Self::Instances(instances)),
            Response::Changes(changes) => Some(Self::Changes(changes)),
            _ => None,
        }
    }

    fn at(&self) -> u64 {
        self.revision()
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Instances(_))
    }
}

impl Event for MembersEvent {
    fn of(response: Response) -> Option<Self> {
        match response {
            Response::Members(members) => Some(Self::Members(members)),
            Response::MemberChanges(changes) => Some(Self::MemberChanges(changes)),
            _ => None,
        }
    }

    fn at(&self) -> u64 {
        match self {
            Self::Members(members) => members.revision,
            Self::MemberChanges(changes) => changes.revision,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Members(_))
    }
}

/// What an agent says with an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The time at which the agent told it, as in RFC 3339; absent from an agent of an earlier version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The run of the agent that the revision is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The reason why the event is the whole picture, although the watch was to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
}

/// The events of a watch.
#[derive(Debug)]
pub struct Watch<E = WatchEvent> {
    client: Client,
    id: u64,
    begun: bool,
    ended: bool,
    /// The time at which the agent last said something, or was asked for a sign of life.
    silent_since: Instant,
    /// Whether the agent was asked for a sign of life, and has said nothing since.
    asked: bool,
    /// The parts of an event that is not whole yet.
    parts: Option<(Response, Told)>,
    told: Told,
    /// The last request beside the watch.
    #[cfg(feature = "call")]
    aside: u64,
    /// Whether the agent refused a request beside the watch.
    #[cfg(feature = "call")]
    is_refused_aside: bool,
    events: PhantomData<fn() -> E>,
}

impl<E> Watch<E> {
    pub(crate) fn new(client: Client, id: u64) -> Self {
        Self {
            client,
            id,
            begun: false,
            ended: false,
            silent_since: Instant::now(),
            asked: false,
            parts: None,
            told: Told::default(),
            #[cfg(feature = "call")]
            aside: 0,
            #[cfg(feature = "call")]
            is_refused_aside: false,
            events: PhantomData,
        }
    }

    /// What the agent said with the last event.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The run of the agent, once it has told something. An agent of an earlier version tells none.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.client.run()
    }

    /// Sends a request on the connection of the watch. Its answer is of no interest, unless it is a refusal.
    #[cfg(feature = "call")]
    pub(crate) async fn send_aside(
        &mut self,
        request: Request,
        within: Duration,
    ) -> Result<(), ClientError> {
        let path = self.client.path().to_owned();
        let sent = timeout(within, self.client.send(request)).await;
        self.aside = sent.map_err(|_| ClientError::Timeout { path, within })??;
        Ok(())
    }

    /// Whether the agent refused a request beside the watch.
    #[cfg(feature = "call")]
    pub(crate) fn is_refused_aside(&self) -> bool {
        self.is_refused_aside
    }

    /// The next whole event.
    async fn receive(&mut self) -> Result<Response, ClientError> {
        loop {
            let within = self.client.within();
            let limit = self.silent_since + within;
            let mut received = timeout_at(limit, self.client.receive_any()).await.ok();
            if received.is_none() {
                // A caller that comes late finds what is there only after the runtime has looked.
                yield_now().await;
                received = self.client.receive_any().now_or_never();
            }
            let Some(reply) = received else {
                if self.asked || !self.begun {
                    let path = self.client.path().to_owned();
                    return Err(ClientError::Timeout { path, within });
                }
                self.asked = true;
                self.silent_since = Instant::now();
                self.client.send(Request::Info {}).await?;
                continue;
            };
            let reply = reply?;
            self.asked = false;
            self.silent_since = Instant::now();
            #[cfg(feature = "call")]
            if reply.id == self.aside && matches!(reply.response, Response::Error(_)) {
                self.is_refused_aside = true;
            }
            if reply.id != self.id && reply.id != 0 {
                continue;
            }
            self.begun = true;
            let (more, time, reset) = (reply.more, reply.time.clone(), reply.reset);
            let next = answer(reply)?;
            let run = self.client.run().map(str::to_owned);
            let (whole, told) = match self.parts.take() {
                None => (next, Told { time, run, reset }),
                Some((mut first, told)) => {
                    first.append(next).map_err(|reason| self.client.unreadable(reason))?;
                    (first, told)
                }
            };
            if !more {
                self.told = told;
                return Ok(whole);
            }
            self.parts = Some((whole, told));
        }
    }
}

impl<E: Event> Watch<E> {
    /// The next event, as soon as there is one; none after an error. The first event has to come in time, also that of a
    /// watch that resumes. Later an agent that says nothing for this time is asked for a sign of life, which has to come
    /// in time as well. Cancelling the wait loses no event, and begins no time anew.
    pub async fn next(&mut self) -> Option<Result<E, ClientError>> {
        if self.ended {
            return None;
        }
        let event = match self.receive().await {
            Ok(response) => {
                let name = format!("{response:.60?} answers no such watch");
                E::of(response).ok_or_else(|| self.client.unreadable(name))
            }
            Err(error) => Err(error),
        };
        self.ended = event.is_err();
        Some(event)
    }
}
