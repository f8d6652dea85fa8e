//! The two clocks of a host: a monotonic one, which may drift, and a wall clock, which may jump.

use hobnob_membership::Time;

/// The wall-clock time at the start of a run, in milliseconds since 1970.
pub(super) const WALL_START_MS: i64 = 1_800_000_000_000;
/// Parts per million in a whole.
const MILLION: i128 = 1_000_000;

/// The clocks of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// World time at which the present rate began.
    world_base: Time,
    local_base: Time,
    /// Drift in parts per million; negative is slower than the world.
    drift_ppm: i64,
    wall_offset_ms: i64,
}

impl Clock {
    /// A clock that starts at `skew_micros` and keeps pace with the world.
    #[must_use]
    pub fn new(skew_micros: u64) -> Self {
        Self {
            world_base: Time::ZERO,
            local_base: Time::from_micros(skew_micros),
            drift_ppm: 0,
            wall_offset_ms: 0,
        }
    }

    /// The monotonic reading at a moment of the world.
    #[must_use]
    pub fn local(&self, world: Time) -> Time {
        if self.drift_ppm == 0 {
            return self.local_base + (world - self.world_base);
        }
        let elapsed = i128::from(world.as_micros() - self.world_base.as_micros());
        let ticks = elapsed * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        Time::from_micros(self.local_base.as_micros() + ticks as u64)
    }

    /// The first moment of the world at which the clock reads `local` or more.
    #[must_use]
    pub fn world(&self, local: Time) -> Time {
        let ticks = local - self.local_base;
        if self.drift_ppm == 0 {
            return self.world_base + ticks;
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let elapsed = (ticks.as_micros() as i128 * MILLION + rate - 1) / rate;
        Time::from_micros(self.world_base.as_micros() + elapsed as u64)
    }

    /// Changes the rate from now on.
    pub fn set_drift(&mut self, now: Time, drift_ppm: i64) {
        self.local_base = self.local(now);
        self.world_base = now;
        self.drift_ppm = drift_ppm.clamp(-900_000, 900_000);
    }

    /// Moves the wall clock by `by_ms` milliseconds.
    pub fn jump(&mut self, by_ms: i64) {
        self.wall_offset_ms += by_ms;
    }

    /// The wall-clock reading, in milliseconds since 1970.
    #[must_use]
    pub fn wall_ms(&self, world: Time) -> u64 {
        let since = i64::try_from(world.as_micros() / 1_000).unwrap_or(i64::MAX);
        u64::try_from(WALL_START_MS + self.wall_offset_ms + since).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_never_goes_back_and_comes_due_on_time() {
        let mut clock = Clock::new(77);
        let mut last = clock.local(Time::ZERO);
        for (millis, drift) in [(10, 200), (20, -150_000), (30, 90_000), (40, 0)] {
            let now = Time::from_millis(millis);
            clock.set_drift(now, drift);
            assert!(clock.local(now) >= last);
            for micros in 0..200 {
                let due = Time::from_micros(clock.local(now).as_micros() + micros * 7);
                let world = clock.world(due);
                assert!(clock.local(world) >= due, "drift {drift}");
                let before = Time::from_micros(world.as_micros() - 1);
                assert!(before < now || clock.local(before) < due, "drift {drift}");
            }
            last = clock.local(now);
        }
    }
}
