//! The thread that writes what this agent keeps as a voter. A voter answers when that is on disk, and waits for nothing else.

use std::io;
use std::thread;

use hobnob_membership::quorum::{Change, Image, Provenance};
use tokio::sync::mpsc;

use crate::storage::{DataDir, FoundVoter, VoterLog};

/// The end of a write: its ticket, or why it failed.
pub(crate) type Stored = Result<u64, String>;

/// The way to the thread. It ends when this is dropped, after the write that is under way.
pub(crate) struct VoterWriter {
    writes: mpsc::Sender<(u64, Vec<Change>)>,
    stored: mpsc::Receiver<Stored>,
    found: (Image, Provenance),
    has_ended: bool,
}

impl VoterWriter {
    /// Opens the log of a data directory, and starts its thread. An agent whose log cannot be opened takes no part.
    ///
    /// # Errors
    /// Why it takes no part.
    pub(crate) fn open(data_dir: &DataDir) -> Result<Self, String> {
        let opened = data_dir.voter_log().map_err(|error| error.to_string());
        let started = opened
            .and_then(|(log, found)| Self::start(log, found).map_err(|error| error.to_string()));
        started.inspect_err(|problem| {
            tracing::error!(
                problem,
                "this agent takes no part in strong reads and writes, and is no voter"
            );
        })
    }

    /// Starts the thread of a log.
    ///
    /// # Errors
    /// The system starts no thread.
    fn start(mut log: VoterLog, found: FoundVoter) -> io::Result<Self> {
        // The voter asks for one write at a time.
        let (writes, mut waiting) = mpsc::channel::<(u64, Vec<Change>)>(1);
        let (told, stored) = mpsc::channel(1);
        let span = tracing::dispatcher::get_default(Clone::clone);
        let write = move || {
            while let Some((ticket, changes)) = waiting.blocking_recv() {
                let written = log.append(&changes).map(|()| ticket);
                if told.blocking_send(written.map_err(|error| error.to_string())).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("voter log".to_owned())
            .spawn(move || tracing::dispatcher::with_default(&span, write))?;
        let FoundVoter { image, provenance } = found;
        Ok(Self { writes, stored, found: (image, provenance), has_ended: false })
    }

    /// Takes what was found at the start.
    pub(crate) fn take_found(&mut self) -> (Image, Provenance) {
        std::mem::replace(&mut self.found, (Image::default(), Provenance::Unproven))
    }

    /// Hands over a write. Returns whether it was taken.
    pub(crate) fn write(&self, ticket: u64, changes: Vec<Change>) -> bool {
        self.writes.try_send((ticket, changes)).is_ok()
    }

    /// The end of the write that is under way. A thread that panicked ends it once.
    pub(crate) async fn stored(&mut self) -> Stored {
        if self.has_ended {
            return std::future::pending().await;
        }
        match self.stored.recv().await {
            Some(stored) => stored,
            None => {
                self.has_ended = true;
                Err("the task that writes the voter log ended".to_owned())
            }
        }
    }
}
