//! Follows what templates ask for: each topic once, for as long as a template needs it.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hobnob_api::client::ClientError;
use hobnob_api::{
    Follow, Followed, MemberPicture, Picture, Subject, WatchAllQuery, WatchMembersQuery, WatchQuery,
};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::believed::{Believed, Pictured};
use super::topic::{Known, ServiceKey, Topic};
use crate::output;

/// What is followed for all templates of this process.
#[derive(Debug)]
pub(super) struct Feeds {
    socket: PathBuf,
    within: Duration,
    open: Mutex<HashMap<Topic, Weak<Feed>>>,
    agent: Arc<AgentState>,
}

/// How the agent is, as the watches tell.
#[derive(Debug)]
struct AgentState {
    /// Counts what happened. A template looks at its feeds then.
    ticks: watch::Sender<u64>,
    /// Why the agent does not answer; `None` while it does.
    away: Mutex<Option<String>>,
    is_isolated: Mutex<bool>,
}

/// One topic that is followed, until this is dropped.
pub(super) struct Feed {
    version: Arc<AtomicU64>,
    look: Box<dyn Fn() -> Option<Result<Known, String>> + Send + Sync>,
    task: AbortHandle,
}

/// What a watch told, and why the agent refuses it.
#[derive(Debug, Default)]
struct State<P> {
    believed: Believed<P>,
    refusal: Option<String>,
    /// What is known, made when it is first looked at.
    known: Option<Known>,
}

impl Feeds {
    pub(super) fn new(socket: PathBuf, within: Duration) -> Self {
        let ticks = watch::Sender::new(0);
        let agent = AgentState { ticks, away: Mutex::default(), is_isolated: Mutex::default() };
        Self { socket, within, open: Mutex::default(), agent: agent.into() }
    }

    /// Changes with all that happens in any feed.
    pub(super) fn ticks(&self) -> watch::Receiver<u64> {
        self.agent.ticks.subscribe()
    }

    /// Why the agent does not answer; `None` while it does, or was not asked yet.
    pub(super) fn away(&self) -> Option<String> {
        lock(&self.agent.away).clone()
    }

    /// Follows a topic.
    pub(super) fn follow(&self, topic: &Topic) -> Arc<Feed> {
        let mut open = lock(&self.open);
        if let Some(feed) = open.get(topic).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(match topic {
            Topic::Service(ServiceKey { namespace, service }) => {
                let namespace = namespace.clone();
                self.start::<_, Picture>(WatchQuery { namespace, ..WatchQuery::new(service) })
            }
            Topic::Services => self.start::<_, Picture>(WatchAllQuery::default()),
            Topic::Members => self.start::<_, MemberPicture>(WatchMembersQuery::default()),
        });
        open.retain(|_, feed| feed.strong_count() > 0);
        open.insert(topic.clone(), Arc::downgrade(&feed));
        feed
    }

    fn start<S, P>(&self, subject: S) -> Feed
    where
        S: Subject<Event = P::Event> + Send + Sync + 'static,
        P: Pictured + Send + Sync + 'static,
        P::Event: Send,
    {
        let state = Arc::new(Mutex::new(State::<P>::default()));
        let version = Arc::new(AtomicU64::new(0));
        let follow = Follow::new(self.socket.clone(), self.within, subject);
        let run = run(follow, state.clone(), version.clone(), self.agent.clone());
        let task = tokio::spawn(run).abort_handle();
        Feed { version, look: Box::new(move || lock(&state).look()), task }
    }
}

impl<P: Pictured> State<P> {
    fn look(&mut self) -> Option<Result<Known, String>> {
        if let Some(refusal) = &self.refusal {
            return Some(Err(refusal.clone()));
        }
        if self.known.is_none() {
            self.known = self.believed.known();
        }
        self.known.clone().map(Ok)
    }
}

impl Feed {
    /// Grows with each change.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is known, or why the agent refuses to tell; `None` while nothing is known.
    pub(super) fn look(&self) -> Option<Result<Known, String>> {
        (self.look)()
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows one topic over restarts of the agent, until the agent refuses it for good.
async fn run<S, P>(
    mut follow: Follow<S>,
    state: Arc<Mutex<State<P>>>,
    version: Arc<AtomicU64>,
    agent: Arc<AgentState>,
) where
    S: Subject<Event = P::Event>,
    P: Pictured,
{
    loop {
        let held_until = lock(&state).believed.held_until();
        let step = tokio::select! {
            step = follow.next() => Some(step),
            () = sleep_until(held_until.unwrap_or_else(Instant::now)), if held_until.is_some() => None,
        };
        let mut is_refused = false;
        {
            let mut state = lock(&state);
            let has_changed = match step {
                None => {
                    state.believed.release();
                    true
                }
                Some(Ok(Followed::Event(event, told))) => {
                    agent.answers(P::is_isolated(&event));
                    state.believed.take(&event, told.reset, Instant::now())
                }
                Some(Ok(Followed::Away(error))) => {
                    agent.is_away(&error);
                    continue;
                }
                Some(Err(refusal)) => {
                    is_refused = true;
                    state.refusal = Some(refusal.to_string());
                    true
                }
            };
            if !has_changed {
                continue;
            }
            state.known = None;
        }
        version.fetch_add(1, Ordering::Release);
        agent.ticks.send_modify(|ticks| *ticks += 1);
        if is_refused {
            return;
        }
    }
}

impl AgentState {
    fn answers(&self, is_isolated: bool) {
        if lock(&self.away).take().is_some() {
            output::say("the agent answers again");
        }
        if !std::mem::replace(&mut *lock(&self.is_isolated), is_isolated) {
            output::warn_if_isolated(is_isolated);
        }
    }

    /// Tells it once for all topics.
    fn is_away(&self, error: &ClientError) {
        if lock(&self.away).replace(error.to_string()).is_none() {
            output::say(&format!("warning: {error}: all files stay as they are until one answers"));
        }
        self.ticks.send_modify(|ticks| *ticks += 1);
    }
}

/// Nothing that holds one of these locks can leave a value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
