//! How far a long run is, on standard error, for people.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Between two lines.
const GAP: Duration = Duration::from_secs(2);
/// Between two lines in a log.
const GAP_IN_LOG: Duration = Duration::from_secs(20);

/// Tells how far something is, now and then.
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

    /// Tells a line, if the last one is old enough.
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

    /// Tells a line that stays.
    pub(super) fn note(&mut self, line: &str) {
        self.done();
        eprintln!("{line}");
    }

    /// Wipes the line.
    pub(super) fn done(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }

    /// Wall-clock seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
