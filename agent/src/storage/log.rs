//! The registrations, as an append-only log of changes.
//!
//! A line consists of the XXH3-64 of its JSON text in 16 hexadecimal digits, a space, and the text. The first text is
//! the [head](super::format). The other texts are `{"put":REGISTRATION,"registered_by":REGISTRANT}` and
//! `{"remove":"ID"}`, in the order of the changes. Lines of early versions have no `registered_by`. A change is
//! acknowledged once its line is flushed to the disk.
//!
//! A crash in the middle of an append leaves an unfinished last line. It was never acknowledged, so it is cut off and
//! reported as a [`TornTail`]. Any other damage is an error, so that no acknowledged change is lost silently.
//!
//! When the lines without effect take more bytes than the live ones, the log is replaced by one without them. A live
//! line is copied unchanged, with the fields of later versions in it, and so are lines of a kind that only a later
//! version knows. The lines stay in their order: a line of a later version may concern the registrations before it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hobnob_membership::limits::MAX_REGISTRATIONS;
use serde::{Deserialize, Serialize};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::disk::{Disk, FileError};
use super::error::{OpenError, WriteError};
use super::format::{Head, UnknownFields};
use super::limits::{MAX_LOG_BYTES, MAX_REGISTRATION_BYTES};
use super::registration::{StoredRegistrant, StoredRegistration};

/// The name of the file in the data directory.
pub(super) const FILE: &str = "registrations.log";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 2;
/// A log with less garbage than this is not rewritten.
const MIN_GARBAGE_BYTES: usize = 64 * 1024;
/// Hexadecimal digits of a checksum.
const CHECKSUM_DIGITS: usize = 16;

/// An unfinished last line that was cut off a log. A crash in the middle of a write left it, and the write was never
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The number of bytes that were cut off.
    pub bytes: usize,
}

/// A line that this version writes: `put` or `remove`.
#[derive(Default, Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    put: Option<&'a StoredRegistration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_by: Option<StoredRegistrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove: Option<&'a str>,
}

/// A line that this version reads. If it has neither `put` nor `remove`, it is of a kind of a later version.
#[derive(Deserialize)]
struct ReadEntry {
    #[serde(default)]
    put: Option<StoredRegistration>,
    #[serde(default)]
    registered_by: Option<StoredRegistrant>,
    #[serde(default)]
    remove: Option<String>,
}

/// A live registration.
struct Live {
    registration: StoredRegistration,
    registered_by: Option<StoredRegistrant>,
    /// The key of its line in [`RegistrationLog::kept`].
    line: u64,
}

/// The open log and its registrations.
#[derive(Default)]
pub(super) struct RegistrationLog {
    /// The length of the file in bytes.
    bytes: usize,
    live: BTreeMap<String, Live>,
    /// The lines that a rewritten log has: those of live registrations, and those of kinds of later versions. The keys
    /// grow in the order in which the lines were written.
    kept: BTreeMap<u64, Vec<u8>>,
    /// The bytes of these lines.
    kept_bytes: usize,
    next_line: u64,
    /// What failed writes left behind.
    trouble: Option<Trouble>,
    /// After a rewrite that failed, the length of the file at which the next one is tried.
    compact_at: usize,
}

/// The state in which a failed write left the file. It is mended before anything is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Bytes of no acknowledged line may follow the last one.
    Tail,
    /// The file may be the old one or its replacement, so a line that is appended now could be lost.
    Replaced,
}

impl RegistrationLog {
    /// Opens the log, or creates an empty one.
    pub(super) fn open(disk: &mut dyn Disk) -> Result<(Self, Option<TornTail>), OpenError> {
        let path = disk.path(FILE);
        let Some(content) = disk.read(FILE, MAX_LOG_BYTES)? else {
            let mut log = Self::default();
            log.rewrite(disk)?;
            return Ok((log, None));
        };
        let (mut log, torn) = replay(&path, &content)?;
        if torn.is_some()
            && let Err(error) = disk.truncate(FILE, log.bytes as u64)
        {
            let error = WriteError::from(error);
            warn!(%error, "the unfinished last line is still there: changes are refused until it is cut off");
            log.trouble = Some(Trouble::Tail);
        }
        Ok((log, torn))
    }

    /// All registrations, by id.
    pub(super) fn registrations(&self) -> impl Iterator<Item = &StoredRegistration> {
        self.live.values().map(|live| &live.registration)
    }

    /// The registration with this id.
    pub(super) fn get(&self, id: &str) -> Option<&StoredRegistration> {
        self.live.get(id).map(|live| &live.registration)
    }

    /// The process that made the registration with this id, if that is known.
    pub(super) fn registrant(&self, id: &str) -> Option<StoredRegistrant> {
        self.live.get(id).and_then(|live| live.registered_by)
    }

    /// Adds a registration, or replaces the one with its id. Writes nothing when the same registration is there
    /// already, whichever process made it.
    pub(super) fn put(
        &mut self,
        disk: &mut dyn Disk,
        registration: &StoredRegistration,
        registered_by: Option<StoredRegistrant>,
    ) -> Result<(), WriteError> {
        let id = &registration.id;
        match self.live.get(id) {
            Some(live) if live.registration == *registration => return Ok(()),
            None if self.live.len() >= MAX_REGISTRATIONS => return Err(WriteError::TooMany),
            _ => {}
        }
        let entry = Entry { put: Some(registration), registered_by, ..Entry::default() };
        let line = to_line(disk, FILE, &entry)?;
        if line.len() > MAX_REGISTRATION_BYTES {
            return Err(WriteError::TooLarge { id: id.clone(), len: line.len() });
        }
        self.append(disk, &line)?;
        self.set_live(registration.clone(), registered_by, line);
        self.compact(disk);
        Ok(())
    }

    /// Removes the registration with this id. Returns whether there was one.
    pub(super) fn remove(&mut self, disk: &mut dyn Disk, id: &str) -> Result<bool, WriteError> {
        if !self.live.contains_key(id) {
            return Ok(false);
        }
        let line = to_line(disk, FILE, &Entry { remove: Some(id), ..Entry::default() })?;
        self.append(disk, &line)?;
        self.drop_live(id);
        self.compact(disk);
        Ok(true)
    }

    fn append(&mut self, disk: &mut dyn Disk, line: &[u8]) -> Result<(), WriteError> {
        match self.trouble {
            Some(Trouble::Tail) => self.cut_tail(disk)?,
            Some(Trouble::Replaced) => self.rewrite(disk)?,
            None => {}
        }
        let Err(error) = disk.append(FILE, line) else {
            self.bytes += line.len();
            return Ok(());
        };
        // What was written of a line that is refused must not be there after a restart.
        self.trouble = Some(Trouble::Tail);
        let error = WriteError::from(error);
        match self.cut_tail(disk) {
            Ok(()) => Err(error),
            Err(undo) => {
                Err(WriteError::InDoubt { error: error.into(), undo: Box::new(undo.into()) })
            }
        }
    }

    /// Cuts off what follows the last acknowledged line.
    fn cut_tail(&mut self, disk: &mut dyn Disk) -> Result<(), FileError> {
        disk.truncate(FILE, self.bytes as u64)?;
        self.trouble = None;
        Ok(())
    }

    /// Rewrites the log when it has enough garbage. A failure costs only disk space, so it does not fail the change
    /// before.
    fn compact(&mut self, disk: &mut dyn Disk) {
        let garbage_bytes = self.bytes.saturating_sub(self.kept_bytes);
        if garbage_bytes > self.kept_bytes.max(MIN_GARBAGE_BYTES)
            && self.bytes >= self.compact_at
            && let Err(error) = self.rewrite(disk)
        {
            self.compact_at = self.bytes + MIN_GARBAGE_BYTES;
            let error = WriteError::from(error);
            warn!(%error, "the registration log could not be compacted; the agent tries again after some changes");
        }
    }

    /// Replaces the file by one with the live lines only.
    fn rewrite(&mut self, disk: &mut dyn Disk) -> Result<(), FileError> {
        let mut content = to_line(disk, FILE, &Head::of(FORMAT))?;
        self.lines().for_each(|line| content.extend_from_slice(line));
        disk.replace(FILE, &content).inspect_err(|error| {
            if !error.untouched {
                self.trouble = Some(Trouble::Replaced);
            }
        })?;
        self.trouble = None;
        self.compact_at = 0;
        self.bytes = content.len();
        Ok(())
    }

    /// The kept lines in their order, without the head.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.kept.values().map(Vec::as_slice)
    }

    fn set_live(
        &mut self,
        registration: StoredRegistration,
        registered_by: Option<StoredRegistrant>,
        line: Vec<u8>,
    ) {
        self.drop_live(&registration.id);
        let line = self.keep(line);
        self.live.insert(registration.id.clone(), Live { registration, registered_by, line });
    }

    fn drop_live(&mut self, id: &str) {
        if let Some(live) = self.live.remove(id)
            && let Some(line) = self.kept.remove(&live.line)
        {
            self.kept_bytes -= line.len();
        }
    }

    /// Keeps a line behind all others, and returns its key.
    fn keep(&mut self, line: Vec<u8>) -> u64 {
        let key = self.next_line;
        self.next_line += 1;
        self.kept_bytes += line.len();
        self.kept.insert(key, line);
        key
    }
}

/// A line with its checksum. `file` is named when it cannot be made.
pub(super) fn to_line(
    disk: &dyn Disk,
    file: &str,
    entry: &impl Serialize,
) -> Result<Vec<u8>, FileError> {
    let text = serde_json::to_string(entry).map_err(|error| {
        FileError::of("encode a line of", &disk.path(file))(io::Error::from(error))
    })?;
    Ok(format!("{:016x} {text}\n", xxh3_64(text.as_bytes())).into_bytes())
}

/// The JSON text of a line. The error names the fault of the line.
pub(super) fn text_of(line: &[u8]) -> Result<&[u8], String> {
    let (digits, text) = line
        .strip_suffix(b"\n")
        .unwrap_or(line)
        .split_at_checked(CHECKSUM_DIGITS)
        .and_then(|(digits, rest)| Some((digits, rest.strip_prefix(b" ")?)))
        .ok_or("it does not begin with a checksum")?;
    if format!("{:016x}", xxh3_64(text)).as_bytes() != digits {
        return Err("its checksum does not match".to_owned());
    }
    Ok(text)
}

/// Reads a log. The returned log does not include a torn tail.
fn replay(path: &Path, content: &[u8]) -> Result<(RegistrationLog, Option<TornTail>), OpenError> {
    let mut log = RegistrationLog::default();
    let mut head = None;
    let mut unknown = UnknownFields::default();
    let mut torn = None;
    for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let corrupt =
            |reason: String| OpenError::CorruptLog { path: path.to_owned(), line: number, reason };
        let is_last = log.bytes + line.len() == content.len();
        if is_last && is_torn(line) {
            torn = Some(TornTail { path: path.to_owned(), line: number, bytes: line.len() });
            break;
        }
        let text = text_of(line).map_err(corrupt)?;
        if head.is_none() {
            let parsed: Head = unknown.parse(text).map_err(|error| {
                corrupt(format!("it should name the format of the file: {error}"))
            })?;
            parsed.check(path, FORMAT)?;
            head = Some(parsed);
        } else {
            let entry = unknown.parse(text).map_err(|error| corrupt(error.to_string()))?;
            log.apply(entry, line);
        }
        log.bytes += line.len();
    }
    let Some(head) = head else {
        let reason = "it should name the format of the file and is missing".to_owned();
        return Err(OpenError::CorruptLog { path: path.to_owned(), line: 1, reason });
    };
    unknown.warn(path, &head);
    Ok((log, torn))
}

impl RegistrationLog {
    fn apply(&mut self, entry: ReadEntry, line: &[u8]) {
        let line = line.to_owned();
        match entry {
            ReadEntry { put: Some(registration), registered_by, .. } => {
                self.set_live(registration, registered_by, line);
            }
            ReadEntry { remove: Some(id), .. } => self.drop_live(&id),
            ReadEntry { .. } => {
                self.keep(line);
            }
        }
    }
}

/// Whether the write of a last line never finished: the line has no end, or some of its blocks never reached the disk.
/// Such blocks read as zeros, which JSON text never contains.
pub(super) fn is_torn(line: &[u8]) -> bool {
    !line.ends_with(b"\n") || line.contains(&0)
}
