//! A disk in memory that hangs or fails on demand, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Cursor, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::disk::{Disk, FileError};

/// The longest hang. Without it, a test that fails while the disk hangs would wait for the writer forever.
const MAX_HANG: Duration = Duration::from_secs(60);

/// The fate of the next writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Succeed,
    /// They block until the test sets another fate.
    Hang,
    /// They fail with this error; an append leaves half of its bytes behind. Where room is reserved, a full disk has it.
    Fail(ErrorKind),
    /// An append writes all of its bytes and then fails with this error, as when they cannot be flushed.
    FailToFlush(ErrorKind),
    /// Their thread panics.
    Panic,
    /// A replacement fails with this error before it touches the file.
    FailToReplace(ErrorKind),
}

/// A disk in memory. Its clones share their files, like one directory that is opened twice.
#[derive(Clone)]
pub(crate) struct FakeDisk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    hung: Notify,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    writes: Writes,
    /// The files with reserved room for their replacement.
    reserves: BTreeSet<String>,
}

/// The kinds of writes, as far as they fail in different ways.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Append,
    Replace,
    Truncate,
}

impl FakeDisk {
    /// A disk without files.
    pub(crate) fn new() -> Self {
        let state =
            State { files: BTreeMap::new(), writes: Writes::Succeed, reserves: BTreeSet::new() };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            hung: Notify::new(),
        }))
    }

    pub(crate) fn set_writes(&self, writes: Writes) {
        self.state().writes = writes;
        self.0.changed.notify_all();
    }

    /// Waits for the next write that hangs.
    pub(crate) async fn hung(&self) {
        self.0.hung.notified().await;
    }

    /// The content of a file; empty when there is none.
    pub(crate) fn content(&self, file: &str) -> Vec<u8> {
        self.state().files.get(file).cloned().unwrap_or_default()
    }

    pub(crate) fn set_content(&self, file: &str, content: impl Into<Vec<u8>>) {
        self.state().files.insert(file.to_owned(), content.into());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no writer panics")
    }

    /// Carries out a write once the disk does not hang.
    fn write(
        &self,
        kind: Kind,
        file: &str,
        on_failure: impl FnOnce(&mut BTreeMap<String, Vec<u8>>),
        on_success: impl FnOnce(&mut BTreeMap<String, Vec<u8>>),
    ) -> Result<(), FileError> {
        let mut state = self.state();
        if state.writes == Writes::Hang {
            self.0.hung.notify_one();
            let changed = &self.0.changed;
            let waited =
                changed.wait_timeout_while(state, MAX_HANG, |state| state.writes == Writes::Hang);
            state = waited.expect("no writer panics").0;
            assert_ne!(state.writes, Writes::Hang, "the test left the disk hanging");
        }
        if state.writes == Writes::Panic {
            drop(state);
            panic!("the test asked for it");
        }
        let path = self.path(file);
        let error = |kind: ErrorKind| FileError::of("write", &path)(kind.into());
        match (state.writes, kind) {
            (Writes::Fail(failure), Kind::Replace)
            | (Writes::FailToReplace(failure), Kind::Replace) => Err(error(failure).untouched()),
            (Writes::Fail(failure), _) => {
                on_failure(&mut state.files);
                Err(error(failure))
            }
            (Writes::FailToFlush(failure), Kind::Append) => {
                on_success(&mut state.files);
                Err(error(failure))
            }
            _ => {
                on_success(&mut state.files);
                Ok(())
            }
        }
    }
}

impl Disk for FakeDisk {
    fn path(&self, file: &str) -> PathBuf {
        Path::new("/fake").join(file)
    }

    fn read(&self, file: &str, max: u64) -> Result<Option<Vec<u8>>, FileError> {
        let content = self.state().files.get(file).cloned();
        assert!(content.as_ref().is_none_or(|content| content.len() as u64 <= max), "{file}");
        Ok(content)
    }

    fn replace(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        let replace = |files: &mut BTreeMap<_, _>| {
            files.insert(file.to_owned(), content.to_owned());
        };
        self.write(Kind::Replace, file, |_| {}, replace)
    }

    fn reader(&self, file: &str) -> Result<Option<Box<dyn BufRead>>, FileError> {
        let content = self.state().files.get(file).cloned();
        Ok(content.map(|content| Box::new(Cursor::new(content)) as Box<dyn BufRead>))
    }

    fn replace_by(
        &mut self,
        file: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let mut content = Vec::new();
        write(&mut content).expect("memory takes all");
        self.replace(file, &content)
    }

    fn replace_unflushed(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        self.replace(file, content)
    }

    fn replace_in_reserve(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        let is_full = self.state().writes == Writes::Fail(ErrorKind::StorageFull);
        if is_full && self.state().reserves.contains(file) {
            self.set_content(file, content);
            return Ok(());
        }
        self.replace(file, content)?;
        self.state().reserves.insert(file.to_owned());
        Ok(())
    }

    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError> {
        let extend = |bytes: &[u8], files: &mut BTreeMap<String, Vec<u8>>| {
            files.get_mut(file).expect("there").extend_from_slice(bytes);
        };
        self.write(
            Kind::Append,
            file,
            |files| extend(&bytes[..bytes.len() / 2], files),
            |files| extend(bytes, files),
        )
    }

    fn append_unflushed(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.state().files.entry(file.to_owned()).or_default();
        self.append(file, bytes)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let rename = |files: &mut BTreeMap<_, _>| {
            if let Some(content) = files.remove(from) {
                files.insert(to.to_owned(), content);
            }
        };
        self.write(Kind::Replace, from, |_| {}, rename)
    }

    fn again(&self) -> Box<dyn Disk> {
        Box::new(self.clone())
    }

    fn truncate(&mut self, file: &str, len: u64) -> Result<(), FileError> {
        let len = usize::try_from(len).expect("short");
        let cut =
            |files: &mut BTreeMap<_, Vec<u8>>| files.get_mut(file).expect("there").truncate(len);
        self.write(Kind::Truncate, file, |_| {}, cut)
    }
}
