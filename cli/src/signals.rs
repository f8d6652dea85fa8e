//! The signals that ask a process to stop.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that follows the first within this time repeats it: GNU `timeout` signals its child and then its group, and a
/// wrapper passes on the Ctrl-C that the terminal sent to both.
const REPEATS_WITHIN: Duration = Duration::from_secs(1);

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP, from the moment this is made: none is missed between two waits.
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

    /// Waits for the next of them that repeats no other and names it.
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

/// Tells a signal that repeats the first from one that insists.
#[derive(Default)]
struct Repeats {
    first: Option<Instant>,
}

impl Repeats {
    /// Whether a signal that comes now only repeats the first.
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
    fn what_comes_within_a_second_of_the_first_repeats_it() {
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
