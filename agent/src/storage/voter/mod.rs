//! What this node keeps as a voter of strong operations: an append-only log of changes, and a [mark](mark).
//!
//! A line has the form of those of the registration log. The first text names the log by a random number, and the last write of
//! those that the next lines sum up: it is `{"format":1,"written_by":"..","log":"..","number":N,"lines":L}`. The other texts are
//! `{"number":N,"changes":["..",..]}`, with each change in base64url. A line is one write, which is acknowledged as a whole;
//! the first `L` lines are the image that a rewritten file begins with, and have the number of the first line.
//!
//! The mark names the log and the number of the last line that was acknowledged. A log that is the named one, and that has this
//! line, is the last one that this node wrote. A log without proof is written again under another name.
//!
//! A log that is damaged is put aside. The node then begins without one, and recovers from other voters. A log of a later version is
//! refused and stays as it is: after an update of all voters was taken back, too few others would be left to recover from.

mod lines;
mod mark;

use std::io;

use hobnob_membership::NodeId;
use hobnob_membership::quorum::{Change, Image, Provenance};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

pub(crate) use mark::{Mark, MemoryMark};

use super::disk::{Disk, FileError};
use super::error::{OpenError, WriteError};
use super::log::{text_of, to_line};
use lines::{Fault, MAX_LINE_BYTES, Read, line_of, replay};

/// The name of the file in the data directory.
pub(super) const FILE: &str = "voter.log";
/// The name of a file that was put aside.
const ASIDE: &str = "voter.log.damaged";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;
/// A log with less garbage than this is not rewritten.
const MIN_GARBAGE_BYTES: u64 = 1024 * 1024;

/// The text of the mark.
#[derive(Serialize, Deserialize)]
struct MarkText {
    log: String,
    number: u64,
}

/// Changes of a voter may not be durable. The agent does not vote until its log was opened again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoterError {
    /// The disk failed.
    #[error("{0}: this agent does not vote; make room on the disk, or mend it, and it votes again")]
    Write(WriteError),
    /// The mark, which proves that the log is the last one, could neither be replaced nor removed.
    #[error("{0}: this agent does not vote; remove the file, and it votes again")]
    Mark(WriteError),
    /// An earlier write failed.
    #[error(
        "an earlier write to the voter log failed: this agent does not vote until the log was opened again"
    )]
    Stopped,
}

impl From<FileError> for VoterError {
    fn from(error: FileError) -> Self {
        Self::Write(error.into())
    }
}

/// The open log of a voter.
pub struct VoterLog {
    disk: Box<dyn Disk>,
    mark: Box<dyn Mark>,
    log: String,
    /// The number of the last write.
    number: u64,
    bytes: u64,
    /// The bytes that the file had after it was last rewritten.
    live_bytes: u64,
    /// After a rewrite that failed, the length of the file at which the next one is tried.
    compact_at: u64,
    image: Image,
    /// Whether a mark is written. A node that may have forgotten that it accepted a first configuration, and that knows of no
    /// configuration, would else pass for one that forgot nothing after its next start.
    is_marked: bool,
    /// After an error nothing is written any more.
    has_failed: bool,
}

/// What a node finds of what it kept as a voter.
#[derive(Debug)]
pub struct FoundVoter {
    /// What the node kept.
    pub image: Image,
    /// What is known of it.
    pub provenance: Provenance,
}

/// The log of a node in its data directory, which may be opened again after it failed.
pub struct VoterLogFile {
    disk: Box<dyn Disk>,
    node_id: NodeId,
    /// A hash of the key of this copy of the data directory.
    instance: u64,
    is_first_start: bool,
}

impl VoterLogFile {
    pub(super) fn new(
        disk: Box<dyn Disk>,
        node_id: NodeId,
        instance: u64,
        is_first_start: bool,
    ) -> Self {
        Self { disk, node_id, instance, is_first_start }
    }

    /// Opens the log, or creates an empty one, and tells what was found. One that was opened before must not be used any more.
    ///
    /// # Errors
    /// The system refuses an operation, or the log is of a later version. The agent may run without a voter then.
    pub fn open(&mut self) -> Result<(VoterLog, FoundVoter), OpenError> {
        let mark = MemoryMark::of(&self.node_id.to_string(), self.instance);
        let opened = VoterLog::open(self.disk.again(), Box::new(mark), self.is_first_start)?;
        self.is_first_start = false;
        Ok(opened)
    }
}

impl VoterLog {
    /// Opens the log, or creates an empty one. `is_first_start` says that this node did not run before.
    ///
    /// # Errors
    /// The system refuses an operation, or the log is of a later version. It may be opened again.
    pub(crate) fn open(
        disk: Box<dyn Disk>,
        mark: Box<dyn Mark>,
        is_first_start: bool,
    ) -> Result<(Self, FoundVoter), OpenError> {
        let path = disk.path(FILE);
        let reader = disk.reader(FILE)?;
        let is_missing = reader.is_none();
        let read = match reader.map(|reader| replay(&path, reader)) {
            None => None,
            Some(Ok(read)) => Some(read),
            Some(Err(Fault::Refused(error))) => return Err(error),
            Some(Err(Fault::Damaged { line, reason })) => {
                error!(path = %path.display(), line, reason, aside = %disk.path(ASIDE).display(),
                    "what this agent kept as a voter is damaged; it is put aside, and read from other voters");
                None
            }
        };
        let mut this = Self {
            disk,
            mark,
            log: format!("{:032x}", rand::random::<u128>()),
            number: 0,
            bytes: 0,
            live_bytes: 0,
            compact_at: 0,
            image: Image::default(),
            is_marked: false,
            has_failed: false,
        };
        let Some(read) = read else {
            if !is_missing {
                this.disk.rename(FILE, ASIDE)?;
            }
            this.rewrite()?;
            let image = Image::default();
            if !is_first_start || !is_missing {
                return Ok((this, FoundVoter { image, provenance: Provenance::Unproven }));
            }
            this.is_marked = true;
            if let Err(error) = this.write_mark() {
                warn!(%error, "after its next start this agent has no proof of what it keeps as a voter");
            }
            return Ok((this, FoundVoter { image, provenance: Provenance::New }));
        };
        let is_proven = this.proves(&read);
        let Read { log, number, bytes, live_bytes, torn_bytes, image } = read;
        if torn_bytes > 0 {
            warn!(path = %path.display(), bytes = torn_bytes,
                "cut off an unfinished last line, which was never acknowledged");
        }
        this.number = number;
        this.image = image.clone();
        if !is_proven {
            // A later image of the log, if there is one, must not pass for the log that begins here.
            this.rewrite()?;
            this.is_marked = image.changes().any(|change| is_of_configuration(&change));
            return Ok((this, FoundVoter { image, provenance: Provenance::Unproven }));
        }
        if torn_bytes > 0 {
            this.disk.truncate(FILE, bytes)?;
        }
        (this.log, this.bytes, this.live_bytes, this.is_marked) = (log, bytes, live_bytes, true);
        Ok((this, FoundVoter { image, provenance: Provenance::Proven }))
    }

    /// Makes changes durable. A failure is the last thing that this log does.
    ///
    /// # Errors
    /// They may not be durable.
    pub fn append(&mut self, changes: &[Change]) -> Result<(), VoterError> {
        if self.has_failed {
            return Err(VoterError::Stopped);
        }
        // Also if this does not return.
        self.has_failed = true;
        self.write(changes)?;
        self.has_failed = false;
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), VoterError> {
        let number = self.number + 1;
        let line = line_of(self.disk.as_ref(), number, changes)?;
        let len = line.len() as u64;
        if len > MAX_LINE_BYTES {
            let message = format!("a line of {len} bytes, and {MAX_LINE_BYTES} are the most");
            let too_long = io::Error::new(io::ErrorKind::FileTooLarge, message);
            return Err(FileError::of("append to", &self.disk.path(FILE))(too_long).into());
        }
        self.disk.append(FILE, &line)?;
        self.bytes += len;
        self.number = number;
        for change in changes {
            self.image.apply(change);
            self.is_marked |= is_of_configuration(change);
        }
        self.compact()?;
        self.write_mark()
    }

    /// Rewrites the log when it has enough garbage. A failure that left the file as it was costs only room.
    fn compact(&mut self) -> Result<(), FileError> {
        if self.bytes <= 2 * self.live_bytes + MIN_GARBAGE_BYTES || self.bytes < self.compact_at {
            return Ok(());
        }
        match self.rewrite() {
            Err(error) if error.untouched => {
                self.compact_at = self.bytes + MIN_GARBAGE_BYTES;
                let error = WriteError::from(error);
                warn!(%error, "the voter log could not be compacted; the agent tries again after some changes");
                Ok(())
            }
            done => done,
        }
    }

    /// Whether the mark says that this is the last log.
    fn proves(&self, read: &Read) -> bool {
        let bytes = self.mark.read().unwrap_or_default();
        let text = text_of(&bytes).ok().and_then(|text| serde_json::from_slice(text).ok());
        text.is_some_and(|mark: MarkText| mark.log == read.log && mark.number <= read.number)
    }

    fn write_mark(&mut self) -> Result<(), VoterError> {
        if !self.is_marked {
            return Ok(());
        }
        let text = MarkText { log: self.log.clone(), number: self.number };
        let line = to_line(self.disk.as_ref(), FILE, &text)?;
        self.mark.write(&line).map_err(|error| VoterError::Mark(error.into()))
    }

    /// Replaces the file by one without what is out of date.
    fn rewrite(&mut self) -> Result<(), FileError> {
        let bytes = lines::rewrite(self.disk.as_mut(), &self.log, self.number, &self.image)?;
        (self.bytes, self.live_bytes, self.compact_at) = (bytes, bytes, 0);
        Ok(())
    }
}

/// Whether a node with this change knows of a configuration, so that it cannot accept another first one.
fn is_of_configuration(change: &Change) -> bool {
    matches!(change, Change::Chain(_) | Change::Founded(_))
}

#[cfg(test)]
mod tests;
