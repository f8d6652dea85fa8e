//! The history: what this agent saw and did, when, and by whom.
//!
//! Every task records through a [`History`] handle, which never waits. One task, the keeper, owns the [`Ring`] of events and the
//! files of it. A disk that is full or hangs delays nobody: events stay in memory, and are written when it takes them.

mod event;
mod keeper;
mod members;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::actor::{Stopping, ask};
use crate::storage::{HistoryFiles, ReadEvents, StoredEvent};

pub(crate) use event::{By, Event};
pub(crate) use keeper::Keeper;
pub(crate) use members::MemberSights;
pub(crate) use ring::{Asked, Found};

use keeper::Question;
use ring::Ring;

/// Events that wait for the keeper, which waits for nothing. Further ones are dropped and counted.
const MAX_WAITING_EVENTS: usize = 4_096;
/// Questions that wait for the keeper; callers of further ones wait.
const MAX_WAITING_QUESTIONS: usize = 64;

/// Records events, and finds them again. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct History {
    events: mpsc::Sender<StoredEvent>,
    questions: mpsc::Sender<Question>,
    counters: Arc<Counters>,
}

/// What became of events.
#[derive(Debug, Default)]
struct Counters {
    /// Events in memory.
    events: AtomicU64,
    /// Events that were lost because too many came at once.
    dropped: AtomicU64,
    /// Events that count as repetitions of an earlier one.
    repeated: AtomicU64,
    /// The oldest events, which made room for others.
    forgotten: AtomicU64,
    /// Times that the disk refused events.
    unwritten: AtomicU64,
}

impl History {
    /// The history of an agent with these files, and its task.
    pub(crate) fn open((files, read): (HistoryFiles, ReadEvents)) -> (Self, Keeper) {
        Self::with(Ring::of(read), Some(files))
    }

    fn with(ring: Ring, files: Option<HistoryFiles>) -> (Self, Keeper) {
        let (events, recorded) = mpsc::channel(MAX_WAITING_EVENTS);
        let (questions, asked) = mpsc::channel(MAX_WAITING_QUESTIONS);
        let counters = Arc::<Counters>::default();
        let keeper = Keeper::new(ring, files, recorded, asked, counters.clone());
        (Self { events, questions, counters }, keeper)
    }

    /// A history that keeps nothing.
    pub(crate) fn silent() -> Self {
        Self::with(Ring::default(), None).0
    }

    /// Records an event, now. Never waits: when too many come at once, it is dropped and counted.
    pub(crate) fn record(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event.stored()) {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The newest events that match. Those that were recorded before are among them.
    pub(crate) async fn find(&self, asked: Asked) -> Result<Found, Stopping> {
        ask(&self.questions, |reply| Question::Find { asked, reply }).await
    }

    /// Waits until everything that was recorded is in the files, or the disk refuses it.
    pub(crate) async fn rest(&self) -> Result<(), Stopping> {
        ask(&self.questions, |reply| Question::Rest { reply }).await
    }

    /// The number of events that were recorded so far, those of earlier lives that are kept included. It changes with each.
    pub(crate) fn recorded(&self) -> u64 {
        let Counters { events, repeated, forgotten, .. } = &*self.counters;
        [events, repeated, forgotten].map(|counter| counter.load(Ordering::Relaxed)).iter().sum()
    }

    /// What became of events, by names for `info`.
    pub(crate) fn report(&self) -> [(String, u64); 5] {
        let Counters { events, dropped, repeated, forgotten, unwritten } = &*self.counters;
        [
            ("history_events", events),
            ("history_dropped", dropped),
            ("history_repeated", repeated),
            ("history_forgotten", forgotten),
            ("history_unwritten", unwritten),
        ]
        .map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed)))
    }
}
