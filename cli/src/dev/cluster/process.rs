//! A process of this program, as a child of this process.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, mpsc, watch};

use super::sockets::Sockets;

/// The threads of an agent's runtime. A demonstration has no use for one on each processor in each of its processes.
const AGENT_THREADS: &str = "2";
/// The most bytes at the end of a log in which the reason of an end is sought.
const MAX_REASON_BYTES: u64 = 16 * 1024;

/// The most signals to a process that wait to be sent. Further ones are dropped; a key can be pressed again.
const MAX_SIGNALS: usize = 8;

/// Starts processes of this program, and tells when one of them ends.
pub(super) struct Spawner {
    program: PathBuf,
    ended: Arc<Notify>,
}

impl Spawner {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self::of(env::current_exe().context("cannot find the program of this process")?))
    }

    pub(super) fn of(program: PathBuf) -> Self {
        Self { program, ended: Arc::default() }
    }

    /// Starts a process with these arguments, which writes what it says on stderr to the end of `log`.
    ///
    /// It ends when its [`Process`] is dropped, and when this process ends in whatever way: either closes its standard input.
    /// No signal to the group of this process reaches it, so that nothing but this process stops it.
    pub(super) fn spawn(&self, args: &[OsString], log: &Path) -> anyhow::Result<Process> {
        let stderr = File::options().create(true).append(true).open(log);
        let stderr = stderr.with_context(|| format!("cannot log to {}", log.display()))?;
        let said_before = stderr.metadata()?.len();
        let mut command = Command::new(&self.program);
        // Settings in the user's environment are meant for the user's own agent.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("HOBNOB_") {
                command.env_remove(name);
            }
        }
        command.env("TOKIO_WORKER_THREADS", AGENT_THREADS).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let mut child = child.with_context(|| format!("cannot run {}", self.program.display()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let sockets = child.id().and_then(|id| Sockets::of(Pid::from_raw(id.try_into().ok()?)?));
        let (kill, killed) = watch::channel(false);
        let (signals, signalled) = mpsc::channel(MAX_SIGNALS);
        let (tell, end) = watch::channel(None);
        let (log, ended) = (log.to_owned(), self.ended.clone());
        tokio::spawn(async move {
            let end = end_of(child, killed, signalled).await;
            let end = End { reason: error_in(&log, said_before), ..end };
            tell.send_replace(Some(end));
            ended.notify_one();
        });
        Ok(Process { stdin, stdout, kill, signals, end, sockets })
    }

    /// Waits until a process has ended since the last call returned.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }
}

/// A running process, or one that has ended.
pub(super) struct Process {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    kill: watch::Sender<bool>,
    signals: mpsc::Sender<Signal>,
    end: watch::Receiver<Option<End>>,
    /// Its sockets. None, if the kernel does not give them.
    sockets: Option<Sockets>,
}

/// The end of a process.
#[derive(Clone, Debug)]
pub(in crate::dev) struct End {
    /// The time at which this process was told of it.
    pub(in crate::dev) at: Instant,
    /// Whether it reported success.
    pub(in crate::dev) is_success: bool,
    /// Its exit code or the signal that ended it.
    status: String,
    /// The error that it wrote last.
    reason: Option<String>,
}

impl End {
    /// The exit code or the signal, and the error that the process wrote last.
    pub(in crate::dev) fn describe(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.status),
            None => self.status.clone(),
        }
    }
}

impl Process {
    /// Kills it as `kill -9` does. Returns a time before that.
    pub(super) fn kill(&mut self) -> Instant {
        let began = Instant::now();
        self.kill.send_replace(true);
        began
    }

    /// Sends it a signal, unless it has ended. Returns a time before that.
    pub(super) fn signal(&self, signal: Signal) -> Instant {
        let began = Instant::now();
        // Ignore the error: a process that has ended takes none.
        let _ = self.signals.try_send(signal);
        began
    }

    /// Its sockets. None, if the kernel does not give them.
    pub(super) fn sockets(&self) -> Option<&Sockets> {
        self.sockets.as_ref()
    }

    /// Asks it to end.
    pub(super) fn stop(&mut self) {
        self.stdin = None;
    }

    /// Its output. It can be taken once.
    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Its end, if it has ended.
    pub(super) fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Waits for its end. None, if that cannot be observed, since this process ends.
    pub(super) async fn ended(&mut self) -> Option<End> {
        self.end.wait_for(Option::is_some).await.ok()?.clone()
    }
}

async fn end_of(
    mut child: Child,
    mut killed: watch::Receiver<bool>,
    mut signals: mpsc::Receiver<Signal>,
) -> End {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = kill_of(&mut killed) => {
                // Ignore the error: a process that has ended cannot be killed.
                let _ = child.start_kill();
                break child.wait().await;
            }
            Some(signal) = signals.recv() => {
                let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
                // Ignore the error: a process that is about to be seen to have ended takes no signal.
                let _ = pid.map(|pid| kill_process(pid, signal));
            }
        }
    };
    let (is_success, status) = match status {
        Ok(status) => (status.success(), status.to_string()),
        Err(error) => (false, format!("its end is not known: {error}")),
    };
    End { at: Instant::now(), is_success, status, reason: None }
}

/// Waits until the process is to be killed.
async fn kill_of(killed: &mut watch::Receiver<bool>) {
    if killed.wait_for(|killed| *killed).await.is_err() {
        // Nobody is left to ask for it. The process ends with its standard input.
        std::future::pending::<()>().await;
    }
}

/// The error in what was added to a log after its first bytes. None, if it cannot be read, for it explains another error.
fn error_in(log: &Path, said_before: u64) -> Option<String> {
    let end = fs::metadata(log).ok()?.len();
    let mut file = File::open(log).ok()?;
    file.seek(SeekFrom::Start(said_before.max(end.saturating_sub(MAX_REASON_BYTES)))).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_REASON_BYTES).read_to_end(&mut bytes).ok()?;
    last_error(&String::from_utf8_lossy(&bytes)).map(str::to_owned)
}

/// The last error that a process told, or how it panicked. Lines of its log are no reason.
fn last_error(said: &str) -> Option<&str> {
    let lines = || said.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let panic = || lines().find(|line| line.starts_with("thread '"));
    lines().find_map(|line| line.strip_prefix("error: ")).or_else(panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_found_before_the_advice() {
        let said = "12:00 INFO ready\nerror: no room\nhelp: make some\n";
        assert_eq!(last_error(said), Some("no room"));
        assert_eq!(
            last_error("thread 'main' panicked\n  at x\n\n"),
            Some("thread 'main' panicked")
        );
        assert_eq!(last_error("12:00 INFO ready\n"), None);
    }

    #[test]
    fn only_the_errors_of_this_life_count() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a1.log");
        fs::write(&log, "error: old\n").unwrap();
        assert_eq!(error_in(&log, 0).as_deref(), Some("old"));
        assert_eq!(error_in(&log, 11), None);
        assert_eq!(error_in(&folder.path().join("none"), 0), None);
    }
}
