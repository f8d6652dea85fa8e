//! Runs the command of a template.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// The time that a command has to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The end of a command that failed.
#[derive(Debug)]
pub(super) enum CommandError {
    /// It could not be started.
    Start(io::Error),
    /// It ended with another status than 0.
    Status(ExitStatus),
    /// It took too long, and was ended.
    Timeout(Duration),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "it cannot be started: {error}"),
            Self::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "it ended with exit code {code}"),
                (None, Some(signal)) => write!(f, "signal {signal} ended it"),
                (None, None) => write!(f, "{status}"),
            },
            Self::Timeout(limit) => write!(f, "it took longer than {limit:?}, and was ended"),
        }
    }
}

/// Runs a command by `sh -c`, for so long at most. What it prints goes to our stderr. Returns the time that it took.
///
/// # Errors
/// It failed, or took too long; then it is ended, with all that it has started in its process group.
pub(super) async fn run(command: &str, limit: Duration) -> Result<Duration, CommandError> {
    let start = Instant::now();
    let child = start_child(command).map_err(CommandError::Start)?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut running = Running { child, group };
    match timeout(limit, running.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(start.elapsed()),
        Ok(Ok(status)) => Err(CommandError::Status(status)),
        Ok(Err(error)) => Err(CommandError::Start(error)),
        Err(_) => {
            running.end().await;
            Err(CommandError::Timeout(limit))
        }
    }
}

/// A command under way. It is ended when dropped.
struct Running {
    child: Child,
    /// Its process group; `None` when it has ended.
    group: Option<Pid>,
}

impl Running {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }

    async fn end(&mut self) {
        let group = self.group;
        signal(group, Signal::TERM);
        let ended = timeout(END_WITHIN, self.wait()).await;
        // What it has started may be there still.
        signal(group, Signal::KILL);
        if ended.is_err() {
            // The error is that nothing is left to wait for.
            let _ = self.wait().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal(self.group, Signal::TERM);
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    // The error is that it has ended meanwhile.
    let _ = group.map(|group| kill_process_group(group, signal));
}

/// In a process group of its own: a Ctrl-C in our terminal is for us, and the command ends by itself.
fn start_child(command: &str) -> io::Result<Child> {
    // Our stdout has lines of our own, perhaps as JSON.
    let stdout = io::stderr().as_fd().try_clone_to_owned().map_or(Stdio::null(), Stdio::from);
    let mut child = Command::new("sh");
    child.arg("-c").arg(command).stdin(Stdio::null()).stdout(stdout).process_group(0).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_command_ends_with_0_or_with_the_reason_why_it_did_not() {
        assert!(run("true && test 1 = 1", LONG).await.is_ok());
        let told = |error: CommandError| error.to_string();
        assert_eq!(told(run("exit 7", LONG).await.unwrap_err()), "it ended with exit code 7");
        assert_eq!(told(run("kill -9 $$", LONG).await.unwrap_err()), "signal 9 ended it");
        let missing = told(run("no-such-command-here 2>/dev/null", LONG).await.unwrap_err());
        assert_eq!(missing, "it ended with exit code 127");
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // The pipe ends when all that hold it have ended. One of them ignores SIGTERM.
        let held = pipe.clone();
        let reader = std::thread::spawn(move || std::fs::read(held).unwrap());
        let command = format!("exec 3>{}; (trap '' TERM; exec sleep 600) & wait", pipe.display());
        let error = run(&command, Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.to_string(), "it took longer than 500ms, and was ended");
        assert!(reader.join().unwrap().is_empty());
    }
}
