//! Replaces a file at once: a reader sees the old text or the new one, never a part.

use std::fmt;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The mode of a file that is new.
const NEW_MODE: u32 = 0o644;

/// How a file compares with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// There is no such file.
    New,
    /// It has another text.
    Changed,
    /// It has this text.
    Unchanged,
}

impl Difference {
    /// The word for it, as in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a file was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub(super) message: String,
    pub(super) help: String,
}

impl Unwritten {
    fn of(path: &Path, cause: &io::Error) -> Self {
        let folder = folder_of(path).display().to_string();
        let help = match cause.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                format!("make room on the disk of {folder}")
            }
            ErrorKind::NotFound => format!("make the folder {folder}, or correct the destination"),
            ErrorKind::PermissionDenied => {
                format!("let this user write in {folder}, where a new file takes the place of the old one")
            }
            ErrorKind::ReadOnlyFilesystem => {
                format!("mount the file system of {folder} for writing, or choose another destination")
            }
            ErrorKind::ResourceBusy => {
                "a file that is a mount of its own cannot be replaced: mount its folder, or choose another destination".to_owned()
            }
            _ => String::new(),
        };
        // The library adds the name of its temporary file, which is another one each time.
        let cause = cause.to_string();
        let cause = cause.split(" at path ").next().unwrap_or(&cause);
        Self { message: format!("cannot write {}: {cause}", path.display()), help }
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Compares a file with a text.
///
/// # Errors
/// The file cannot be read, or is something else than a file.
pub(super) fn compare(path: &Path, text: &str) -> Result<Difference, Unwritten> {
    let (difference, _) = look(path, text).map_err(|cause| Unwritten::of(path, &cause))?;
    Ok(difference)
}

/// Makes sure that a file has this text. Its mode and owner stay; where it is a link, the file behind that is replaced.
///
/// # Errors
/// The file could not be written, and is as it was.
pub(super) fn write(path: &Path, text: &str) -> Result<Difference, Unwritten> {
    put(path, text).map_err(|cause| Unwritten::of(path, &cause))
}

fn put(path: &Path, text: &str) -> io::Result<Difference> {
    let (difference, before) = look(path, text)?;
    if difference == Difference::Unchanged {
        return Ok(difference);
    }
    let path = behind_links(path)?;
    let folder = folder_of(&path);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Hidden, and with another end, so that nothing like `*.conf` finds it.
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".tmp")
        .tempfile_in(&folder)?;
    if let Some(before) = &before {
        keep_owner(file.as_file(), before)?;
    }
    let mode = before.map_or(NEW_MODE, |before| before.mode() & 0o7777);
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The rename is on the disk when the folder is.
    File::open(&folder)?.sync_all()?;
    Ok(difference)
}

/// Compares, and returns what is known of the file that is there.
fn look(path: &Path, text: &str) -> io::Result<(Difference, Option<Metadata>)> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let is_equal =
                metadata.len() == text.len() as u64 && fs::read(path)? == text.as_bytes();
            let difference = if is_equal { Difference::Unchanged } else { Difference::Changed };
            Ok((difference, Some(metadata)))
        }
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((Difference::New, None)),
        Err(error) => Err(error),
    }
}

/// The file that a path leads to. A link that leads nowhere is an error, as a file behind it would come to stand anywhere.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        _ => Ok(path.to_owned()),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn keep_owner(file: &File, before: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    let uid = (now.uid() != before.uid()).then(|| before.uid());
    let gid = (now.gid() != before.gid()).then(|| before.gid());
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    fchown(file, uid, gid).map_err(|error| {
        let (uid, gid) = (before.uid(), before.gid());
        io::Error::new(
            error.kind(),
            format!("this user cannot keep its owner {uid}:{gid}: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_only_when_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("up.conf");
        assert_eq!(compare(&path, "1\n"), Ok(Difference::New));
        assert_eq!(write(&path, "1\n"), Ok(Difference::New));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, NEW_MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        assert_eq!(write(&path, "1\n"), Ok(Difference::Unchanged));
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "it is not touched");
        assert_eq!(write(&path, "2\n"), Ok(Difference::Changed));
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.mode() & 0o7777, after.ino() == inode), (0o600, false));
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_link_stays_and_the_file_behind_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        assert_eq!(write(&link, "new"), Ok(Difference::Changed));
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::remove_file(&file).unwrap();
        assert!(write(&link, "new").unwrap_err().message.contains("No such file"));
    }

    #[test]
    fn what_cannot_be_written_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| {
            let error = write(path, "text").unwrap_err();
            format!("{error}; {}", error.help)
        };
        let nowhere = told(&folder.path().join("a/b.conf"));
        assert!(nowhere.contains("/a/b.conf: No such file"), "{nowhere}");
        assert!(nowhere.contains("make the folder ") && nowhere.contains("/a, or"), "{nowhere}");
        assert!(told(folder.path()).contains("it is no regular file"));
        for (kind, says) in [
            (ErrorKind::StorageFull, "make room on the disk of /etc"),
            (ErrorKind::PermissionDenied, "let this user write in /etc"),
            (ErrorKind::ReadOnlyFilesystem, "for writing"),
            (ErrorKind::ResourceBusy, "mount its folder"),
        ] {
            let error = Unwritten::of(Path::new("/etc/hosts"), &kind.into());
            assert!(error.help.contains(says), "{error:?}");
        }
    }
}
