//! What can go wrong with a data directory: when it is opened, and when something is written to it.

use std::io;
use std::path::PathBuf;

use super::disk::FileError;
use super::limits::{MAX_REGISTRATION_BYTES, MAX_REGISTRATIONS};
use crate::advice::advice;

/// A data directory could not be opened. Nothing in it was changed, unless the disk failed in the middle of a first
/// start; opening it again is always safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses the directory.
    #[error(
        "the data directory {} is in use by {}: stop that agent first, or give this one another data directory",
        dir.display(),
        pid.map_or("another process".to_owned(), |pid| format!("the agent with process id {pid}"))
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The process that uses it, when the lock file tells.
        pid: Option<u32>,
    },
    /// The directory belongs to an agent of another cluster.
    #[error(
        "the data directory {} belongs to an agent of the cluster `{stored}`, and this one is to join `{wanted}`: start \
         it with --cluster {stored}, or give it another data directory",
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
    /// The disk or its permissions said no.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file that says who this node is cannot be understood.
    #[error(
        "{} does not hold a node id and an instance key ({reason}): restore it from a backup, or remove it, and the \
         agent starts as a new node",
        path.display()
    )]
    CorruptIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file that holds the epoch cannot be understood.
    #[error(
        "{} does not hold an epoch ({reason}): restore it from a backup, or remove it if the clock of this machine is \
         right, and the next epoch is minted from the clock",
        path.display()
    )]
    CorruptEpoch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of the registration log, not an unfinished last one, cannot be understood.
    #[error(
        "line {line} of {} is damaged ({reason}): restore the file from a backup, or delete that line (the whole file, \
         if it is line 1), start the agent, and register again what is missing",
        path.display()
    )]
    CorruptLog {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has another format than this version of Hobnob reads.
    #[error(
        "{} has format {format}, written by {}, and this is hobnob {own}, which reads format {known}: start the version of \
         hobnob that wrote it, or a newer one",
        path.display(),
        version(written_by),
        own = env!("CARGO_PKG_VERSION")
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The format that it says it has.
        format: u32,
        /// The version of Hobnob that wrote it; empty when it does not say.
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
/// What was to be written is not acknowledged: it is not part of what the directory answers from now on. After a
/// failed write and a crash it may be there or not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk said no.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The agent keeps as many registrations as it can.
    #[error(
        "this agent holds {MAX_REGISTRATIONS} registrations, the most that it can: deregister instances that are no \
         longer needed, or register with another agent"
    )]
    TooMany,
    /// One registration is larger than a line of the log may be.
    #[error("the registration of `{id}` takes {len} bytes and {limit} are allowed: shorten its metadata or its check", limit = MAX_REGISTRATION_BYTES)]
    TooLarge {
        /// The id of the instance.
        id: String,
        /// The size of its registration.
        len: usize,
    },
}

impl From<FileError> for OpenError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}

impl From<FileError> for WriteError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}
