//! The errors of opening a data directory, and of writing to it.

use std::io;
use std::path::PathBuf;

use hobnob_membership::limits::MAX_REGISTRATIONS;

use super::disk::FileError;
use super::limits::MAX_REGISTRATION_BYTES;

/// A data directory could not be opened. Nothing in it was changed, unless the disk failed in the middle of a first
/// start; opening it again is always safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses the directory.
    #[error(
        "the data directory {} is in use by {}",
        dir.display(),
        pid.map_or("another process".to_owned(), |pid| format!("the agent with process id {pid}"))
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The process that uses it, if the lock file contains its id.
        pid: Option<u32>,
    },
    /// The directory belongs to an agent of another cluster.
    #[error(
        "the data directory {} belongs to an agent of the cluster `{stored}`, and this agent is to join `{wanted}`",
        dir.display()
    )]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster that it belongs to.
        stored: String,
        /// The cluster of the agent that was to be started.
        wanted: String,
    },
    /// The system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file with the identity of this node cannot be understood.
    #[error("{} does not hold a node id and an instance key ({reason})", path.display())]
    CorruptIdentity {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The file with the secret key of this node cannot be understood.
    #[error("{} does not hold the key of a node ({reason})", path.display())]
    CorruptNodeKey {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The file with the membership in a sealed cluster cannot be understood.
    #[error("{} does not hold the membership of a node ({reason})", path.display())]
    CorruptMembership {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A file with keys of a sealed cluster that other members hold, too, cannot be understood.
    #[error("{} does not hold the keys of a cluster ({reason})", path.display())]
    CorruptKeys {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The file that holds the epoch cannot be understood.
    #[error("{} does not hold an epoch ({reason})", path.display())]
    CorruptEpoch {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A line of the registration log cannot be understood, and is not an unfinished last line.
    #[error("line {line} of {} is damaged ({reason})", path.display())]
    CorruptLog {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The fault.
        reason: String,
    },
    /// A line of the voter log holds what only a later version knows.
    #[error(
        "line {line} of {} holds a change that this version, {own}, does not know: start the version that wrote it, or a later one",
        path.display(),
        own = env!("CARGO_PKG_VERSION")
    )]
    LaterChange {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A file has another format than this version of Hobnob reads.
    #[error(
        "{} has format {format}, written by {}, and this is hobnob {own}, which reads format {known}",
        path.display(),
        version(written_by),
        own = env!("CARGO_PKG_VERSION")
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        format: u64,
        /// The version of Hobnob that wrote it; empty when the file does not name one.
        written_by: String,
        /// The format that this version reads.
        known: u32,
    },
}

fn version(written_by: &str) -> String {
    match written_by {
        "" => "an older version".to_owned(),
        version => format!("hobnob {version}"),
    }
}

/// Something could not be written to the data directory.
///
/// The write is not acknowledged, and the open directory answers as before. Nothing of the write is left, except after
/// [`WriteError::InDoubt`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The system refused an operation, and then refused to undo what was done of it.
    #[error("{error}; nor can the change be taken back ({undo}): it may be there after a restart")]
    InDoubt {
        /// The error of the operation.
        error: Box<WriteError>,
        /// The error of taking it back.
        undo: Box<WriteError>,
    },
    /// The agent already holds the most registrations that it may.
    #[error(
        "this agent already holds {MAX_REGISTRATIONS} registrations, the most that one agent may: deregister some instances, or register them with another agent"
    )]
    TooMany,
    /// One registration is larger than a line of the log may be.
    #[error("the registration of `{id}` takes {len} bytes; the limit is {limit}: shorten its metadata or its check", limit = MAX_REGISTRATION_BYTES)]
    TooLarge {
        /// The id of the instance.
        id: String,
        /// The size of its registration in bytes.
        len: usize,
    },
}

impl From<FileError> for OpenError {
    fn from(FileError { action, path, source, .. }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}

impl From<FileError> for WriteError {
    fn from(FileError { action, path, source, .. }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}
