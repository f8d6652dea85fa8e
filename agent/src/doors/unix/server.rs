//! The unix socket: taken over when it is stale, left alone when another agent answers on it, removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::connection;
use super::handler::Handler;

/// The length of a path in `sockaddr_un`, without the final zero.
const MAX_PATH_BYTES: usize = 107;
/// The owner and the group may use the socket.
const SOCKET_MODE: u32 = 0o660;
/// The mode of a directory that is made for the socket. The mode of the socket itself limits its users.
const DIRECTORY_MODE: u32 = 0o755;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another agent answers on it.
    #[error("another agent already answers on the socket {}", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The path names something other than a socket.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The path is longer than a unix socket may have.
    #[error("the path of the socket, {}, is longer than the 107 bytes that a unix socket may have", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// More than the last directory of the path is missing. Most often the path is mistyped, so nothing is made.
    #[error("there is no directory {} for the socket {}", missing.display(), path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
        /// The first directory of the path that is not there.
        missing: PathBuf,
    },
    /// The system failed.
    #[error("cannot {action} the socket {}: {source}", path.display())]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// The listening socket. Dropping it removes the file.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Opens the socket, in a directory that is made if nothing above it is missing. A file that a dead agent left behind
    /// is removed first.
    pub(crate) async fn bind(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(SocketError::PathTooLong { path: path.to_owned() });
        }
        let failed =
            |action| move |source| SocketError::Io { action, path: path.to_owned(), source };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            if let Some(missing) = missing_above(parent) {
                return Err(SocketError::NoDirectory { path: path.to_owned(), missing });
            }
            if !parent.is_dir() {
                let mut directory = fs::DirBuilder::new();
                let made = directory.mode(DIRECTORY_MODE).create(parent);
                made.map_err(failed("create the directory of"))?;
            }
            let owner = fs::metadata(parent).map_err(failed("look at the directory of"))?.uid();
            if owner != 0 && owner != rustix::process::geteuid().as_raw() {
                tracing::warn!(path = %path.display(), owner,
                    "the directory of the socket belongs to another user, who could replace the socket");
            }
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at")(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket { path: path.to_owned() });
            }
            Ok(_) => match UnixStream::connect(path).await {
                Ok(_) => return Err(SocketError::InUse { path: path.to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    tracing::info!(path = %path.display(), "removing the socket that an earlier agent left behind");
                    fs::remove_file(path).map_err(failed("remove the stale file of"))?;
                }
                Err(error) => return Err(failed("test")(error)),
            },
        }
        let listener = UnixListener::bind(path).map_err(failed("bind"))?;
        let socket = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))
            .map_err(failed("set the mode of"))?;
        Ok(socket)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves connections until dropped; then they end with it.
    pub(crate) async fn serve(self, handler: Arc<Handler>) {
        let mut connections = JoinSet::new();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: waiting is all that helps, and spinning would not.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let Some(place) = handler.places.take() else {
                handler.counters.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            handler.counters.accepted.fetch_add(1, Ordering::Relaxed);
            let handler = handler.clone();
            connections.spawn(async move {
                if let Err(error) = connection::serve(stream, handler, place).await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
    }
}

/// The first of the directories above this one that is not there.
fn missing_above(directory: &Path) -> Option<PathBuf> {
    let above = directory.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    above.filter(|above| above.try_exists().is_ok_and(|there| !there)).last().map(Path::to_owned)
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Already gone is as good as removed.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_directory_is_made_and_no_other() {
        let home = tempfile::tempdir().expect("a directory");
        let socket = Socket::bind(&home.path().join("run/a.sock")).await.expect("bound");
        let mode = fs::metadata(home.path().join("run")).expect("made").permissions().mode();
        assert_eq!(mode & 0o700, 0o700, "whatever the umask leaves to others");
        drop(socket);
        let mistyped = home.path().join("rnu/hobnob/deep/a.sock");
        let error = Socket::bind(&mistyped).await.err().expect("refused");
        let SocketError::NoDirectory { missing, .. } = &error else { panic!("{error}") };
        assert_eq!(*missing, home.path().join("rnu"));
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_its_directory_is_an_error_of_the_system() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("file"), "").expect("written");
        let error = Socket::bind(&home.path().join("file/a.sock")).await.err().expect("refused");
        let SocketError::Io { source, .. } = &error else { panic!("{error}") };
        let kinds = [io::ErrorKind::NotADirectory, io::ErrorKind::AlreadyExists];
        assert!(kinds.contains(&source.kind()), "{error}");
    }
}
