//! The few operations that a data directory needs from a file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use tracing::warn;

use crate::regular_file;

/// The modes of the directory and of its files: only the user that runs the agent may read them.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Others may write a file or a directory with one of these bits.
const OTHERS_MAY_WRITE: u32 = 0o022;
/// Others may read or write a file with one of these bits.
const OTHERS_MAY_USE: u32 = 0o077;
/// The bytes of a file that is replaced in reserved room.
pub(super) const RESERVED_BYTES: usize = 512;
/// A symbolic link in the place of a file would lead writes out of the directory.
const NO_LINKS: i32 = OFlags::NOFOLLOW.bits() as i32;

/// A pipe in the place of a file would make its reader wait for a writer.
const NO_WAITING: i32 = OFlags::NONBLOCK.bits() as i32;

const LOCK_FILE: &str = "lock";
/// More than a process id takes.
const MAX_LOCK_BYTES: u64 = 64;

/// The files of one directory, by name. Every method may block for as long as the device takes.
///
/// After an error, the operation happened as a whole or not at all; [`FileError::untouched`] tells when it certainly did
/// not. Only [`Disk::append`] may leave a part of the bytes behind.
pub(crate) trait Disk: Send + Sync {
    /// The path of a file, for messages.
    fn path(&self, file: &str) -> PathBuf;

    /// The content of a file of at most `max` bytes; `None` when there is none.
    fn read(&self, file: &str, max: u64) -> Result<Option<Vec<u8>>, FileError>;

    /// The content of a file of any length, to be read piece by piece; `None` when there is none.
    fn reader(&self, file: &str) -> Result<Option<Box<dyn BufRead>>, FileError>;

    /// Replaces a file, or creates it. A crash leaves the old content or the new one; the new one survives a power
    /// failure once this returns.
    fn replace(&mut self, file: &str, content: &[u8]) -> Result<(), FileError>;

    /// Like [`Disk::replace`], with a content that need not fit into memory.
    fn replace_by(
        &mut self,
        file: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), FileError>;

    /// Like [`Disk::replace`], without waiting for the device. After a power failure the old content, the new one or
    /// something else may be there.
    fn replace_unflushed(&mut self, file: &str, content: &[u8]) -> Result<(), FileError>;

    /// Like [`Disk::replace`], for a content of at most [`RESERVED_BYTES`]. Where an earlier call could reserve room, this
    /// needs no more of it, so it succeeds on a full disk. The content is padded with spaces.
    fn replace_in_reserve(&mut self, file: &str, content: &[u8]) -> Result<(), FileError>;

    /// Appends to an existing file. The bytes survive a power failure once this returns.
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError>;

    /// Appends to a file, and creates it when there is none, without waiting for the device.
    fn append_unflushed(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError>;

    /// Gives a file another name, and replaces the file that has it. When there is no such file, nothing happens.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError>;

    /// The same files, for a writer of other ones: neither waits for the other.
    fn again(&self) -> Box<dyn Disk>;

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
    /// Whether the file is certainly as it was before.
    pub(super) untouched: bool,
}

impl FileError {
    /// For `map_err`: makes an error of a failed action on a file.
    pub(super) fn of<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source, untouched: false }
    }

    /// The error of an operation that has not reached the file yet.
    pub(super) fn untouched(self) -> Self {
        Self { untouched: true, ..self }
    }
}

/// A locked directory of the operating system. No other process can open it until this is dropped or this process ends.
pub(super) struct OsDisk {
    dir: PathBuf,
    /// Holds the lock for as long as it is open.
    lock: Arc<File>,
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
        warn_if_open(dir)?;
        Ok(Self { dir: dir.to_owned(), lock: Arc::new(lock(&dir.join(LOCK_FILE))?) })
    }

    /// Warns of each of these files that another user may read or write.
    pub(super) fn warn_of_open_files(&self, files: &[&str]) {
        for path in files.iter().map(|file| self.path(file)) {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let mode = found.mode() & 0o7777;
            if mode & OTHERS_MAY_USE != 0 {
                warn!(path = %path.display(), mode = format!("{mode:04o}"),
                    "other users may read or write a file with keys of this agent: `chmod 600 {}` closes it", path.display());
            }
        }
    }
}

impl Disk for OsDisk {
    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn read(&self, file: &str, max: u64) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.path(file);
        match regular_file::read(&path, max) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::of("read", &path)(error)),
        }
    }

    fn reader(&self, file: &str) -> Result<Option<Box<dyn BufRead>>, FileError> {
        let path = self.path(file);
        match regular_file::open(&path) {
            Ok(file) => Ok(Some(Box::new(BufReader::new(file)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::of("read", &path)(error)),
        }
    }

    fn replace(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        self.replace_by(file, &mut |file| file.write_all(content))
    }

    fn replace_by(
        &mut self,
        file: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), FileError> {
        replace(&self.path(file), write, File::sync_all)?;
        sync_dir(&self.dir)
    }

    fn replace_unflushed(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        replace(&self.path(file), &mut |file| file.write_all(content), |_| Ok(()))
    }

    fn replace_in_reserve(&mut self, file: &str, content: &[u8]) -> Result<(), FileError> {
        let path = self.path(file);
        let reserve = path.with_extension("reserve");
        write_reserve(&reserve, content).map_err(FileError::untouched)?;
        // The old file becomes the reserve, where the file system can exchange two files.
        let exchanged = renameat_with(CWD, &reserve, CWD, &path, RenameFlags::EXCHANGE);
        if exchanged.is_err() {
            let renamed = fs::rename(&reserve, &path).map_err(FileError::of("replace", &path));
            renamed.map_err(FileError::untouched)?;
        }
        sync_dir(&self.dir)?;
        if exchanged.is_err()
            && let Err(FileError { path, source, .. }) = write_reserve(&reserve, &[])
        {
            warn!(path = %path.display(), error = %source, "no room is reserved: while the disk is full, this agent cannot start");
        }
        Ok(())
    }

    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path(file);
        let opened = OpenOptions::new().append(true).custom_flags(NO_LINKS).open(&path);
        let mut file = opened.map_err(FileError::of("open", &path))?;
        file.write_all(bytes).map_err(FileError::of("append to", &path))?;
        file.sync_data().map_err(FileError::of("flush", &path))
    }

    fn append_unflushed(&mut self, file: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path(file);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(FILE_MODE).custom_flags(NO_LINKS | NO_WAITING);
        let mut file = options.open(&path).map_err(FileError::of("open", &path))?;
        file.write_all(bytes).map_err(FileError::of("append to", &path))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let path = self.path(from);
        match fs::rename(&path, self.path(to)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(FileError::of("rename", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn again(&self) -> Box<dyn Disk> {
        Box::new(Self { dir: self.dir.clone(), lock: self.lock.clone() })
    }

    fn truncate(&mut self, file: &str, len: u64) -> Result<(), FileError> {
        let path = self.path(file);
        let opened = OpenOptions::new().write(true).custom_flags(NO_LINKS).open(&path);
        let file = opened.map_err(FileError::of("open", &path))?;
        file.set_len(len).map_err(FileError::of("cut the end off", &path))?;
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

/// Warns of a directory that another user may write: the files in it may be replaced.
fn warn_if_open(dir: &Path) -> Result<(), FileError> {
    let found = fs::metadata(dir).map_err(FileError::of("look at", dir))?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let is_foreign = owner != 0 && owner != rustix::process::geteuid().as_raw();
    if is_foreign || mode & OTHERS_MAY_WRITE != 0 {
        warn!(dir = %dir.display(), owner, mode = format!("{mode:o}"),
            "other users may write to the data directory, and so replace this agent's identity and registrations: give it to \
             this user alone (mode 700)");
    }
    Ok(())
}

/// Takes the lock, and writes our process id into the file, so that a refused process can name us.
fn lock(path: &Path) -> Result<File, LockError> {
    let file = open_or_create(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without a readable process id the refusal is still correct, but less helpful.
            let _ = (&file).take(MAX_LOCK_BYTES).read_to_string(&mut text);
            return Err(LockError::Held(text.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(FileError::of("lock", path)(error).into()),
    }
    // Over the old one, so that a full disk has room for it.
    let pid = format!("{:<10}\n", std::process::id());
    if let Err(error) = file.write_all_at(pid.as_bytes(), 0) {
        warn!(path = %path.display(), %error, "the process id cannot be written; another agent that wants this directory cannot \
            name this one");
    }
    Ok(file)
}

fn replace(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    flush: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(), FileError> {
    let scratch = path.with_extension("tmp");
    let written = write_scratch(&scratch, write, flush)
        .and_then(|()| fs::rename(&scratch, path).map_err(FileError::of("replace", path)));
    if written.is_err() {
        // The next replacement removes the scratch file anyway. Removing it now frees space on a full disk.
        let _ = fs::remove_file(&scratch);
    }
    written.map_err(FileError::untouched)
}

fn write_scratch(
    scratch: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    flush: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(), FileError> {
    remove_if_there(scratch)?;
    // A new file, so that no link leads the content elsewhere.
    let created = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(scratch);
    let file = created.map_err(FileError::of("create", scratch))?;
    let mut buffered = BufWriter::new(&file);
    let written = write(&mut buffered).and_then(|()| buffered.flush());
    written.map_err(FileError::of("write", scratch))?;
    flush(&file).map_err(FileError::of("flush", scratch))
}

/// Writes a reserve over the one that is there, with the length that all of them have.
fn write_reserve(reserve: &Path, content: &[u8]) -> Result<(), FileError> {
    let is_own = |found: fs::Metadata| found.is_file() && found.nlink() == 1;
    if !fs::symlink_metadata(reserve).is_ok_and(is_own) {
        remove_if_there(reserve)?;
    }
    let mut padded = content.to_owned();
    padded.resize(RESERVED_BYTES.max(content.len()), b' ');
    let file = open_or_create(reserve)?;
    file.write_all_at(&padded, 0).map_err(FileError::of("write", reserve))?;
    file.set_len(padded.len() as u64).map_err(FileError::of("cut", reserve))?;
    file.sync_all().map_err(FileError::of("flush", reserve))
}

fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FileError::of("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn open_or_create(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(NO_LINKS | NO_WAITING)
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

    use rustix::fs::Mode;

    use super::*;

    const FILE: &str = "file.json";

    fn open(dir: &Path) -> OsDisk {
        OsDisk::open(dir).ok().expect("free")
    }

    fn content(disk: &OsDisk) -> Vec<u8> {
        disk.read(FILE, 1_000).expect("readable").expect("there")
    }

    #[test]
    fn a_replaced_file_has_the_new_content_only_and_is_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut disk = open(dir.path());
        assert!(disk.read(FILE, 1_000).expect("readable").is_none());
        disk.replace(FILE, b"a long first content").expect("replaced");
        disk.replace(FILE, b"short").expect("replaced");
        assert_eq!(content(&disk), b"short");
        let mode = fs::metadata(disk.path(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        let files = fs::read_dir(dir.path()).expect("listed").count();
        assert_eq!(files, 2, "the file and the lock, no scratch file");
    }

    #[test]
    fn a_pipe_or_a_device_is_not_read() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = open(dir.path());
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, disk.path(FILE), pipe, Mode::RUSR | Mode::WUSR, 0).expect("made");
        disk.read(FILE, 1_000).expect_err("it would wait for a writer");
        fs::remove_file(disk.path(FILE)).expect("removed");
        std::os::unix::fs::symlink("/dev/zero", disk.path(FILE)).expect("made");
        disk.read(FILE, 1_000).expect_err("it has no end");
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
    fn a_reserve_takes_the_place_of_the_file_and_the_file_that_of_the_reserve() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut disk = open(dir.path());
        let inode = |file: &str| fs::metadata(dir.path().join(file)).expect("there").ino();
        for (round, text) in ["one", "two", "three"].into_iter().enumerate() {
            let before = (round > 0).then(|| (inode(FILE), inode("file.reserve")));
            disk.replace_in_reserve(FILE, text.as_bytes()).expect("replaced");
            assert_eq!(content(&disk).trim_ascii_end(), text.as_bytes());
            assert_eq!(content(&disk).len(), RESERVED_BYTES);
            if let Some((file, reserve)) = before {
                assert_eq!((inode(FILE), inode("file.reserve")), (reserve, file));
            }
        }
    }

    #[test]
    fn no_link_in_the_place_of_a_file_leads_a_write_elsewhere() {
        let (dir, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let target = other.path().join("target");
        let names = ["file.tmp", "file.reserve", "lock"];
        let soft = |at: &Path| std::os::unix::fs::symlink(&target, at);
        let hard = |at: &Path| fs::hard_link(&target, at);
        for link in [&soft as &dyn Fn(&Path) -> io::Result<()>, &hard] {
            fs::write(&target, "precious").expect("written");
            for name in names {
                let _ = fs::remove_file(dir.path().join(name));
            }
            for name in &names[..2] {
                link(&dir.path().join(name)).expect("linked");
            }
            let mut disk = open(dir.path());
            disk.replace(FILE, b"new").expect("replaced");
            disk.replace_in_reserve(FILE, b"new").expect("replaced");
            assert_eq!(fs::read(&target).expect("there"), b"precious");
            drop(disk);
        }
        fs::remove_file(dir.path().join("lock")).expect("removed");
        std::os::unix::fs::symlink(&target, dir.path().join("lock")).expect("linked");
        assert!(OsDisk::open(dir.path()).is_err(), "a link is no lock");
        fs::remove_file(dir.path().join(FILE)).expect("removed");
        std::os::unix::fs::symlink(&target, dir.path().join(FILE)).expect("linked");
        fs::remove_file(dir.path().join("lock")).expect("removed");
        let mut disk = open(dir.path());
        assert!(disk.append(FILE, b"more").is_err() && disk.truncate(FILE, 0).is_err());
        assert_eq!(fs::read(&target).expect("there"), b"precious");
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
