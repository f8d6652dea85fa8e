//! Processes beside the agents, which end with them.

use std::io;
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::fleet::{Belongings, end, lock};
use super::{ANSWER_TIMEOUT, ProcessError};

/// The interval between two looks at a process that is to end: rare, since processors are measured meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// A process beside the agents of a fleet. It is killed when this is dropped, and with the fleet.
pub(crate) struct Beside {
    pid: u32,
    belongings: Arc<Mutex<Belongings>>,
}

impl Beside {
    pub(super) fn new(pid: u32, belongings: Arc<Mutex<Belongings>>) -> Self {
        Self { pid, belongings }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its standard output, if that is a pipe that was not taken before.
    pub(crate) fn stdout(&self) -> Option<ChildStdout> {
        self.with(|child| child.stdout.take()).flatten()
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&self) -> io::Result<Option<ExitStatus>> {
        self.with(Child::try_wait).unwrap_or(Ok(None))
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&self, at_most: Duration) -> Result<ExitStatus, ProcessError> {
        let (pid, since) = (self.pid, Instant::now());
        loop {
            match self.exit_status() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if since.elapsed() < at_most => thread::sleep(LOOK),
                Ok(None) => {
                    return Err(ProcessError::Unending {
                        pid,
                        cause: io::ErrorKind::TimedOut.into(),
                    });
                }
                Err(cause) => return Err(ProcessError::Unending { pid, cause }),
            }
        }
    }

    /// Kills it. It is gone when this returns.
    pub(crate) fn kill(&self) {
        self.with(end);
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    pub(crate) fn stop(&self) -> Result<(), ProcessError> {
        let asked = self.with(|child| kill_process(Pid::from_child(child), Signal::TERM));
        if let Some(Err(cause)) = asked {
            return Err(ProcessError::Unending { pid: self.pid, cause: cause.into() });
        }
        self.wait(ANSWER_TIMEOUT).map(drop)
    }

    /// Does something with the process, which is there until the fleet was cleared.
    fn with<T>(&self, then: impl FnOnce(&mut Child) -> T) -> Option<T> {
        let mut belongings = lock(&self.belongings);
        belongings.beside.iter_mut().find(|child| child.id() == self.pid).map(then)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.kill();
        // A process that was waited for gives its id to others.
        lock(&self.belongings).beside.retain(|child| child.id() != self.pid);
    }
}
