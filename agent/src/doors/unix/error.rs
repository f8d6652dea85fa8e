//! The errors of opening a socket.

use std::io;
use std::path::PathBuf;

/// Why a socket could not be opened.
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
    /// The query socket would take the place of the full one.
    #[error("the query socket {} is the full socket of this agent", path.display())]
    SamePath {
        /// The path.
        path: PathBuf,
    },
    /// This host has no such group.
    #[error("there is no group `{group}` on this host")]
    NoGroup {
        /// The name or number that was given.
        group: String,
    },
    /// The database of groups does not answer.
    #[error("the group `{group}` cannot be looked up: {source}")]
    GroupUnknown {
        /// The name that was given.
        group: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The socket cannot be given to a group.
    #[error("the socket {} cannot be given to the group `{group}` (gid {gid}): {source}", path.display())]
    GroupRefused {
        /// The path.
        path: PathBuf,
        /// The name or number that was given.
        group: String,
        /// The number of the group.
        gid: u32,
        /// The error of the system.
        source: io::Error,
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

impl SocketError {
    /// Whether the socket can never be opened so, whatever the state of the system.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::PathTooLong { .. } | Self::SamePath { .. })
    }
}
