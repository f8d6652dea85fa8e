//! The thread that writes what this agent keeps as a voter. A voter answers when that is on disk, and waits for nothing else.

use std::io;
use std::thread;
use std::time::Duration;

use hobnob_membership::quorum::Change;
use tokio::sync::mpsc;

use crate::storage::{DataDir, FoundVoter, VoterLog, VoterLogFile};

/// A log that failed is opened again after this long.
const OPENED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The thread looks this often whether it is needed no more.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum Stored {
    /// The write with this ticket is on disk.
    Written(u64),
    /// A write failed, for this reason. None follows until the log was opened again.
    Failed(String),
    /// The log was opened again, and the disk takes writes.
    Opened(Box<FoundVoter>),
}

/// The way to the thread. It ends when this is dropped, after the write that is under way.
pub(crate) struct VoterWriter {
    writes: mpsc::Sender<(u64, Vec<Change>)>,
    stored: mpsc::Receiver<Stored>,
    has_ended: bool,
}

impl VoterWriter {
    /// Opens the log of a data directory, and starts its thread. An agent whose log cannot be opened takes no part.
    ///
    /// # Errors
    /// Why it takes no part.
    pub(crate) fn open(data_dir: &DataDir) -> Result<(Self, FoundVoter), String> {
        let mut file = data_dir.voter_log();
        let opened = file.open().map_err(|error| error.to_string());
        let started = opened.and_then(|(log, found)| {
            let writer = Self::start(file, log).map_err(|error| error.to_string())?;
            Ok((writer, found))
        });
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
    fn start(file: VoterLogFile, log: VoterLog) -> io::Result<Self> {
        // The voter asks for one write at a time.
        let (writes, waiting) = mpsc::channel(1);
        let (told, stored) = mpsc::channel(1);
        let span = tracing::dispatcher::get_default(Clone::clone);
        let write = move || {
            tracing::dispatcher::with_default(&span, || write(file, log, waiting, &told));
        };
        thread::Builder::new().name("voter log".to_owned()).spawn(write)?;
        Ok(Self { writes, stored, has_ended: false })
    }

    /// Hands over a write. Returns whether it was taken.
    pub(crate) fn write(&self, ticket: u64, changes: Vec<Change>) -> bool {
        self.writes.try_send((ticket, changes)).is_ok()
    }

    /// What the thread tells, if it tells something now.
    pub(crate) fn try_stored(&mut self) -> Option<Stored> {
        self.stored.try_recv().ok()
    }

    /// What the thread tells next. That it panicked is told once.
    pub(crate) async fn stored(&mut self) -> Stored {
        if self.has_ended {
            return std::future::pending().await;
        }
        match self.stored.recv().await {
            Some(stored) => stored,
            None => {
                self.has_ended = true;
                Stored::Failed("the task that writes the voter log ended".to_owned())
            }
        }
    }
}

/// Writes until nobody asks for it any more.
fn write(
    mut file: VoterLogFile,
    mut log: VoterLog,
    mut waiting: mpsc::Receiver<(u64, Vec<Change>)>,
    told: &mpsc::Sender<Stored>,
) {
    while let Some((ticket, changes)) = waiting.blocking_recv() {
        let stored = match log.append(&changes) {
            Ok(()) => Stored::Written(ticket),
            Err(error) => {
                if told.blocking_send(Stored::Failed(error.to_string())).is_err() {
                    return;
                }
                let Some((again, found)) = open_again(&mut file, &waiting) else { return };
                log = again;
                Stored::Opened(Box::new(found))
            }
        };
        if told.blocking_send(stored).is_err() {
            return;
        }
    }
}

/// Opens a log that failed, once the disk takes a write; `None` if nobody asks for it any more.
fn open_again(
    file: &mut VoterLogFile,
    waiting: &mpsc::Receiver<(u64, Vec<Change>)>,
) -> Option<(VoterLog, FoundVoter)> {
    loop {
        let mut waited = Duration::ZERO;
        while waited < OPENED_AGAIN_AFTER {
            if waiting.is_closed() {
                return None;
            }
            thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        // What is found holds all that was acknowledged. A write without changes shows whether there is room.
        let opened = file.open().map_err(|error| error.to_string());
        let tried = opened.and_then(|(mut log, found)| {
            log.append(&[]).map_err(|error| error.to_string())?;
            Ok((log, found))
        });
        match tried {
            Ok(opened) => return Some(opened),
            Err(error) => tracing::debug!(error, "the voter log cannot be written yet"),
        }
    }
}
