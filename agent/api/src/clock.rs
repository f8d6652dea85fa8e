//! The clock of ages: real time, including the time for which the host was suspended.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The system's clock that goes on while the host is suspended. The timers of tokio and [`std::time::Instant`] stand still
/// meanwhile on Linux.
#[cfg(any(target_os = "linux", target_os = "android"))]
const COUNTS_SUSPENDS: ClockId = ClockId::Boottime;
/// Elsewhere the monotonic clock is the best that all systems have.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const COUNTS_SUSPENDS: ClockId = ClockId::Monotonic;

/// Time since an origin that stays the same until the host is started anew. On Linux it counts the time of suspends.
#[must_use]
pub fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(COUNTS_SUSPENDS)).unwrap_or_default()
}

/// A moment of that clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Duration);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(reading())
    }

    /// Time since this moment.
    pub(crate) fn elapsed(self) -> Duration {
        reading().saturating_sub(self.0)
    }
}

#[cfg(not(test))]
fn reading() -> Duration {
    since_boot()
}

/// In tests: the clock of the runtime, which may be paused, and the suspends that the test made up.
#[cfg(test)]
fn reading() -> Duration {
    fake::reading()
}

#[cfg(test)]
pub(crate) mod fake {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static ORIGIN: tokio::time::Instant = tokio::time::Instant::now();
        static SUSPENDED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    pub(super) fn reading() -> Duration {
        ORIGIN.with(tokio::time::Instant::elapsed) + SUSPENDED.get()
    }

    /// Makes the host of this thread sleep: its clock goes on, and no timer does.
    pub(crate) fn suspend(time: Duration) {
        SUSPENDED.set(SUSPENDED.get() + time);
    }
}
