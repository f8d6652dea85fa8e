//! When a check is probed. Checks beat out of step: each has a phase of its own within its interval, and keeps it.

use std::time::Duration;

use hobnob_api::Check;
use tokio::time::Instant;

use super::probes::LATE_AFTER;
use super::{MAX_INTERVAL, MAX_TIMEOUT, MIN_INTERVAL};

/// The longest time from a restart to the first probe of a check whose verdict was kept.
pub const RESTORED_WITHIN: Duration = Duration::from_secs(10);

/// The interval and the timeout of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl From<&Check> for Schedule {
    /// Moves what is out of range to the nearest end of it.
    fn from(check: &Check) -> Self {
        Self {
            interval: Duration::from_millis(check.interval_ms).clamp(MIN_INTERVAL, MAX_INTERVAL),
            timeout: Duration::from_millis(check.timeout_ms).min(MAX_TIMEOUT),
        }
    }
}

/// The moments at which the probes of a check begin: a first one, then one in each interval, all at the same point of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// The first probe.
    pub(super) begins: Instant,
    /// One of the moments that are an interval apart.
    point: Instant,
    interval: Duration,
}

impl Beat {
    /// The next moment after `now`. After a stall of this process, too, each check goes on at its own point.
    pub(super) fn after(&self, now: Instant) -> Instant {
        let Some(since) = now.checked_duration_since(self.point) else { return self.point };
        // The interval is at most a day, and so is what is left of it.
        let into = since.as_nanos() % self.interval.as_nanos();
        now + (self.interval - Duration::from_nanos(into as u64))
    }
}

impl Schedule {
    /// The beat of a check without a verdict: the first probe at once, and the second within an interval. `draw` gives numbers
    /// from 0 to 1.
    pub(super) fn begin_now(&self, now: Instant, draw: impl FnOnce() -> f64) -> Beat {
        Beat { begins: now, point: self.within_an_interval_of(now, draw), interval: self.interval }
    }

    /// The beat of a check whose first probe was made already.
    pub(super) fn begin_later(&self, now: Instant, draw: impl FnOnce() -> f64) -> Beat {
        let begins = self.within_an_interval_of(now, draw);
        Beat { begins, point: begins, interval: self.interval }
    }

    /// The beat of a check whose verdict was kept over a restart: the first probe at any point of the interval, but soon.
    pub(super) fn resume(&self, now: Instant, mut draw: impl FnMut() -> f64) -> Beat {
        let begins = now + self.interval.min(RESTORED_WITHIN).mul_f64(draw());
        let point = match self.interval <= RESTORED_WITHIN {
            true => begins,
            false => self.within_an_interval_of(begins, draw),
        };
        Beat { begins, point, interval: self.interval }
    }

    fn within_an_interval_of(&self, now: Instant, draw: impl FnOnce() -> f64) -> Instant {
        now + self.interval.mul_f64(draw())
    }

    /// The time by which another probe has ended, after the latest one or the start. A verdict that is older is none: a probe
    /// always ends in time, so the fault is this agent's own.
    pub(super) fn overdue_after(&self, latest: Instant) -> Instant {
        latest + self.interval + self.timeout + LATE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SCHEDULE: Schedule = Schedule { interval: SECOND, timeout: SECOND };

    /// The probes in each slot of 100 ms of the seconds from `from` on, of checks with these beats.
    fn slots(beats: &[Beat], from: Instant) -> [usize; 10] {
        let mut slots = [0; 10];
        for beat in beats {
            let into = beat.after(from).duration_since(from).as_millis() as usize;
            slots[(into / 100).min(9)] += 1;
        }
        slots
    }

    #[test]
    fn many_checks_beat_out_of_step_however_they_began() {
        let now = Instant::now();
        let beats =
            |begin: fn(Instant) -> Beat| -> Vec<_> { (0..2_000).map(|_| begin(now)).collect() };
        for beats in [
            beats(|now| SCHEDULE.begin_now(now, rand::random)),
            beats(|now| SCHEDULE.begin_later(now, rand::random)),
            beats(|now| SCHEDULE.resume(now, rand::random)),
        ] {
            // The mean is 200, and its standard deviation 13.
            for from in [now + 2 * SECOND, now + 3_600 * SECOND] {
                let slots = slots(&beats, from);
                assert!(slots.iter().all(|count| *count <= 300), "{slots:?}");
            }
        }
    }

    #[test]
    fn a_check_keeps_its_point_of_the_interval() {
        let now = Instant::now();
        let beat = SCHEDULE.begin_now(now, || 0.75);
        assert_eq!(beat.begins, now);
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(beat.after(now), at(750));
        assert_eq!(beat.after(at(750)), at(1_750), "after the moment itself");
        assert_eq!(beat.after(at(86_400_300)), at(86_400_750), "after a stall, too");
    }

    #[test]
    fn a_kept_verdict_is_looked_at_soon_however_long_the_interval_is() {
        let now = Instant::now();
        let hourly = Schedule { interval: 3_600 * SECOND, ..SCHEDULE };
        let mut draws = [1.0, 0.0].into_iter();
        let beat = hourly.resume(now, || draws.next().expect("two draws"));
        assert_eq!(beat.begins, now + RESTORED_WITHIN);
        assert_eq!(beat.after(beat.begins), beat.begins + 3_600 * SECOND);
        let beat = SCHEDULE.resume(now, || 0.25);
        assert_eq!(beat.begins, now + SECOND / 4);
        assert_eq!(beat.after(beat.begins), now + SECOND / 4 + SECOND);
    }
}
