//! The registrations, as a log of changes that is only appended to.
//!
//! A line is the XXH3-64 of its JSON text in 16 hexadecimal digits, a space, and the text: `{"format":1}` first, then
//! `{"put":REGISTRATION}` and `{"remove":"ID"}` in the order in which they happened. A change is acknowledged once its
//! line is flushed to the disk.
//!
//! A crash in the middle of an append leaves an unfinished last line. It was never acknowledged, so it is cut off and
//! reported as a [`TornTail`]. Any other damage is an error: what was acknowledged is not lost without a word.
//!
//! When the lines that no longer count outweigh those that do, the log is replaced by one without them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::durable;
use super::error::{FileError, OpenError, WriteError};
use hobnob_api::Registration;

/// The name of the file in the data directory.
pub(super) const FILE: &str = "registrations.log";
/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;
/// The most registrations that one agent keeps; the catalog has room for about as many behind one origin.
pub const MAX_REGISTRATIONS: usize = 4_096;
/// The most bytes that one registration may take in the log. The record made of it is held to less.
pub const MAX_REGISTRATION_BYTES: usize = 32 * 1024;
/// Below so much garbage a log is not worth rewriting.
const MIN_GARBAGE_BYTES: u64 = 64 * 1024;
/// Hexadecimal digits of a checksum.
const CHECKSUM_DIGITS: usize = 16;

/// An unfinished last line that was cut off a log, left by a crash in the middle of a write that was never
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// How many bytes of it there were.
    pub bytes: usize,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one at a time, for as long as a line is read")]
enum Entry<'a> {
    Format(u32),
    Put(Cow<'a, Registration>),
    Remove(Cow<'a, str>),
}

/// A registration that counts, and the size of its line.
struct Live {
    registration: Registration,
    line_bytes: u64,
}

/// The open log and what it says.
pub(super) struct RegistrationLog {
    path: PathBuf,
    /// Positioned behind the last line.
    file: File,
    bytes: u64,
    live: BTreeMap<String, Live>,
    /// Whether a failed write leaves it open what the file ends with. Then it is rewritten before anything is added.
    doubtful: bool,
}

impl RegistrationLog {
    /// Opens the log in `dir`, or creates an empty one.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<TornTail>), OpenError> {
        let path = dir.join(FILE);
        let Some(content) = durable::read(&path)? else {
            let header = Entry::Format(FORMAT).to_line(&path)?;
            let file = durable::replace(&path, &header)?;
            let bytes = header.len() as u64;
            return Ok((Self { path, file, bytes, live: BTreeMap::new(), doubtful: false }, None));
        };
        let Replayed { live, bytes, torn } = replay(&path, &content)?;
        let mut file = durable::open(&path)?;
        if torn.is_some() {
            file.set_len(bytes)
                .map_err(FileError::of("cut the unfinished last line off", &path))?;
            file.sync_all().map_err(FileError::of("flush", &path))?;
        }
        file.seek(SeekFrom::Start(bytes)).map_err(FileError::of("read", &path))?;
        Ok((Self { path, file, bytes, live, doubtful: false }, torn))
    }

    /// All registrations, by id.
    pub(super) fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.live.values().map(|live| &live.registration)
    }

    /// Adds a registration or replaces the one with its id. Writes nothing when it is there already.
    pub(super) fn put(&mut self, registration: &Registration) -> Result<(), WriteError> {
        let id = registration.instance_id();
        match self.live.get(id) {
            Some(live) if live.registration == *registration => return Ok(()),
            None if self.live.len() >= MAX_REGISTRATIONS => return Err(WriteError::TooMany),
            _ => {}
        }
        let line = Entry::Put(Cow::Borrowed(registration)).to_line(&self.path)?;
        if line.len() > MAX_REGISTRATION_BYTES {
            return Err(WriteError::TooLarge { id: id.to_owned(), len: line.len() });
        }
        self.append(&line)?;
        let live = Live { registration: registration.clone(), line_bytes: line.len() as u64 };
        self.live.insert(id.to_owned(), live);
        self.compact();
        Ok(())
    }

    /// Removes the registration with this id. Returns whether there was one.
    pub(super) fn remove(&mut self, id: &str) -> Result<bool, WriteError> {
        if !self.live.contains_key(id) {
            return Ok(false);
        }
        self.append(&Entry::Remove(Cow::Borrowed(id)).to_line(&self.path)?)?;
        self.live.remove(id);
        self.compact();
        Ok(true)
    }

    fn append(&mut self, line: &[u8]) -> Result<(), WriteError> {
        if self.doubtful {
            self.rewrite()?;
        }
        self.doubtful = true;
        self.file.write_all(line).map_err(FileError::of("append to", &self.path))?;
        self.file.sync_data().map_err(FileError::of("flush", &self.path))?;
        self.doubtful = false;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Rewrites the log when that is worth it. A failure costs only room, so it is no failure of the change before it.
    fn compact(&mut self) {
        let live_bytes: u64 = self.live.values().map(|live| live.line_bytes).sum();
        let garbage_bytes = self.bytes.saturating_sub(live_bytes);
        if garbage_bytes > live_bytes.max(MIN_GARBAGE_BYTES)
            && let Err(error) = self.rewrite()
        {
            warn!(%error, "the registration log was not compacted; it is tried again at the next change");
        }
    }

    /// Replaces the file by one that holds only what counts.
    fn rewrite(&mut self) -> Result<(), WriteError> {
        let mut content = Entry::Format(FORMAT).to_line(&self.path)?;
        for live in self.live.values() {
            content.append(&mut Entry::Put(Cow::Borrowed(&live.registration)).to_line(&self.path)?);
        }
        // Until the rename is known to be durable, a line added to either file could be lost.
        self.doubtful = true;
        self.file = durable::replace(&self.path, &content)?;
        self.doubtful = false;
        self.bytes = content.len() as u64;
        Ok(())
    }
}

impl Entry<'_> {
    fn to_line(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        let text = serde_json::to_string(self)
            .map_err(|error| FileError::of("encode a line of", path)(io::Error::from(error)))?;
        Ok(format!("{:016x} {text}\n", xxh3_64(text.as_bytes())).into_bytes())
    }
}

impl Entry<'static> {
    /// Parses a line without its newline; the error says what is wrong with it.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let (Some(digits), Some(b" ")) =
            (line.get(..CHECKSUM_DIGITS), line.get(CHECKSUM_DIGITS..=CHECKSUM_DIGITS))
        else {
            return Err("it does not begin with a checksum".to_owned());
        };
        let text = &line[CHECKSUM_DIGITS + 1..];
        if format!("{:016x}", xxh3_64(text)).as_bytes() != digits {
            return Err("its checksum does not match".to_owned());
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }
}

struct Replayed {
    live: BTreeMap<String, Live>,
    /// The length of the file without a torn tail.
    bytes: u64,
    torn: Option<TornTail>,
}

fn replay(path: &Path, content: &[u8]) -> Result<Replayed, OpenError> {
    let mut live = BTreeMap::new();
    let mut bytes = 0;
    let mut torn = None;
    for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let corrupt =
            |reason: String| OpenError::CorruptLog { path: path.to_owned(), line: number, reason };
        let is_last = bytes + line.len() == content.len();
        if is_last && is_torn(line) {
            torn = Some(TornTail { path: path.to_owned(), line: number, bytes: line.len() });
            break;
        }
        let entry = Entry::parse(line.strip_suffix(b"\n").unwrap_or(line)).map_err(corrupt)?;
        match entry {
            Entry::Format(format) if number == 1 => {
                if format != FORMAT {
                    return Err(OpenError::UnknownFormat { path: path.to_owned(), format });
                }
            }
            _ if number == 1 => {
                return Err(corrupt("it should name the format of the file".to_owned()));
            }
            Entry::Format(_) => {
                return Err(corrupt("it names the format of the file once more".to_owned()));
            }
            Entry::Put(registration) => {
                let registration = registration.into_owned();
                let id = registration.instance_id().to_owned();
                live.insert(id, Live { registration, line_bytes: line.len() as u64 });
            }
            Entry::Remove(id) => {
                live.remove(id.as_ref());
            }
        }
        bytes += line.len();
    }
    if bytes == 0 {
        let reason = "it should name the format of the file and is missing".to_owned();
        return Err(OpenError::CorruptLog { path: path.to_owned(), line: 1, reason });
    }
    Ok(Replayed { live, bytes: bytes as u64, torn })
}

/// Whether a last line is one whose write never finished: it has no end, or it has blocks that never reached the disk
/// and read as zeros, which JSON text never contains.
fn is_torn(line: &[u8]) -> bool {
    !line.ends_with(b"\n") || line.contains(&0)
}

#[cfg(test)]
impl RegistrationLog {
    /// Makes the next append fail, as a full disk would.
    pub(super) fn break_file(&mut self) {
        self.file = File::open(&self.path).expect("the log is there");
    }
}
