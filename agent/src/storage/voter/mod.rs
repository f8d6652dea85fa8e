//! What this node keeps as a voter of strong operations: an append-only log of changes, and a [mark](mark).
//!
//! A line has the form of those of the registration log. The first text names the log by a random number, and the changes that a
//! compaction left out: it is `{"format":1,"written_by":"..","log":"..","number":0}`. The other texts are
//! `{"number":N,"changes":["..",..]}`, with each change in hexadecimal digits. A line is one write, which is acknowledged as a whole.
//!
//! A log without proof is written again under another name. The mark names the log and the number of the last line that was acknowledged. A log that is the named one, and that has this
//! line, is the last one that this node wrote.
//!
//! A log that is damaged, or that holds changes of a later version, is put aside. The node then begins without one, and recovers
//! from other voters.

mod mark;

use std::io;

use hobnob_membership::quorum::{Change, Image, Provenance};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

pub(crate) use mark::{Mark, MemoryMark};

use super::disk::{Disk, FileError};
use super::error::{OpenError, WriteError};
use super::format::Head;
use super::log::{is_torn, text_of, to_line};

/// The name of the file in the data directory.
pub(super) const FILE: &str = "voter.log";
/// The name of a file that was put aside.
const ASIDE: &str = "voter.log.damaged";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;
/// The most bytes of the log: all registers of a voter, in hexadecimal digits, and as much again that is out of date.
const MAX_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// A log with less garbage than this is not rewritten.
const MIN_GARBAGE_BYTES: usize = 1024 * 1024;
/// The changes of one line of a log that is rewritten.
const CHANGES_OF_LINE: usize = 256;

/// The first line.
#[derive(Serialize, Deserialize)]
struct LogHead {
    #[serde(flatten)]
    head: Head,
    /// The log, in hexadecimal digits.
    log: String,
    /// The number of the last write before this file.
    number: u64,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
struct Write {
    number: u64,
    changes: Vec<String>,
}

/// The text of the mark.
#[derive(Serialize, Deserialize)]
struct MarkText {
    log: String,
    number: u64,
}

/// Changes of a voter may not be durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoterError {
    /// The disk failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The mark, which proves that the log is the last one, could not be replaced.
    #[error("the mark of the voter log can neither be replaced nor removed: {0}")]
    Mark(io::Error),
    /// An earlier write failed.
    #[error(
        "an earlier write to the voter log failed: this agent does not vote until it is started again"
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
    bytes: usize,
    /// The bytes that the file had after it was last rewritten, or that it should have.
    live_bytes: usize,
    image: Image,
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

/// A file as it was read.
struct Read {
    log: String,
    number: u64,
    bytes: usize,
    image: Image,
}

impl VoterLog {
    /// Opens the log, or creates an empty one. `is_first_start` says that this node did not run before.
    ///
    /// # Errors
    /// The system refuses an operation.
    pub(crate) fn open(
        mut disk: Box<dyn Disk>,
        mark: Box<dyn Mark>,
        is_first_start: bool,
    ) -> Result<(Self, FoundVoter), OpenError> {
        let found = disk.read(FILE, MAX_BYTES)?;
        let (is_missing, len) = (found.is_none(), found.as_ref().map_or(0, Vec::len));
        let read = found.and_then(|content| match replay(&content) {
            Ok(read) if read.bytes == content.len() => Some(read),
            Ok(read) => {
                warn!(path = %disk.path(FILE).display(), bytes = content.len() - read.bytes,
                    "cut off an unfinished last line, which was never acknowledged");
                Some(read)
            }
            Err(reason) => {
                error!(path = %disk.path(FILE).display(), reason,
                    "what this agent kept as a voter cannot be read; it is put aside, and read from other voters");
                None
            }
        });
        let mut this = Self {
            disk,
            mark,
            log: format!("{:032x}", rand::random::<u128>()),
            number: 0,
            bytes: 0,
            live_bytes: 0,
            image: Image::default(),
            has_failed: false,
        };
        let Some(Read { log, number, bytes, image }) = read else {
            if !is_missing {
                this.disk.rename(FILE, ASIDE)?;
            }
            this.rewrite()?;
            let is_new = is_first_start && is_missing;
            let provenance = if is_new { Provenance::New } else { Provenance::Unproven };
            // Only a node that lost nothing can prove later that it has all.
            if is_new && let Err(error) = this.write_mark() {
                warn!(%error, "after its next start this agent has no proof of what it keeps as a voter");
            }
            return Ok((this, FoundVoter { image: Image::default(), provenance }));
        };
        let is_proven = this.proves(&log, number);
        (this.number, this.image) = (number, image.clone());
        if !is_proven {
            // A later image of the log, if there is one, must not pass for the log that begins here.
            this.rewrite()?;
            return Ok((this, FoundVoter { image, provenance: Provenance::Unproven }));
        }
        if bytes < len {
            this.disk.truncate(FILE, bytes as u64)?;
        }
        (this.log, this.bytes, this.live_bytes) = (log, bytes, bytes);
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
        let written = self.write(changes);
        self.has_failed = written.is_err();
        written
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), VoterError> {
        let number = self.number + 1;
        let line = to_line(self.disk.as_ref(), FILE, &line_of(number, changes))?;
        self.disk.append(FILE, &line)?;
        self.bytes += line.len();
        self.number = number;
        changes.iter().for_each(|change| drop(self.image.apply(change)));
        if self.bytes > 2 * self.live_bytes + MIN_GARBAGE_BYTES {
            self.rewrite()?;
        }
        self.write_mark()
    }

    /// Whether the mark says that this is the last log.
    fn proves(&self, log: &str, number: u64) -> bool {
        let bytes = self.mark.read().unwrap_or_default();
        let text = text_of(&bytes).ok().and_then(|text| serde_json::from_slice(text).ok());
        text.is_some_and(|mark: MarkText| mark.log == log && mark.number <= number)
    }

    fn write_mark(&mut self) -> Result<(), VoterError> {
        let text = MarkText { log: self.log.clone(), number: self.number };
        let line = to_line(self.disk.as_ref(), FILE, &text)?;
        self.mark.write(&line).map_err(VoterError::Mark)
    }

    /// Replaces the file by one without what is out of date.
    fn rewrite(&mut self) -> Result<(), FileError> {
        let (log, number) = (self.log.clone(), self.number);
        let head = LogHead { head: Head::of(FORMAT), log, number };
        let mut content = to_line(self.disk.as_ref(), FILE, &head)?;
        let changes: Vec<Change> = self.image.changes().collect();
        for some in changes.chunks(CHANGES_OF_LINE) {
            content.extend(to_line(self.disk.as_ref(), FILE, &line_of(number, some))?);
        }
        self.disk.replace(FILE, &content)?;
        self.bytes = content.len();
        self.live_bytes = content.len();
        Ok(())
    }
}

fn line_of(number: u64, changes: &[Change]) -> Write {
    let hex = |change: &Change| change.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    Write { number, changes: changes.iter().map(hex).collect() }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

/// Reads a log, without an unfinished last line. The error names the fault.
fn replay(content: &[u8]) -> Result<Read, String> {
    let mut read: Option<Read> = None;
    let mut bytes = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if bytes + line.len() == content.len() && is_torn(line) {
            break;
        }
        bytes += line.len();
        let text = text_of(line)?;
        let Some(read) = &mut read else {
            let head: LogHead = serde_json::from_slice(text).map_err(|it| it.to_string())?;
            if !head.head.is(FORMAT) {
                return Err("it has the format of another version".to_owned());
            }
            let (log, number) = (head.log, head.number);
            read = Some(Read { log, number, bytes, image: Image::default() });
            continue;
        };
        let write: Write = serde_json::from_slice(text).map_err(|it| it.to_string())?;
        for hex in &write.changes {
            let change = bytes_of(hex).and_then(|bytes| Change::decode(&bytes).ok());
            match change {
                None | Some(Change::Unknown) => {
                    return Err("a change is damaged, or of a later version".to_owned());
                }
                Some(change) => drop(read.image.apply(&change)),
            }
        }
        (read.number, read.bytes) = (write.number, bytes);
    }
    read.ok_or_else(|| "it has no first line".to_owned())
}

#[cfg(test)]
mod tests;
