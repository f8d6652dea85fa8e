//! A weight that rises or falls with time.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// The share of its weight that a target has at the start of slow start: Envoy's `min_weight_percent`.
const WARM_UP_FLOOR: f32 = 0.1;

const LEVEL: u32 = 0;
const RISING: u32 = 1;
const FALLING: u32 = 2;

/// The share of its weight that a target has: all of it, rising (slow start) or falling to nothing (drain). Both ramps
/// are linear in time.
#[derive(Debug, Default)]
pub(crate) struct Ramp {
    kind: AtomicU32,
    /// The whole time of the ramp, which may have begun before the clock did.
    length_us: AtomicU64,
    until_us: AtomicU64,
}

impl Ramp {
    #[inline]
    pub(crate) fn is_level(&self) -> bool {
        self.kind.load(Relaxed) == LEVEL
    }

    pub(crate) fn is_falling(&self) -> bool {
        self.kind.load(Relaxed) == FALLING
    }

    pub(crate) fn rise(&self, from_us: u64, until_us: u64) {
        self.start(RISING, until_us.saturating_sub(from_us), until_us);
    }

    /// Begins a fall of this length that ends then. It may have begun long ago.
    pub(crate) fn fall(&self, length_us: u64, until_us: u64) {
        self.start(FALLING, length_us, until_us);
    }

    pub(crate) fn level(&self) {
        self.kind.store(LEVEL, Release);
    }

    fn start(&self, kind: u32, length_us: u64, until_us: u64) {
        self.length_us.store(length_us, Relaxed);
        self.until_us.store(until_us, Relaxed);
        self.kind.store(kind, Release);
    }

    /// The share at a time, `0.0..=1.0`.
    pub(crate) fn share(&self, now_us: u64) -> f32 {
        let kind = self.kind.load(Acquire);
        if kind == LEVEL {
            return 1.0;
        }
        let (length_us, until_us) = (self.length_us.load(Relaxed), self.until_us.load(Relaxed));
        let left_us = until_us.saturating_sub(now_us);
        let left = (left_us as f32 / length_us.max(1) as f32).min(1.0);
        if kind == RISING { (1.0 - left).max(WARM_UP_FLOOR) } else { left }
    }

    /// Ends a rise that is complete.
    pub(crate) fn finish_rise(&self, now_us: u64) {
        if self.kind.load(Acquire) == RISING && now_us >= self.until_us.load(Relaxed) {
            self.level();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_over_time() {
        let ramp = Ramp::default();
        assert_eq!(ramp.share(5), 1.0);
        ramp.rise(100, 200);
        assert_eq!([50, 100, 150, 200].map(|now| ramp.share(now)), [0.1, 0.1, 0.5, 1.0]);
        ramp.finish_rise(199);
        assert!(!ramp.is_level());
        ramp.finish_rise(200);
        assert!(ramp.is_level());
        ramp.fall(100, 400);
        assert_eq!([300, 350, 400, 999].map(|now| ramp.share(now)), [1.0, 0.5, 0.0, 0.0]);
        ramp.finish_rise(999);
        assert!(ramp.is_falling(), "drained stays drained");
        ramp.fall(0, 500);
        assert_eq!(ramp.share(500), 0.0);
        ramp.fall(2_000, 1_000);
        assert_eq!(
            [0, 500, 1_000].map(|now| ramp.share(now)),
            [0.5, 0.25, 0.0],
            "half over at zero"
        );
    }
}
