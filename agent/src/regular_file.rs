//! Reading regular files that a person or another program named. A pipe or a device may have no end, and a file of another
//! program no bounds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// No open waits for the other side of a pipe, and no terminal becomes that of this process.
const NO_WAITING: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits() as i32;

/// Reads a whole file of at most `max` bytes. It waits for nothing but its file system.
///
/// # Errors
/// It is not there, is no regular file, or is longer, which is [`ErrorKind::FileTooLarge`].
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let found = file.metadata()?;
    let too_long = |len| {
        let message = format!("it has {len} bytes, and such a file has {max} at most");
        io::Error::new(ErrorKind::FileTooLarge, message)
    };
    if found.len() > max {
        return Err(too_long(found.len()));
    }
    // Room for all of it, and for the read that finds its end: growth would leave copies of secrets behind.
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 32);
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_long(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Opens a file to read it. It waits for nothing but its file system.
///
/// # Errors
/// It is not there, or is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, since opening alone may wind a tape, or end the wait of a writer.
    check_kind(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(NO_WAITING).open(path)?;
    check_kind(&file.metadata()?)?;
    Ok(file)
}

fn check_kind(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "12345").expect("written");
        assert_eq!(read(&path("file"), 5).expect("read"), b"12345");
        let long = read(&path("file"), 4).expect_err("longer");
        assert_eq!(long.kind(), ErrorKind::FileTooLarge);
        mkfifoat(CWD, path("pipe"), Mode::RWXU).expect("made");
        std::os::unix::fs::symlink("/dev/zero", path("link")).expect("linked");
        for path in [path("pipe"), path("link"), folder.path().to_owned()] {
            let refused = read(&path, 5).expect_err("not regular");
            assert_eq!(refused.to_string(), "it is not a regular file", "{}", path.display());
        }
        assert_eq!(read(&path("none"), 5).expect_err("none").kind(), ErrorKind::NotFound);
    }
}
