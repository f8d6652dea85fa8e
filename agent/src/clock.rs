//! The agent's clock: real time as the protocol counts it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hobnob_api::clock::since_boot;
use hobnob_membership::Time;
use tokio::time::Instant;

/// Counts from the agent's start, and on while the host is suspended, where the system has a clock that does. The
/// runtime's timers stand still meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System {
        start: Duration,
    },
    /// In tests: the clock of the runtime, which may be paused, and the suspends that the test made up.
    #[cfg(test)]
    Runtime {
        start: Instant,
        suspended_us: &'static std::sync::atomic::AtomicU64,
    },
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Source::System { start: since_boot() })
    }

    pub(crate) fn now(&self) -> Time {
        Time::from(match self.0 {
            Source::System { start } => since_boot().saturating_sub(start),
            #[cfg(test)]
            Source::Runtime { start, suspended_us } => {
                let suspended = suspended_us.load(std::sync::atomic::Ordering::Relaxed);
                start.elapsed() + Duration::from_micros(suspended)
            }
        })
    }

    /// The moment of the runtime's clock that is this moment of the protocol, unless the host is suspended before. A
    /// moment of the past is now.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        Instant::now() + time.since(self.now())
    }
}

#[cfg(test)]
impl Clock {
    /// A clock that follows the runtime's.
    pub(crate) fn fake() -> Self {
        let suspended_us = Box::leak(Box::default());
        Self(Source::Runtime { start: Instant::now(), suspended_us })
    }

    /// Makes the host sleep: this clock goes on, and no timer does.
    pub(crate) fn suspend(&self, time: Duration) {
        let Source::Runtime { suspended_us, .. } = self.0 else { return };
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        suspended_us.fetch_add(micros, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Milliseconds since 1970; 0 when the machine's clock says an earlier year.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
