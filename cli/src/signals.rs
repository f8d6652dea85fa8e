//! The signals that ask a process to stop.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The time within which a further signal only repeats the first. GNU `timeout` signals its child and then the group,
/// and a wrapper passes on the Ctrl-C that the terminal sent to both.
const REPEATS_WITHIN: Duration = Duration::from_secs(1);

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP, from the creation of this value on. No signal between two waits is missed.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    repeats: Repeats,
}

impl StopSignals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            repeats: Repeats::default(),
        })
    }

    /// Waits for the next signal that does not repeat the first one. Returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            let signal = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.hangup.recv() => "SIGHUP",
            };
            if !self.repeats.is_one(Instant::now()) {
                return signal;
            }
        }
    }
}

/// Tells a signal that repeats the first one from a signal that asks to stop at once.
#[derive(Default)]
struct Repeats {
    first: Option<Instant>,
}

impl Repeats {
    /// Whether a signal at this time only repeats the first one.
    fn is_one(&mut self, now: Instant) -> bool {
        match self.first {
            Some(first) => now.duration_since(first) < REPEATS_WITHIN,
            None => {
                self.first = Some(now);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_within_a_second_of_the_first_repeats_it() {
        let mut repeats = Repeats::default();
        let first = Instant::now();
        for (after_ms, is_one) in
            [(0, false), (3, true), (999, true), (1_000, false), (1_001, false)]
        {
            let now = first + Duration::from_millis(after_ms);
            assert_eq!(repeats.is_one(now), is_one, "{after_ms} ms after the first");
        }
    }
}
