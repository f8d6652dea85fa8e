//! Progress of long commands, on standard error.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// The least time between two updates on a terminal.
const GAP: Duration = Duration::from_secs(2);
/// The same when standard error is no terminal.
const GAP_IN_LOG: Duration = Duration::from_secs(20);

/// Shows progress now and then.
pub(super) struct Progress {
    started: Instant,
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { started: now, told: now, is_terminal: io::stderr().is_terminal() }
    }

    /// Shows a line, unless one was shown a moment ago.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let gap = if self.is_terminal { GAP } else { GAP_IN_LOG };
        if self.told.elapsed() < gap {
            return;
        }
        self.told = Instant::now();
        let seconds = self.started.elapsed().as_secs();
        if self.is_terminal {
            eprint!("\r\x1b[K{} ({seconds} s)", line());
        } else {
            eprintln!("{} ({seconds} s)", line());
        }
    }

    /// Shows a line that stays.
    pub(super) fn note(&mut self, line: &str) {
        self.done();
        eprintln!("{line}");
    }

    /// Clears the line.
    pub(super) fn done(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }

    /// Wall-clock seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
