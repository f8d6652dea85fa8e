//! Real agents as processes on loopback: their speed and cost.

mod api;
mod beats;
mod beside;
mod disturbances;
mod exits;
mod fleet;
mod held;
mod measure;
mod report;
mod rest;
mod servers;
mod usage;
mod watch;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use api::Api;
pub(crate) use beside::Beside;
pub(crate) use fleet::Fleet;
pub(crate) use measure::join;
pub use measure::{ProcessEffort, measure};
pub use report::{DisturbanceReport, ProcessReport, RestReport, RestartReport};
pub use servers::serve;
pub(crate) use usage::{Usage, of_threads};
pub(crate) use watch::{SeenStatus, Watches, standing};

/// The longest wait for an answer or for a change.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Real agents could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The agent's binary does not exist.
    #[error(
        "there is no agent to start at {}: build it with `cargo build --release`, or name it with --hobnob",
        .0.display()
    )]
    NoBinary(PathBuf),
    /// The folder for the agents' data cannot be created.
    #[error("cannot create a folder for the agents' data: {0}. TMPDIR can name another place")]
    Folder(io::Error),
    /// Signals cannot be handled.
    #[error("cannot handle signals, without which agents could be left running: {0}")]
    Signals(io::Error),
    /// A process did not start.
    #[error("cannot start {}: {cause}", path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A command failed.
    #[error("`{command}` failed: {told}")]
    Command {
        /// Its arguments.
        command: String,
        /// Its message.
        told: String,
    },
    /// An agent ended by itself.
    #[error("agent {agent} ended by itself; the end of its log:\n{log}")]
    Ended {
        /// Its number.
        agent: usize,
        /// The last lines of its log.
        log: String,
    },
    /// An agent does not answer.
    #[error("agent {agent} did not answer within {ANSWER_TIMEOUT:?}: is the machine overloaded?")]
    Silent {
        /// Its number.
        agent: usize,
    },
    /// A connection to an agent broke.
    #[error("the connection to agent {agent} failed: {cause}")]
    Connection {
        /// Its number.
        agent: usize,
        /// The cause.
        cause: io::Error,
    },
    /// An agent gave an unexpected answer.
    #[error(
        "agent {agent} answered {answer}: are the binary and the simulator of the same version?"
    )]
    Answer {
        /// Its number.
        agent: usize,
        /// The answer.
        answer: String,
    },
    /// An agent did not see all members or instances in time.
    #[error("agent {agent} does not see {what} after {ANSWER_TIMEOUT:?}")]
    Incomplete {
        /// Its number.
        agent: usize,
        /// The members or instances that it does not see.
        what: String,
    },
    /// A process cannot be stopped, frozen or continued.
    #[error("cannot signal agent {agent}: {cause}")]
    Signal {
        /// Its number.
        agent: usize,
        /// The system's error.
        cause: io::Error,
    },
    /// A process beside the agents cannot be ended, or does not end.
    #[error("process {pid} does not end: {cause}")]
    Unending {
        /// The process.
        pid: u32,
        /// The system's error.
        cause: io::Error,
    },
    /// The connections between agents cannot be listed.
    #[error("cannot read the connections between agents from /proc/net/tcp: {0}")]
    Connections(io::Error),
    /// The server that agents check cannot be started.
    #[error("cannot start a server for the agents to check: {0}")]
    Server(io::Error),
    /// The usage of a process cannot be read.
    #[error("cannot read what process {pid} uses from /proc: {cause}")]
    Usage {
        /// The process.
        pid: u32,
        /// The system's error.
        cause: io::Error,
    },
}
