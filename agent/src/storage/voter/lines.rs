//! The lines of a voter log, and how they are read again. In memory are the image and one line at a time.

use std::io::{self, BufRead, Read as _};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hobnob_membership::quorum::{Change, Image};
use serde::{Deserialize, Serialize};

use super::super::disk::{Disk, FileError};
use super::super::error::OpenError;
use super::super::format::Head;
use super::super::log::{is_torn, text_of, to_line};
use super::{FILE, FORMAT};

/// The most bytes of a line. One write holds what some thousand questions brought at most, of 24 KiB each.
pub(super) const MAX_LINE_BYTES: u64 = 256 * 1024 * 1024;
/// The changes of one line of a log that is rewritten.
const CHANGES_OF_LINE: usize = 256;

/// The first line.
#[derive(Serialize, Deserialize)]
struct LogHead {
    #[serde(flatten)]
    head: Head,
    /// The log, in hexadecimal digits.
    log: String,
    /// The number of the last write that the next lines hold.
    number: u64,
    /// How many lines these are.
    lines: usize,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
struct Write {
    number: u64,
    changes: Vec<String>,
}

/// A file as it was read.
pub(super) struct Read {
    pub(super) log: String,
    /// The number of the last write.
    pub(super) number: u64,
    /// The bytes of all lines, without an unfinished last one.
    pub(super) bytes: u64,
    /// The bytes up to the first write since the file was last rewritten.
    pub(super) live_bytes: u64,
    /// The bytes of an unfinished last line.
    pub(super) torn_bytes: u64,
    pub(super) image: Image,
}

/// A file that cannot be read.
pub(super) enum Fault {
    /// It is not what was written.
    Damaged { line: usize, reason: String },
    /// The system refuses, or it is of a later version.
    Refused(OpenError),
}

/// The line of a write.
pub(super) fn line_of(
    disk: &dyn Disk,
    number: u64,
    changes: &[Change],
) -> Result<Vec<u8>, FileError> {
    let text = |change: &Change| URL_SAFE_NO_PAD.encode(change.encode());
    to_line(disk, FILE, &Write { number, changes: changes.iter().map(text).collect() })
}

/// Replaces the file by one that holds an image. Returns its bytes.
pub(super) fn rewrite(
    disk: &mut dyn Disk,
    log: &str,
    number: u64,
    image: &Image,
) -> Result<u64, FileError> {
    let namer = disk.again();
    let lines = image.changes().count().div_ceil(CHANGES_OF_LINE);
    let head = LogHead { head: Head::of(FORMAT), log: log.to_owned(), number, lines };
    let head = to_line(namer.as_ref(), FILE, &head)?;
    let mut bytes = 0;
    disk.replace_by(FILE, &mut |file| {
        file.write_all(&head)?;
        bytes = head.len() as u64;
        let mut changes = image.changes().peekable();
        while changes.peek().is_some() {
            let some: Vec<Change> = changes.by_ref().take(CHANGES_OF_LINE).collect();
            let line = line_of(namer.as_ref(), number, &some).map_err(|error| error.source)?;
            file.write_all(&line)?;
            bytes += line.len() as u64;
        }
        Ok(())
    })?;
    Ok(bytes)
}

/// Reads a log.
pub(super) fn replay(path: &Path, mut reader: Box<dyn BufRead>) -> Result<Read, Fault> {
    let refused = |error: io::Error| Fault::Refused(FileError::of("read", path)(error).into());
    let mut read: Option<(Read, usize)> = None;
    let mut torn_bytes = 0;
    let mut at = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let limited = &mut reader.by_ref().take(MAX_LINE_BYTES + 1);
        let len = limited.read_until(b'\n', &mut line).map_err(refused)? as u64;
        if len == 0 {
            break;
        }
        at += 1;
        if is_torn(&line) && reader.fill_buf().map_err(refused)?.is_empty() {
            torn_bytes = len;
            break;
        }
        let damaged = |reason: String| Fault::Damaged { line: at, reason };
        let text = text_of(&line).map_err(damaged)?;
        let Some((read, left)) = &mut read else {
            let head: LogHead =
                serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
            head.head.check(path, FORMAT).map_err(Fault::Refused)?;
            let (log, number, image) = (head.log, head.number, Image::default());
            let (bytes, live_bytes) = (len, len);
            read = Some((Read { log, number, bytes, live_bytes, torn_bytes, image }, head.lines));
            continue;
        };
        let write: Write = serde_json::from_slice(text).map_err(|it| damaged(it.to_string()))?;
        let is_live = *left > 0;
        let expected = if is_live { read.number } else { read.number.saturating_add(1) };
        if write.number != expected {
            return Err(damaged(format!(
                "it is write {}, and {expected} comes next",
                write.number
            )));
        }
        for text in &write.changes {
            let change =
                URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Change::decode(&bytes).ok());
            match change {
                None => return Err(damaged("a change is out of range".to_owned())),
                Some(Change::Unknown) => {
                    let path = path.to_owned();
                    return Err(Fault::Refused(OpenError::LaterChange { path, line: at }));
                }
                Some(change) => _ = read.image.apply(&change),
            }
        }
        read.number = write.number;
        read.bytes += len;
        if is_live {
            *left -= 1;
            read.live_bytes = read.bytes;
        }
    }
    match read {
        Some((read, 0)) => Ok(Read { torn_bytes, ..read }),
        Some(_) => Err(Fault::Damaged { line: at, reason: "lines are missing after it".into() }),
        None => Err(Fault::Damaged { line: 1, reason: "it is missing".into() }),
    }
}
