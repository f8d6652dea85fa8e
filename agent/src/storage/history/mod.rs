//! The files of the history: events in the order in which they were recorded, on two shelves.
//!
//! A shelf has two files: events are appended to the newer one, and when that is full it takes the place of the older. So a shelf
//! holds between one and two segments, and what happens often never drives out what the other shelf holds. A line is as in
//! `registrations.log`: the XXH3-64 of its JSON text in 16 hexadecimal digits, a space, and the text. The first text of a file is
//! its [head](super::format).
//!
//! The history explains, and decides nothing. Lines that cannot be read are skipped, a file that cannot be read is left out, with
//! one warning, and nothing is flushed: a power failure may take the last seconds.

mod event;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use rustix::io::Errno;
use tracing::warn;

pub use event::{StoredBy, StoredEvent};

use super::disk::{Disk, FileError};
use super::error::WriteError;
use super::format::{Head, UnknownFields};
use super::log::{text_of, to_line};

/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// The bytes of a file after which another one is begun.
pub(crate) const SEGMENT_BYTES: usize = 1024 * 1024;
/// The most bytes that are read of a file.
const MAX_FILE_BYTES: u64 = 4 * SEGMENT_BYTES as u64;
/// The most bytes of a line.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// The highest number of an event. A higher one is damage.
const MAX_NUMBER: u64 = 1 << 53;

/// A shelf of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// What somebody did: registrations, maintenance, orders, starts.
    Acts,
    /// What the agent saw: checks, members, datacenters.
    Sights,
}

impl Shelf {
    pub(crate) const ALL: [Self; 2] = [Self::Acts, Self::Sights];

    /// Its place among all.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Acts => 0,
            Self::Sights => 1,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Acts => "history-acts.log",
            Self::Sights => "history-sights.log",
        }
    }

    fn old_file(self) -> &'static str {
        match self {
            Self::Acts => "history-acts.old.log",
            Self::Sights => "history-sights.old.log",
        }
    }

    /// Keeps the newest file that this version cannot read, and never reads it.
    fn foreign_file(self) -> &'static str {
        match self {
            Self::Acts => "history-acts.foreign.log",
            Self::Sights => "history-sights.foreign.log",
        }
    }
}

/// The newer file of a shelf.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    bytes: usize,
    /// Its last line has no end.
    is_torn: bool,
    /// It is of another format, or cannot be read: nothing is appended to it.
    is_foreign: bool,
}

/// The files of the history. Every method may block for as long as the device takes.
pub(crate) struct HistoryFiles {
    disk: Box<dyn Disk>,
    segments: [Segment; 2],
}

/// What was read of the history at the start, by the number of the event.
pub(crate) type ReadEvents = [BTreeMap<u64, StoredEvent>; 2];

impl HistoryFiles {
    /// Opens the files, and reads what is in them.
    pub(crate) fn open(disk: Box<dyn Disk>) -> (Self, ReadEvents) {
        let mut read = ReadEvents::default();
        let segments = Shelf::ALL.map(|shelf| {
            let events = &mut read[shelf.place()];
            let _ = read_file(disk.as_ref(), shelf.old_file(), events);
            read_file(disk.as_ref(), shelf.file(), events)
        });
        (Self { disk, segments }, read)
    }

    /// Appends events to a shelf, without waiting for the device. After an error some of them may be there, and may be appended
    /// again.
    pub(crate) fn append<'a>(
        &mut self,
        shelf: Shelf,
        events: impl IntoIterator<Item = &'a StoredEvent>,
    ) -> Result<(), WriteError> {
        let mut lines = Vec::new();
        for event in events {
            let line = to_line(self.disk.as_ref(), shelf.file(), event)?;
            if line.len() <= MAX_LINE_BYTES {
                lines.extend(line);
            }
        }
        self.append_lines(shelf, lines)
    }

    fn append_lines(&mut self, shelf: Shelf, lines: Vec<u8>) -> Result<(), WriteError> {
        let file = shelf.file();
        let segment = &mut self.segments[shelf.place()];
        if segment.is_foreign {
            self.disk.rename(file, shelf.foreign_file())?;
            let (path, kept_as) = (self.disk.path(file), self.disk.path(shelf.foreign_file()));
            warn!(path = %path.display(), kept_as = %kept_as.display(), "a file of the history is kept under another name, and a new one is begun");
            *segment = Segment::default();
        }
        if segment.bytes + lines.len() > SEGMENT_BYTES && segment.bytes > 0 {
            self.disk.rename(file, shelf.old_file())?;
            *segment = Segment::default();
        }
        let mut bytes = Vec::with_capacity(lines.len() + 128);
        if segment.bytes == 0 {
            bytes = to_line(self.disk.as_ref(), file, &Head::of(FORMAT))?;
        } else if segment.is_torn {
            bytes.push(b'\n');
        }
        bytes.extend(lines);
        let appended = self.disk.append_unflushed(file, &bytes);
        if let Err(error) = appended {
            // What may have been written of them is cut off, or is a line that cannot be read.
            let cut = self.disk.truncate(file, segment.bytes as u64);
            segment.is_torn |= cut.is_err();
            // Nothing is ever written through a link, so it makes room for a file.
            segment.is_foreign |= appended_to_link(&error);
            return Err(error.into());
        }
        segment.is_torn = false;
        segment.bytes += bytes.len();
        Ok(())
    }
}

/// Whether a symbolic link stands in the place of the file.
fn appended_to_link(FileError { source, .. }: &FileError) -> bool {
    source.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Reads a file of a shelf. A line that is damaged is skipped.
fn read_file(disk: &dyn Disk, file: &str, events: &mut BTreeMap<u64, StoredEvent>) -> Segment {
    let path = disk.path(file);
    let foreign = Segment { is_foreign: true, ..Segment::default() };
    let content = match disk.read(file, MAX_FILE_BYTES) {
        Ok(Some(content)) => content,
        Ok(None) => return Segment::default(),
        Err(FileError { source, .. }) => {
            warn!(path = %path.display(), error = %source, "a file of the history cannot be read, and is left out");
            return foreign;
        }
    };
    let mut lines = content.split_inclusive(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return Segment::default() };
    let head = match head_of(&path, first) {
        Ok(head) => head,
        Err(reason) => {
            warn!(path = %path.display(), reason, "a file of the history is left out");
            return foreign;
        }
    };
    let (mut unknown, mut damaged) = (UnknownFields::default(), 0_usize);
    for line in lines {
        let is_whole = line.len() <= MAX_LINE_BYTES && line.ends_with(b"\n");
        let text = if is_whole { text_of(line).ok() } else { None };
        let event = text.and_then(|text| unknown.parse::<StoredEvent>(text).ok());
        match event {
            Some(event) if event.number <= MAX_NUMBER => drop(events.insert(event.number, event)),
            // The end of a line that was begun before a crash.
            _ if line == b"\n" => {}
            _ => damaged += 1,
        }
    }
    unknown.warn(&path, &head);
    if damaged > 0 {
        warn!(path = %path.display(), damaged, "lines of the history cannot be read, and are skipped");
    }
    Segment { bytes: content.len(), is_torn: !content.ends_with(b"\n"), is_foreign: false }
}

/// The head of a file of this format, or why there is none.
fn head_of(path: &Path, line: &[u8]) -> Result<Head, String> {
    let head = text_of(line).ok().and_then(|text| serde_json::from_slice::<Head>(text).ok());
    let head = head.ok_or("its first line is damaged")?;
    head.check(path, FORMAT).map_err(|error| error.to_string())?;
    Ok(head)
}
