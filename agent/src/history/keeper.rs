//! The task that owns the events: takes them, answers questions, and writes them when the disk lets it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking, yield_now};
use tokio::time::{Instant, sleep_until};

use super::Counters;
use super::ring::{Asked, Found, Ring};
use crate::actor::Reply;
use crate::storage::{HistoryFiles, StoredEvent, WriteError};

/// Events that the disk refused are offered to it again after this time.
pub(super) const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The most bytes of events that are written at once.
const MAX_WRITE_BYTES: usize = 256 * 1024;
/// Events that are taken before the keeper looks at anything else.
const BATCH: usize = 256;

/// A question to the keeper.
#[derive(Debug)]
pub(super) enum Question {
    Find { asked: Asked, reply: Reply<Found> },
    Rest { reply: Reply<()> },
}

/// The files after a write, and what came of it; or the panic of its thread.
type Written = Result<(HistoryFiles, Result<(), WriteError>), JoinError>;

/// A write that goes on.
struct Write {
    events: Vec<Arc<StoredEvent>>,
    task: JoinHandle<(HistoryFiles, Result<(), WriteError>)>,
}

/// The task. See the module.
pub(crate) struct Keeper {
    ring: Ring,
    /// `None` during a write, and after a write that panicked.
    files: Option<HistoryFiles>,
    writing: Option<Write>,
    /// When the disk is tried again after it refused.
    again_at: Option<Instant>,
    /// The disk refused the last write, which is told.
    is_refused: bool,
    resting: Vec<Reply<()>>,
    events: mpsc::Receiver<StoredEvent>,
    questions: mpsc::Receiver<Question>,
    counters: Arc<Counters>,
}

impl Keeper {
    pub(super) fn new(
        ring: Ring,
        files: Option<HistoryFiles>,
        events: mpsc::Receiver<StoredEvent>,
        questions: mpsc::Receiver<Question>,
        counters: Arc<Counters>,
    ) -> Self {
        let (writing, again_at) = (None, None);
        let resting = Vec::new();
        let is_refused = false;
        Self { ring, files, writing, again_at, is_refused, resting, events, questions, counters }
    }

    /// The newest event of the earlier life.
    pub(crate) fn newest(&self) -> Option<&StoredEvent> {
        self.ring.newest()
    }

    /// Runs until all handles are gone.
    pub(crate) async fn run(mut self) {
        loop {
            self.write();
            self.count();
            tokio::select! {
                // Events may come without a pause. Those that a question or a write waits for come before them.
                biased;
                written = written(&mut self.writing) => self.note_written(written),
                Some(question) = self.questions.recv() => self.answer(question),
                event = self.events.recv() => match event {
                    Some(event) => {
                        self.take(event);
                        // A flood of events keeps no other task of this thread waiting.
                        yield_now().await;
                    }
                    None => return,
                },
                () = at(self.again_at) => self.again_at = None,
            }
        }
    }

    fn take(&mut self, event: StoredEvent) {
        self.ring.record(event);
        for _ in 0..BATCH {
            let Ok(event) = self.events.try_recv() else { return };
            self.ring.record(event);
        }
    }

    /// Takes everything that was recorded before a question.
    fn take_all(&mut self) {
        for _ in 0..self.events.len() {
            let Ok(event) = self.events.try_recv() else { return };
            self.ring.record(event);
        }
    }

    fn answer(&mut self, question: Question) {
        self.take_all();
        match question {
            Question::Find { asked, reply } => reply.send(self.ring.find(&asked)),
            Question::Rest { reply } => {
                self.ring.write_counts();
                self.again_at = None;
                self.resting.push(reply);
            }
        }
    }

    /// Begins to write what the files do not have, unless something is written already.
    fn write(&mut self) {
        if self.writing.is_some() || self.again_at.is_some() {
            return;
        }
        let Some(mut files) = self.files.take() else { return self.end_rest() };
        let Some((shelf, events)) = self.ring.take_unwritten(MAX_WRITE_BYTES) else {
            self.files = Some(files);
            return self.end_rest();
        };
        let lines = events.clone();
        let task = spawn_blocking(move || {
            let written = files.append(shelf, lines.iter().map(|event| &**event));
            (files, written)
        });
        self.writing = Some(Write { events, task });
    }
}

impl Keeper {
    fn note_written(&mut self, written: Written) {
        let Some(Write { events, .. }) = self.writing.take() else { return };
        let was_refused = self.is_refused;
        match written {
            Ok((files, written)) => {
                self.files = Some(files);
                self.is_refused = written.is_err();
                if let Err(error) = written {
                    if !was_refused {
                        tracing::warn!(%error, "the history cannot be written: it stays in memory, and the agent tries again");
                    }
                    self.counters.unwritten.fetch_add(1, Ordering::Relaxed);
                    self.ring.not_written(&events);
                    self.again_at = Some(Instant::now() + WRITE_AGAIN_AFTER);
                    self.end_rest();
                } else if was_refused {
                    tracing::info!("the history is written again");
                }
            }
            Err(error) => {
                tracing::error!(%error, "the history is not written any more: it stays in memory");
            }
        }
    }

    /// Tells those who wait that nothing is written any more for now.
    fn end_rest(&mut self) {
        self.resting.drain(..).for_each(|reply| reply.send(()));
    }

    /// Shows what became of events.
    fn count(&self) {
        let Counters { events, repeated, forgotten, .. } = &*self.counters;
        events.store(self.ring.len() as u64, Ordering::Relaxed);
        repeated.store(self.ring.repeated, Ordering::Relaxed);
        forgotten.store(self.ring.forgotten, Ordering::Relaxed);
    }
}

/// The end of a write.
async fn written(writing: &mut Option<Write>) -> Written {
    match writing {
        Some(write) => (&mut write.task).await,
        None => std::future::pending().await,
    }
}

/// Waits until then, or for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
