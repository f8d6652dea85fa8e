//! The mark: proof that the voter log is the last one that this node wrote.
//!
//! It is kept in a file system in memory, which lives only as long as the host runs. So no image of a disk holds it. After a restart of
//! the host there is none.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, statfs};
use tracing::warn;

use super::super::disk::FileError;

/// What `statfs` tells of a file system in memory.
const TMPFS_MAGIC: i128 = 0x0102_1994;
/// Where file systems in memory are mounted.
const DIRS: [&str; 2] = ["/dev/shm", "/run"];
/// More than a mark takes.
const MAX_BYTES: u64 = 1_024;
/// A symbolic link in the place of the file would lead writes elsewhere.
const NO_LINKS: i32 = OFlags::NOFOLLOW.bits() as i32;
/// A pipe in the place of the file would make its reader wait for a writer.
const NO_WAITING: i32 = OFlags::NONBLOCK.bits() as i32;

/// Where a mark is kept.
pub(crate) trait Mark: Send {
    /// The mark; `None` if there is none, or if it is not ours.
    fn read(&self) -> Option<Vec<u8>>;

    /// Replaces the mark, or removes it where that fails. After an error an earlier mark may be there, which proves an earlier log.
    fn write(&mut self, mark: &[u8]) -> Result<(), FileError>;
}

/// A file in memory. Without such a file system, there is never a mark.
#[derive(Debug)]
pub(crate) struct MemoryMark {
    path: Option<PathBuf>,
    /// Whether the last write failed, which is logged once.
    is_failing: bool,
}

impl MemoryMark {
    /// The mark of the node with this id and this hash of its instance key.
    pub(crate) fn of(node_id: &str, instance: u64) -> Self {
        let name = format!("hobnob-{node_id}-{instance:016x}.mark");
        let dir = DIRS.iter().map(Path::new).find(|dir| is_usable(dir));
        // One that was left elsewhere would prove an earlier log.
        for other in DIRS.iter().map(Path::new).filter(|other| Some(*other) != dir) {
            let _ = fs::remove_file(other.join(&name));
        }
        if dir.is_none() {
            warn!(
                "neither {} is a file system in memory that this agent may write to: after each start it has no proof of what it \
                keeps as a voter",
                DIRS.join(" nor ")
            );
        }
        Self { path: dir.map(|dir| dir.join(name)), is_failing: false }
    }

    /// A mark in a directory, which need not be in memory.
    #[cfg(test)]
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { path: Some(dir.join("hobnob.mark")), is_failing: false }
    }
}

/// Whether a directory is in memory, and this process can make files there.
fn is_usable(dir: &Path) -> bool {
    let in_memory = statfs(dir).is_ok_and(|found| i128::from(found.f_type) == TMPFS_MAGIC);
    let may_write = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    in_memory && may_write
}

/// Replaces a file in one step.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(NO_LINKS);
    let written = options.open(&new).and_then(|mut file| file.write_all(content));
    let replaced = written.and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&new);
    }
    replaced
}

/// Whether this is a file of another user, which [`Mark::read`] does not take for a mark.
fn is_foreign(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|found| found.uid() != own)
}

impl Mark for MemoryMark {
    fn read(&self) -> Option<Vec<u8>> {
        let path = self.path.as_ref()?;
        let file =
            OpenOptions::new().read(true).custom_flags(NO_LINKS | NO_WAITING).open(path).ok()?;
        let found = file.metadata().ok()?;
        // Another user might leave one to make an old disk count.
        if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn write(&mut self, mark: &[u8]) -> Result<(), FileError> {
        let Some(path) = &self.path else { return Ok(()) };
        let Err(error) = replace(path, mark) else {
            self.is_failing = false;
            return Ok(());
        };
        if !self.is_failing {
            warn!(path = %path.display(), %error,
                "the mark of the voter log cannot be written: after its next start this agent has no proof of what it keeps as a voter");
        }
        self.is_failing = true;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && !is_foreign(path) => {
                Err(FileError::of("replace or remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}
