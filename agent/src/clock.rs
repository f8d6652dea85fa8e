//! The agent's clock: real time as the protocol counts it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hobnob_membership::Time;
use tokio::time::Instant;

/// Counts from the agent's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Time {
        Time::from(self.start.elapsed())
    }

    /// The moment of the runtime's clock that is this moment of the protocol.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.start + Duration::from_micros(time.as_micros())
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
