//! The mark: proof that the voter log is the last one that this node wrote.
//!
//! It is kept in a file system in memory, which lives only as long as the host runs. So no image of a disk holds it. After a restart of
//! the host there is none.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, statfs};

/// What `statfs` tells of a file system in memory.
const TMPFS_MAGIC: i128 = 0x0102_1994;
/// Where file systems in memory are mounted.
const DIRS: [&str; 2] = ["/dev/shm", "/run"];
/// More than a mark takes.
const MAX_BYTES: u64 = 1_024;
/// A symbolic link in the place of the file would lead writes elsewhere.
const NO_LINKS: i32 = OFlags::NOFOLLOW.bits() as i32;

/// Where a mark is kept.
pub(crate) trait Mark: Send {
    /// The mark; `None` if there is none, or if it is not ours.
    fn read(&self) -> Option<Vec<u8>>;

    /// Replaces the mark. After an error there is none, or the error says that there may be.
    fn write(&mut self, mark: &[u8]) -> io::Result<()>;
}

/// A file in memory. Without such a file system, there is never a mark.
#[derive(Debug)]
pub(crate) struct MemoryMark {
    path: Option<PathBuf>,
}

impl MemoryMark {
    /// The mark of the node with this id and this hash of its instance key.
    pub(crate) fn of(node_id: &str, instance: u64) -> Self {
        let dir = DIRS.iter().map(Path::new).find(|dir| is_usable(dir));
        Self { path: dir.map(|dir| dir.join(format!("hobnob-{node_id}-{instance:016x}.mark"))) }
    }

    /// A mark in a directory, which need not be in memory.
    #[cfg(test)]
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { path: Some(dir.join("hobnob.mark")) }
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
    options.open(&new)?.write_all(content)?;
    fs::rename(&new, path)
}

impl Mark for MemoryMark {
    fn read(&self) -> Option<Vec<u8>> {
        let path = self.path.as_ref()?;
        let file = OpenOptions::new().read(true).custom_flags(NO_LINKS).open(path).ok()?;
        let found = file.metadata().ok()?;
        // Another user might leave one to make an old disk count.
        if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn write(&mut self, mark: &[u8]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        // The earlier mark would prove an earlier log.
        replace(path, mark).or_else(|_| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}
