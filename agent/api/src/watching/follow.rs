//! A watch that outlives connections: it connects again, and goes on where it was or starts over.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::{Event, MembersEvent, Told, Watch, WatchEvent};
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};
use crate::types::{Request, Reset, WatchAllQuery, WatchMembersQuery, WatchQuery};
use crate::{ErrorCode, ErrorKind};

/// Something that can be followed.
pub trait Subject: Clone {
    /// What a watch of it tells.
    type Event: Event;

    /// The same after a revision of a run.
    #[must_use]
    fn after(&self, since: Option<u64>, run: Option<String>) -> Self;

    /// The request to follow it.
    fn request(&self) -> Request;

    /// The revision that its first watch begins after, with its run.
    fn begins_after(&self) -> (Option<u64>, Option<String>);
}

macro_rules! subject {
    ($query:ident, $request:ident, $event:ident) => {
        impl Subject for $query {
            type Event = $event;

            fn after(&self, since: Option<u64>, run: Option<String>) -> Self {
                Self { since, run, ..self.clone() }
            }

            fn request(&self) -> Request {
                Request::$request(self.clone())
            }

            fn begins_after(&self) -> (Option<u64>, Option<String>) {
                (self.since, self.run.clone())
            }
        }
    };
}

subject!(WatchQuery, Watch, WatchEvent);
subject!(WatchAllQuery, WatchAll, WatchEvent);
subject!(WatchMembersQuery, WatchMembers, MembersEvent);

/// A step of a [`Follow`].
#[derive(Debug)]
pub enum Followed<E> {
    /// An event. With [`Told::reset`] it is the whole picture, and what was known before and is not in it has vanished.
    Event(E, Told),
    /// No agent answers. It is tried again; this comes once for each time that it goes away.
    Away(ClientError),
}

/// Follows something over restarts of the agent. It never skips a change silently: after a loss of the connection the watch
/// goes on after the last whole event, or the next event is the whole picture and says why.
#[derive(Debug)]
pub struct Follow<S: Subject> {
    socket: PathBuf,
    within: Duration,
    subject: S,
    since: Option<u64>,
    run: Option<String>,
    watch: Option<Watch<S::Event>>,
    /// Whether it was told that the agent is away.
    is_away: bool,
    backoff: Backoff,
    events: PhantomData<S>,
}

impl<S: Subject> Follow<S> {
    /// Follows through the agent at this socket, which must give each answer in this time. It needs no agent yet.
    #[must_use]
    pub fn new(socket: PathBuf, within: Duration, subject: S) -> Self {
        let (since, run) = subject.begins_after();
        let backoff = Backoff::new();
        let (watch, is_away, events) = (None, false, PhantomData);
        Self { socket, within, subject, since, run, watch, is_away, backoff, events }
    }

    /// The next step. Cancelling the wait loses none.
    ///
    /// # Errors
    /// The agent refuses the request for good. Nothing follows.
    pub async fn next(&mut self) -> Result<Followed<S::Event>, ClientError> {
        loop {
            match self.step().await {
                Ok((event, mut told)) => {
                    self.backoff.reset();
                    self.is_away = false;
                    if told.reset.is_none() && event.is_whole() && self.since.is_some() {
                        // An agent of an earlier version gives no reason.
                        told.reset = Some(Reset::Unknown);
                    }
                    self.since = Some(event.at());
                    self.run.clone_from(&told.run);
                    return Ok(Followed::Event(event, told));
                }
                // An agent of an earlier version knows no runs, and recognises most revisions of others all the same.
                Err(ClientError::Api(refusal))
                    if refusal.code == ErrorCode::RequestMalformed && self.run.is_some() =>
                {
                    (self.watch, self.run) = (None, None);
                }
                Err(ClientError::Api(refusal)) if is_final(&refusal) => {
                    return Err(ClientError::Api(refusal));
                }
                Err(error) => {
                    self.watch = None;
                    if !std::mem::replace(&mut self.is_away, true) {
                        return Ok(Followed::Away(error));
                    }
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(S::Event, Told), ClientError> {
        if self.watch.is_none() {
            if self.is_away {
                sleep(self.backoff.next()).await;
            }
            let client = Client::connect(&self.socket).await?.answer_within(self.within);
            let run = self.run.clone().filter(|_| self.since.is_some());
            let subject = self.subject.after(self.since, run);
            self.watch = Some(client.follow(&subject).await?);
        }
        let closed = || ClientError::Closed { path: self.socket.clone() };
        let watch = self.watch.as_mut().ok_or_else(closed)?;
        let event = watch.next().await.ok_or_else(closed)??;
        Ok((event, watch.told().clone()))
    }
}

/// Whether the request can never succeed as it is. A watch that held too much, or whose event was too long for what its
/// connection may hold, may succeed later.
fn is_final(refusal: &crate::ApiError) -> bool {
    refusal.kind == ErrorKind::Invalid
        && !matches!(refusal.code, ErrorCode::TooManyWatches | ErrorCode::AnswerTooLarge)
}
