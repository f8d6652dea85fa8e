//! Reading files with a secret that a person named: tokens, CA keys, passphrases.
//!
//! The path may lead anywhere. So the file has to be a regular one, or a pipe without a name, as `<(command)` and `/dev/stdin` lead to;
//! it is read up to a limit, and a pipe for a limited time. A pipe with a name would wait for a writer that may never come, and a
//! device may have no end.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, StatFs, fstatfs, statfs};
use zeroize::Zeroizing;

/// The longest wait for all of a pipe: the command behind it may ask a person, or a server.
const PIPE_WITHIN: Duration = Duration::from_secs(30);
/// The type of the file system of pipes without a name, as `statfs` tells it: `PIPEFS_MAGIC` of Linux.
const PIPES: u64 = 0x5049_5045;
/// No open waits for the other side of a pipe, and no terminal becomes that of this process.
const NO_WAITING: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits() as i32;
/// The bits of a mode that let others than the owner read or write.
const OTHERS: u32 = 0o077;
/// Those that let others than the owner and the group read, and others than the owner write.
const STRANGERS: u32 = 0o027;

/// The content of a file with a secret.
pub struct SecretFile {
    /// The text, which is zeroed on drop.
    pub text: Zeroizing<String>,
    /// How other users may read or write it, if they may.
    pub open_to: Option<OpenTo>,
}

/// A path as it may be shown: a token that stands where a file should be is a secret.
#[must_use]
pub fn shown(path: &Path) -> PathBuf {
    let is_token = path.to_str().is_some_and(|text| text.starts_with("hobnob1_"));
    if is_token { "hobnob1_..., a token instead of a file".into() } else { path.to_owned() }
}

/// Other users may read or write a file with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTo {
    mode: u32,
    is_own: bool,
}

impl OpenTo {
    fn of(found: &Metadata) -> Option<Self> {
        let is_own = found.uid() == rustix::process::geteuid().as_raw();
        // The group of a file of another user may be what lets this process read it.
        let others = if is_own { OTHERS } else { STRANGERS };
        let mode = found.mode() & 0o7777;
        (found.is_file() && mode & others != 0).then_some(Self { mode, is_own })
    }

    /// The warning about this file.
    #[must_use]
    pub fn warning(self, path: &Path) -> String {
        let close = if self.is_own { "600" } else { "640" };
        format!(
            "others may read or write {path} (mode {mode:04o}), which holds a secret: `chmod {close} {path}` closes it",
            path = path.display(),
            mode = self.mode
        )
    }
}

/// A file with a secret cannot be read. The message goes behind the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The system refuses to open or to read it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is of a kind that may have no end, or that waits for others.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// It is longer than any file of its kind.
    #[error("it has more than {max} bytes, and so is another file")]
    TooLong {
        /// The most bytes that are read.
        max: usize,
    },
    /// The command that writes to the pipe did not end in time.
    #[error("the command behind this pipe did not end within {} s", .0.as_secs())]
    Unfinished(Duration),
    /// It holds something else than text.
    #[error("it is not a text")]
    NotText,
}

/// Reads a file with a secret of at most `max` bytes.
///
/// # Errors
/// It is not there, is no regular file and no pipe without a name, is longer, or holds no text.
pub fn read(path: &Path, max: usize) -> Result<SecretFile, SecretFileError> {
    read_within(path, max, PIPE_WITHIN)
}

fn read_within(path: &Path, max: usize, within: Duration) -> Result<SecretFile, SecretFileError> {
    // Before it is opened, since opening alone may wind a tape, or end the wait of a writer.
    check_kind(&fs::metadata(path)?, || statfs(path))?;
    let mut file = OpenOptions::new().read(true).custom_flags(NO_WAITING).open(path)?;
    let found = file.metadata()?;
    check_kind(&found, || fstatfs(&file))?;
    let mut bytes = Zeroizing::new(vec![0; max + 1]);
    let len = fill(&mut file, &mut bytes, within)?;
    if len > max {
        return Err(SecretFileError::TooLong { max });
    }
    bytes.truncate(len);
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(SecretFile { text: Zeroizing::new(text), open_to: OpenTo::of(&found) }),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(SecretFileError::NotText)
        }
    }
}

fn check_kind(
    found: &Metadata,
    file_system: impl FnOnce() -> rustix::io::Result<StatFs>,
) -> Result<(), SecretFileError> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_fifo() {
        let of = file_system().map_err(io::Error::from)?;
        let is_unnamed = u64::try_from(of.f_type).is_ok_and(|kind| kind == PIPES);
        return if is_unnamed { Ok(()) } else { Err(SecretFileError::NotRegular("a named pipe")) };
    }
    Err(SecretFileError::NotRegular(if kind.is_dir() {
        "a directory"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

/// Reads until the end, or until `bytes` are full. Returns how many were read.
fn fill(file: &mut File, bytes: &mut [u8], within: Duration) -> Result<usize, SecretFileError> {
    let until = Instant::now() + within;
    let mut len = 0;
    while len < bytes.len() {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(SecretFileError::Unfinished(within));
                }
                wait(file, left)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(len)
}

/// Waits until the pipe has bytes or ends, or for this long.
fn wait(file: &File, within: Duration) -> io::Result<()> {
    let within = Timespec {
        tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(within.subsec_nanos()),
    };
    match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&within)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Write;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    const MAX: usize = 16;
    const SOON: Duration = Duration::from_millis(20);

    fn text(path: &Path) -> Result<String, String> {
        let read = read_within(path, MAX, SOON);
        read.map(|read| read.text.to_string()).map_err(|error| error.to_string())
    }

    /// The path by which `<(command)` names the read end of a pipe.
    fn named(pipe: &OwnedFd) -> PathBuf {
        format!("/dev/fd/{}", pipe.as_raw_fd()).into()
    }

    #[test]
    fn only_regular_files_are_read_and_no_more_of_them_than_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "0123456789abcdef").expect("written");
        assert_eq!(text(&path("file")).as_deref(), Ok("0123456789abcdef"));
        fs::write(path("file"), "0123456789abcdef\n").expect("written");
        let error = text(&path("file")).expect_err("too long");
        assert!(error.contains("more than 16 bytes"), "{error}");
        fs::write(path("file"), [0xff]).expect("written");
        assert_eq!(text(&path("file")), Err("it is not a text".to_owned()));

        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).expect("made");
        let _listener = UnixListener::bind(path("socket")).expect("bound");
        std::os::unix::fs::symlink("/dev/zero", path("link")).expect("linked");
        for (path, kind) in [
            (path("pipe"), "a named pipe"),
            (path("socket"), "a socket"),
            (path("link"), "a device"),
            (PathBuf::from("/dev/zero"), "a device"),
            (folder.path().to_owned(), "a directory"),
        ] {
            assert_eq!(text(&path), Err(format!("it is {kind}, not a regular file")));
        }
        assert!(text(&path("none")).is_err());
    }

    #[test]
    fn a_pipe_without_a_name_is_read_to_its_end_within_a_time() {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        let mut write = File::from(write);
        assert!(text(&named(&read)).expect_err("nothing").contains("did not end within"));
        write.write_all(b"half").expect("written");
        assert!(text(&named(&read)).expect_err("no end").contains("did not end within"));
        write.write_all(b"whole").expect("written");
        drop(write);
        assert_eq!(text(&named(&read)).as_deref(), Ok("whole"));

        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        File::from(write).write_all(&[b'x'; MAX + 1]).expect("written");
        assert!(text(&named(&read)).expect_err("too long").contains("more than 16 bytes"));
    }

    #[test]
    fn a_file_that_others_may_read_is_told_with_its_mode_and_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, "secret").expect("written");
        for (mode, is_open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            let read = read(&path, MAX).expect("read");
            assert_eq!(read.open_to.is_some(), is_open, "{mode:o}");
            let Some(open_to) = read.open_to else { continue };
            let warning = open_to.warning(&path);
            for part in [&format!("{} (mode 0{mode:o})", path.display()), "chmod 600", "secret:"] {
                assert!(warning.contains(part), "no {part} in: {warning}");
            }
        }
        let of_root = OpenTo { mode: 0o644, is_own: false };
        assert!(of_root.warning(&path).contains("chmod 640"));
    }
}
