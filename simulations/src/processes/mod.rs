//! The real thing: agents as processes of their own on loopback, and what they cost and how fast they are.

mod api;
mod fleet;
mod measure;
mod usage;
mod watch;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use measure::{ProcessEffort, ProcessReport, measure};

/// How long anything may take before it counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why agents could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The agent is not there.
    #[error(
        "there is no agent to start at {}: build it with `cargo build --release`, or name it with --hobnob",
        .0.display()
    )]
    NoBinary(PathBuf),
    /// The folder for the agents' data cannot be made.
    #[error("cannot make a folder for the agents' data ({0}): name one with room in it by TMPDIR")]
    Folder(io::Error),
    /// The signals that ask to stop cannot be heard.
    #[error("cannot listen for signals, without which the agents would be left behind: {0}")]
    Signals(io::Error),
    /// A process did not start.
    #[error("cannot start {}: {cause}", path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
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
        /// What happened.
        cause: io::Error,
    },
    /// An agent gave an unexpected answer.
    #[error(
        "agent {agent} answered {answer}: is the binary of the same version as the simulator? build both again"
    )]
    Answer {
        /// Its number.
        agent: usize,
        /// What it answered.
        answer: String,
    },
    /// The agents did not find together.
    #[error("agent {agent} does not see {what} after {ANSWER_TIMEOUT:?}")]
    Incomplete {
        /// Its number.
        agent: usize,
        /// What it lacks.
        what: String,
    },
    /// The system does not tell what a process uses.
    #[error("cannot read what process {pid} uses from /proc: {cause}")]
    Usage {
        /// The process.
        pid: u32,
        /// What the system said.
        cause: io::Error,
    },
}
