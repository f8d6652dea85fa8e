//! A unix socket: taken over when it is stale, left alone when another agent answers on it, made again when its file is
//! removed, and removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::connection;
use super::door::{Accepted, Door};
use super::error::SocketError;
use super::handler::Handler;
use super::permissions::{FoundGroup, Permissions};
use crate::caller::Caller;

/// Connections that wait to be accepted. Further ones wait in `connect`, or fail.
const BACKLOG: u32 = 1_024;
/// The period in which an agent looks whether its socket is still where clients look for it.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// The pause after a connection could not be accepted, most likely for want of a file descriptor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// The length of a path in `sockaddr_un`, without the final zero.
const MAX_PATH_BYTES: usize = 107;
/// The mode of a directory that is made for the socket. The mode of the socket itself limits its users.
const DIRECTORY_MODE: u32 = 0o755;

/// The listening socket. Dropping it removes the file, unless another file has taken its place.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    permissions: Permissions,
    file: FileId,
    /// Whether the last look found the file, so that its loss is told once.
    was_in_place: bool,
}

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}

impl Socket {
    /// Opens the socket, in a directory that is made if nothing above it is missing. A file that a dead agent left behind
    /// is removed first.
    pub(crate) async fn bind(path: &Path, permissions: Permissions) -> Result<Self, SocketError> {
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(SocketError::PathTooLong { path: path.to_owned() });
        }
        make_directory(path)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, "look at")(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket { path: path.to_owned() });
            }
            Ok(_) => match UnixStream::connect(path).await {
                Ok(_) => return Err(SocketError::InUse { path: path.to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    tracing::info!(path = %path.display(), "removing the socket that an earlier agent left behind");
                    fs::remove_file(path).map_err(failed(path, "remove the stale file of"))?;
                }
                Err(error) => return Err(failed(path, "test")(error)),
            },
        }
        let (listener, file) = listen(path, &permissions)?;
        Ok(Self { listener, path: path.to_owned(), permissions, file, was_in_place: true })
    }

    /// Opens a socket beside this one.
    pub(crate) async fn bind_another(
        &self,
        path: &Path,
        permissions: Permissions,
    ) -> Result<Self, SocketError> {
        // The file, so that it does not matter how the path is written.
        if FileId::of(path).is_ok_and(|found| found == self.file) {
            return Err(SocketError::SamePath { path: path.to_owned() });
        }
        Self::bind(path, permissions).await
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves connections until dropped; then they end with it.
    pub(crate) async fn serve(mut self, handler: Arc<Handler>, door: Arc<Door>) {
        let mut connections = JoinSet::new();
        let mut looks = interval_at(Instant::now() + LOOK_AFTER_EVERY, LOOK_AFTER_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = looks.tick() => {
                    handler.progress.beat_doors();
                    self.look_after();
                    continue;
                }
            };
            let stream = match accepted {
                Ok((stream, _)) => {
                    is_failing = false;
                    stream
                }
                Err(error) => {
                    // Waiting is all that helps, and spinning would not.
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, path = %self.path.display(), "connections cannot be accepted for now");
                    }
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let caller = match stream.peer_cred() {
                Ok(credentials) => Caller::from(credentials),
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "a connection is closed: the system does not name the process behind it");
                    door.counters.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            let Some(place) = door.places.take() else {
                door.counters.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            door.counters.accepted.fetch_add(1, Ordering::Relaxed);
            let (handler, door) = (handler.clone(), door.clone());
            connections.spawn(async move {
                let accepted = Accepted { door, place, caller };
                if let Err(error) = connection::serve(stream, handler, accepted).await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
    }

    /// Makes the file again if it was removed, as cleaners of temporary files do, for without it no client finds the
    /// agent. Another file in its place is left alone. Connections that are open go on in either case.
    fn look_after(&mut self) {
        let owned = self.path.clone();
        let path = owned.display();
        let was_in_place = self.was_in_place;
        self.was_in_place = match FileId::of(&self.path) {
            Ok(found) if found == self.file => true,
            Ok(_) => {
                if was_in_place {
                    tracing::error!(%path, "another file has taken the place of this agent's socket, and no client reaches this \
                        agent there: remove that file, and the agent makes its socket again");
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.listen_again() {
                Ok(()) => {
                    tracing::warn!(%path, "the file of the socket was removed, and is made again");
                    true
                }
                Err(error) => {
                    if was_in_place {
                        tracing::error!(%error, "the file of the socket was removed, and cannot be made again yet: no client \
                            reaches this agent there");
                    }
                    false
                }
            },
            Err(error) => {
                if was_in_place {
                    tracing::error!(%path, %error, "the file of the socket cannot be looked at");
                }
                false
            }
        };
    }

    fn listen_again(&mut self) -> Result<(), SocketError> {
        make_directory(&self.path)?;
        (self.listener, self.file) = listen(&self.path, &self.permissions)?;
        Ok(())
    }
}

/// For `map_err`: makes an error of a failed action on the socket at this path.
fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SocketError {
    move |source| SocketError::Io { action, path: path.to_owned(), source }
}

/// Makes the directory of a socket, if nothing above it is missing.
fn make_directory(path: &Path) -> Result<(), SocketError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    if let Some(missing) = missing_above(parent) {
        return Err(SocketError::NoDirectory { path: path.to_owned(), missing });
    }
    if !parent.is_dir() {
        let made = fs::DirBuilder::new().mode(DIRECTORY_MODE).create(parent);
        made.map_err(failed(path, "create the directory of"))?;
    }
    let owner = fs::metadata(parent).map_err(failed(path, "look at the directory of"))?.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        tracing::warn!(path = %path.display(), owner,
            "the directory of the socket belongs to another user, who could replace the socket");
    }
    Ok(())
}

/// Listens at a path where there is no file. Until the group and the mode of the file are set, connections are refused,
/// whatever the umask.
fn listen(path: &Path, permissions: &Permissions) -> Result<(UnixListener, FileId), SocketError> {
    let socket = UnixSocket::new_stream().map_err(failed(path, "make"))?;
    socket.bind(path).map_err(failed(path, "bind"))?;
    let listening = give_to(path, permissions)
        .and_then(|()| FileId::of(path).map_err(failed(path, "look at")))
        .and_then(|file| Ok((socket.listen(BACKLOG).map_err(failed(path, "listen on"))?, file)));
    if listening.is_err() {
        // The error is told; a file that nobody listens on would only be taken for stale.
        let _ = fs::remove_file(path);
    }
    listening
}

/// Sets the group of the file, if one is wished, and then its mode.
fn give_to(path: &Path, permissions: &Permissions) -> Result<(), SocketError> {
    if let Some(FoundGroup { given, gid }) = &permissions.group {
        lchown(path, None, Some(*gid)).map_err(|source| {
            let (path, group) = (path.to_owned(), given.clone());
            SocketError::GroupRefused { path, group, gid: *gid, source }
        })?;
    }
    let mode = fs::Permissions::from_mode(permissions.mode);
    fs::set_permissions(path, mode).map_err(failed(path, "set the mode of"))
}

/// The first of the directories above this one that is not there.
fn missing_above(directory: &Path) -> Option<PathBuf> {
    let above = directory.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    above.filter(|above| above.try_exists().is_ok_and(|there| !there)).last().map(Path::to_owned)
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A successor may have put its own socket there. Already gone is as good as removed.
        if FileId::of(&self.path).is_ok_and(|found| found == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SocketMode;

    async fn bind(path: &Path) -> Result<Socket, SocketError> {
        Socket::bind(path, Permissions::query(SocketMode::default())).await
    }

    #[tokio::test]
    async fn the_last_directory_is_made_and_no_other() {
        let home = tempfile::tempdir().expect("a directory");
        let socket = bind(&home.path().join("run/a.sock")).await.expect("bound");
        let mode = fs::metadata(home.path().join("run")).expect("made").permissions().mode();
        assert_eq!(mode & 0o700, 0o700, "whatever the umask leaves to others");
        drop(socket);
        let mistyped = home.path().join("rnu/hobnob/deep/a.sock");
        let error = bind(&mistyped).await.err().expect("refused");
        let SocketError::NoDirectory { missing, .. } = &error else { panic!("{error}") };
        assert_eq!(*missing, home.path().join("rnu"));
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn only_its_own_file_is_removed_at_the_end() {
        let home = tempfile::tempdir().expect("a directory");
        let (path, other) = (home.path().join("a.sock"), home.path().join("b.sock"));
        drop(bind(&path).await.expect("bound"));
        assert!(!path.exists());
        let socket = bind(&path).await.expect("bound");
        let mut successor = bind(&other).await.expect("bound");
        fs::rename(&other, &path).expect("replaced");
        drop(socket);
        assert!(path.exists(), "it is the successor's");
        UnixStream::connect(&path).await.expect("the successor listens");
        successor.look_after();
        UnixStream::connect(&other).await.expect("it listens where it should");
    }

    #[tokio::test]
    async fn a_removed_file_is_made_again_and_another_one_is_left_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("run/a.sock");
        let mut socket = bind(&path).await.expect("bound");
        fs::remove_dir_all(home.path().join("run")).expect("removed");
        socket.look_after();
        UnixStream::connect(&path).await.expect("it listens again");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        socket.look_after();
        drop(socket);
        assert_eq!(fs::read(&path).expect("readable"), b"precious");
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_its_directory_is_an_error_of_the_system() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("file"), "").expect("written");
        let error = bind(&home.path().join("file/a.sock")).await.err().expect("refused");
        let SocketError::Io { source, .. } = &error else { panic!("{error}") };
        let kinds = [io::ErrorKind::NotADirectory, io::ErrorKind::AlreadyExists];
        assert!(kinds.contains(&source.kind()), "{error}");
    }
}
