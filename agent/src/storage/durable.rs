//! Files that are replaced whole, so that a reader and a crash meet the old content or the new one, never a mixture.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::error::FileError;

/// Only the user that runs the agent may look.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Creates `dir` and what is missing above it. An existing directory keeps its mode.
pub(super) fn create_dir(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(dir)
        .map_err(FileError::of("create the directory", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Opens `path` for reading and writing, creating it if need be.
pub(super) fn open(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(FileError::of("open", path))
}

/// The content of `path`, or `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::of("read", path)(error)),
    }
}

/// Replaces `path` by a file with this content, and returns that file, open for writing behind its content.
///
/// When it returns, the new content survives a power failure. When it fails, the file is the old one or the new one,
/// and which of them a power failure leaves is open.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<File, FileError> {
    let scratch = path.with_extension("tmp");
    let written = write_scratch(&scratch, content).and_then(|file| {
        fs::rename(&scratch, path).map_err(FileError::of("replace", path))?;
        Ok(file)
    });
    if written.is_err() {
        // The next replacement truncates it anyway; this only gives the room on a full disk back.
        let _ = fs::remove_file(&scratch);
    }
    let file = written?;
    if let Some(parent) = path.parent() {
        sync_dir(parent)?;
    }
    Ok(file)
}

fn write_scratch(scratch: &Path, content: &[u8]) -> Result<File, FileError> {
    let mut file = open(scratch)?;
    file.set_len(0).map_err(FileError::of("empty", scratch))?;
    file.write_all(content).map_err(FileError::of("write", scratch))?;
    file.sync_all().map_err(FileError::of("flush", scratch))?;
    Ok(file)
}

/// Makes renames and new names in `dir` durable.
fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(FileError::of("flush the directory", dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_content_only_and_is_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file.json");
        drop(replace(&path, b"a long first content").expect("replaced"));
        drop(replace(&path, b"short").expect("replaced"));
        assert_eq!(read(&path).expect("readable").as_deref(), Some(&b"short"[..]));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, FILE_MODE);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "no scratch file is left");
    }

    #[test]
    fn the_returned_file_appends_behind_the_content() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file.log");
        let mut file = replace(&path, b"one\n").expect("replaced");
        file.write_all(b"two\n").expect("written");
        assert_eq!(read(&path).expect("readable").as_deref(), Some(&b"one\ntwo\n"[..]));
    }

    #[test]
    fn a_directory_is_made_with_all_above_it_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let deep = dir.path().join("a/b");
        create_dir(&deep).expect("created");
        create_dir(&deep).expect("an existing one is fine");
        assert_eq!(fs::metadata(&deep).expect("there").permissions().mode() & 0o777, DIR_MODE);
    }
}
