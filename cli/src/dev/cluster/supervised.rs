//! A process that is started again some time after its death.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::{End, Process, Spawner};
use super::sockets::Sockets;

/// The time after its death at which a process is started again.
pub(in crate::dev) const BACK_AFTER: Duration = Duration::from_secs(5);

/// A process with what is needed to start it again.
pub(super) struct Supervised {
    args: Vec<OsString>,
    log: PathBuf,
    /// The process, until its end was taken note of.
    process: Option<Process>,
    /// The absence of the process, from the time at which it was killed or ended.
    away: Option<Away>,
    /// Whether it stands still, as with `kill -STOP`.
    is_paused: bool,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dev) enum Condition {
    /// It runs.
    Runs,
    /// It stands still, as with `kill -STOP`.
    Paused,
    /// It is away, and returns after this time.
    Returns(Duration),
    /// It is away, and stays so.
    Stopped,
}

/// The absence of a process.
#[derive(Clone, Copy, Debug)]
struct Away {
    /// The time of its return, unless it stays away.
    back_at: Option<Instant>,
}

impl Supervised {
    /// Starts the process.
    pub(super) fn start(
        spawner: &Spawner,
        args: Vec<OsString>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let process = Some(spawner.spawn(&args, &log)?);
        Ok(Self { args, log, process, away: None, is_paused: false })
    }

    /// Takes the arguments for its next start.
    pub(super) fn set_args(&mut self, args: Vec<OsString>) {
        self.args = args;
    }

    /// Whether it runs, and nothing has asked it to end.
    pub(super) fn is_running(&self) -> bool {
        self.away.is_none()
    }

    /// The process, while its end was not taken note of.
    pub(super) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Its sockets, while it runs. None also if the kernel does not give them.
    pub(super) fn sockets(&self) -> Option<&Sockets> {
        self.process.as_ref()?.sockets()
    }

    /// What it does.
    pub(super) fn condition(&self) -> Condition {
        match self.away {
            None if self.is_paused => Condition::Paused,
            None => Condition::Runs,
            Some(Away { back_at: Some(at) }) => {
                Condition::Returns(at.saturating_duration_since(Instant::now()))
            }
            Some(Away { back_at: None }) => Condition::Stopped,
        }
    }

    /// Lets it stand still, or go on. Returns a time before that, and whether it stands still now. None, if it is away.
    pub(super) fn pause_or_resume(&mut self) -> Option<(Instant, bool)> {
        let process = self.process.as_ref().filter(|_| self.away.is_none())?;
        self.is_paused = !self.is_paused;
        let signal = if self.is_paused { Signal::STOP } else { Signal::CONT };
        Some((process.signal(signal), self.is_paused))
    }

    /// Ends it, if it runs, and starts it again at once. Returns whether it runs.
    pub(super) fn restart(&mut self) -> bool {
        let Some(process) = self.process.as_mut().filter(|_| self.away.is_none()) else {
            return false;
        };
        process.signal(Signal::CONT);
        process.stop();
        self.away = Some(Away { back_at: Some(Instant::now()) });
        true
    }

    /// The time at which it can be started again, if it has ended and returns.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.away?.back_at.filter(|_| self.process.is_none())
    }

    /// Kills it as `kill -9` does, if it runs. Returns a time before that.
    pub(super) fn kill(&mut self) -> Option<Instant> {
        let began = self.process.as_mut().filter(|_| self.away.is_none())?.kill();
        self.away = Some(Away { back_at: Some(began + BACK_AFTER) });
        Some(began)
    }

    /// Ends it, if it runs. It stays away.
    pub(super) fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            // A process that stands still would not see that it is asked to end.
            process.signal(Signal::CONT);
            process.stop();
        }
        self.away = Some(Away { back_at: None });
    }

    /// Lets it return now.
    pub(super) fn hurry(&mut self) {
        if let Some(away) = &mut self.away {
            away.back_at = Some(Instant::now());
        }
    }

    /// Takes note of its end. Returns it if nothing here has caused it. A process that reported success ended on purpose, and
    /// stays away.
    pub(super) fn take_end(&mut self) -> Option<End> {
        let end = self.process.as_ref()?.end()?;
        self.process = None;
        self.is_paused = false;
        if self.away.is_some() {
            return None;
        }
        let back_at = (!end.is_success).then(|| end.at + BACK_AFTER);
        self.away = Some(Away { back_at });
        Some(end)
    }

    /// Starts it again, if it has ended and its time has come. None, if not. After an error it is tried again later.
    pub(super) fn start_again(&mut self, spawner: &Spawner) -> Option<anyhow::Result<()>> {
        self.due_at().filter(|due_at| *due_at <= Instant::now())?;
        Some(match spawner.spawn(&self.args, &self.log) {
            Ok(process) => {
                self.process = Some(process);
                self.away = None;
                Ok(())
            }
            Err(error) => {
                self.away = Some(Away { back_at: Some(Instant::now() + BACK_AFTER) });
                Err(error)
            }
        })
    }
}
