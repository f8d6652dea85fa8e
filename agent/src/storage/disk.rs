//! The few operations that a data directory needs from a file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The modes of the directory and of its files: only the user that runs the agent may read them.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

const LOCK_FILE: &str = "lock";

/// The files of one directory, by name. Every method may block for as long as the device takes.
///
/// After an error, the operation happened as a whole or not at all. Only [`Disk::append`] may leave a part of the bytes
/// behind.
pub(crate) trait Disk: Send + Sync {
    /// The path of a file, for messages.
    fn path(&self, file: &str) -> PathBuf;

    /// The content of a file; `None` when there is none.
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, FileError>;

    /// Replaces a file, or creates it. A crash leaves the old content or the new one; the new one survives a power
    /// failure once this returns.
    fn replace(&mut self, file: &str, content: &[u8]) -> Result<(), FileError>;

    /// Appends to an existing file. The bytes survive a power failure once this returns.
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError>;

    /// Cuts a file to this length. The cut survives a power failure once this returns.
    fn truncate(&mut self, file: &str, len: u64) -> Result<(), FileError>;
}

/// A failed operation on a file.
#[derive(Debug)]
pub(crate) struct FileError {
    /// The operation that failed, as in "cannot ACTION PATH".
    pub(super) action: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl FileError {
    /// For `map_err`: makes an error of a failed action on a file.
    pub(super) fn of<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// A locked directory of the operating system. No other process can open it until this is dropped or this process ends.
pub(super) struct OsDisk {
    dir: PathBuf,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

/// The reason for which a directory cannot be opened.
pub(super) enum LockError {
    /// Another process holds the lock; with its process id, if the lock file contains one.
    Held(Option<u32>),
    File(FileError),
}

impl From<FileError> for LockError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl OsDisk {
    /// Locks a directory. If it is missing, it and the missing directories above it are created (mode 0700).
    pub(super) fn open(dir: &Path) -> Result<Self, LockError> {
        create_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), _lock: lock(&dir.join(LOCK_FILE))? })
    }
}

impl Disk for OsDisk {
    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.path(file);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::of("read", &path)(error)),
        }
    }

    fn replace(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        let path = self.path(file);
        let scratch = path.with_extension("tmp");
        let written = write_scratch(&scratch, content)
            .and_then(|()| fs::rename(&scratch, &path).map_err(FileError::of("replace", &path)));
        if written.is_err() {
            // The next replacement truncates the scratch file anyway. Removing it frees space on a full disk.
            let _ = fs::remove_file(&scratch);
        }
        written?;
        sync_dir(&self.dir)
    }

    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path(file);
        let opened = OpenOptions::new().append(true).open(&path);
        let mut file = opened.map_err(FileError::of("open", &path))?;
        file.write_all(bytes).map_err(FileError::of("append to", &path))?;
        file.sync_data().map_err(FileError::of("flush", &path))
    }

    fn truncate(&mut self, file: &str, len: u64) -> Result<(), FileError> {
        let path = self.path(file);
        let opened = OpenOptions::new().write(true).open(&path);
        let file = opened.map_err(FileError::of("open", &path))?;
        file.set_len(len).map_err(FileError::of("cut the unfinished last line off", &path))?;
        file.sync_all().map_err(FileError::of("flush", &path))
    }
}

fn create_dir(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    let created = fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir);
    created.map_err(FileError::of("create the directory", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Takes the lock, and writes our process id into the file, so that a refused process can name us.
fn lock(path: &Path) -> Result<File, LockError> {
    let mut file = open_or_create(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without a readable process id the refusal is still correct, but less helpful.
            let _ = file.read_to_string(&mut text);
            return Err(LockError::Held(text.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(FileError::of("lock", path)(error).into()),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(FileError::of("write", path))?;
    Ok(file)
}

fn write_scratch(scratch: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = open_or_create(scratch)?;
    file.set_len(0).map_err(FileError::of("empty", scratch))?;
    file.write_all(content).map_err(FileError::of("write", scratch))?;
    file.sync_all().map_err(FileError::of("flush", scratch))
}

fn open_or_create(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(FileError::of("open", path))
}

/// Makes renames and new names in `dir` durable.
fn sync_dir(dir: &Path) -> Result<(), FileError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(FileError::of("flush the directory", dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FILE: &str = "file.json";

    fn open(dir: &Path) -> OsDisk {
        OsDisk::open(dir).ok().expect("free")
    }

    fn content(disk: &OsDisk) -> Vec<u8> {
        disk.read(FILE).expect("readable").expect("there")
    }

    #[test]
    fn a_replaced_file_has_the_new_content_only_and_is_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut disk = open(dir.path());
        assert!(disk.read(FILE).expect("readable").is_none());
        disk.replace(FILE, b"a long first content").expect("replaced");
        disk.replace(FILE, b"short").expect("replaced");
        assert_eq!(content(&disk), b"short");
        let mode = fs::metadata(disk.path(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        let files = fs::read_dir(dir.path()).expect("listed").count();
        assert_eq!(files, 2, "the file and the lock, no scratch file");
    }

    #[test]
    fn a_file_grows_at_its_end_and_is_cut_there() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut disk = open(dir.path());
        assert!(disk.append(FILE, b"lost").is_err(), "nothing to append to");
        disk.replace(FILE, b"one\n").expect("replaced");
        disk.append(FILE, b"two\n").expect("appended");
        assert_eq!(content(&disk), b"one\ntwo\n");
        disk.truncate(FILE, 4).expect("cut");
        disk.append(FILE, b"three\n").expect("appended");
        assert_eq!(content(&disk), b"one\nthree\n");
    }

    #[test]
    fn a_directory_is_made_with_all_above_it_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let deep = dir.path().join("a/b");
        drop(open(&deep));
        drop(open(&deep));
        assert_eq!(fs::metadata(&deep).expect("there").permissions().mode() & 0o777, DIR_MODE);
    }

    #[test]
    fn a_locked_directory_names_the_process_that_has_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let held = open(dir.path());
        let refused = OsDisk::open(dir.path()).err().expect("refused");
        assert!(matches!(refused, LockError::Held(Some(pid)) if pid == std::process::id()));
        drop(held);
        open(dir.path());
    }
}
