//! The time that a target takes to answer.

use std::{
    hint,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// The time in which an average fades to 1/e: Finagle's default.
const DECAY_US: u64 = 10_000_000;

/// An average that is younger than this has faded by less than 1 in 64 and is taken as it is.
const FRESH_US: u64 = DECAY_US / 64;

/// The estimate for a target that has picks in flight but has not answered yet.
const INITIAL_US: f32 = 30_000.0;

/// Without a clock every success counts for this share of the average.
const CLOCKLESS_STEP: f32 = 1.0 / 16.0;

/// The latency of a target: up at once with a slow answer, down slowly with fast ones.
///
/// Peak EWMA, from Finagle's `com.twitter.finagle.loadbalancer.PeakEwma` (class `Metric`; described in the linkerd blog
/// post "Beyond Round Robin: Load Balancing for Latency", 2016). It is an exponentially weighted moving average over time,
/// `w = exp(-elapsed / decay)`, that a slower observation replaces. Two plain atomics stand in for a lock: of two samples
/// that race one may be lost, which costs nothing but the sample.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Microseconds as the bits of an `f32`; 0 before the first observation.
    average: AtomicU32,
    /// When the average was last written.
    stamp_us: AtomicU64,
}

impl Latency {
    /// The average in microseconds as of its last observation, 0 before the first.
    #[inline]
    pub(crate) fn average_us(&self) -> f32 {
        f32::from_bits(self.average.load(Relaxed))
    }

    /// The average in microseconds, faded by the time since its last observation. Before the first observation an idle
    /// target counts as 0, so that it is tried, and a busy one as [`INITIAL_US`].
    #[inline]
    pub(crate) fn estimate_us(&self, in_flight: u32, now_us: u64) -> f32 {
        let average = self.average_us();
        if average == 0.0 {
            return if in_flight == 0 { 0.0 } else { INITIAL_US };
        }
        let elapsed_us = now_us.saturating_sub(self.stamp_us.load(Relaxed));
        if elapsed_us < FRESH_US { average } else { average * fade(decays(elapsed_us)) }
    }

    /// Takes in the latency of a success.
    #[inline]
    pub(crate) fn observe(&self, latency_us: f32, now_us: u64) {
        let average = self.average_us();
        let latency_us = latency_us.max(f32::MIN_POSITIVE);
        let kept = if now_us == 0 {
            1.0 - CLOCKLESS_STEP
        } else {
            fade(decays(now_us.saturating_sub(self.stamp_us.load(Relaxed))))
        };
        let faded = latency_us + (average - latency_us) * kept;
        // A branch predictor cannot guess which of the two it is.
        self.write(hint::select_unpredictable(latency_us >= average, latency_us, faded), now_us);
    }

    /// Takes in the latency of a failure, which can raise the average but not lower it: a target that fails fast must not
    /// look fast.
    pub(crate) fn observe_failure(&self, latency_us: f32, now_us: u64) {
        let average = self.average_us();
        if average != 0.0 && latency_us > average {
            self.write(latency_us, now_us);
        }
    }

    #[inline]
    fn write(&self, average_us: f32, now_us: u64) {
        self.average.store(average_us.to_bits(), Relaxed);
        self.stamp_us.store(now_us, Relaxed);
    }
}

/// A time in units of the decay.
#[inline]
fn decays(elapsed_us: u64) -> f32 {
    // A conversion from a signed number is one instruction.
    elapsed_us as i64 as f32 * (1.0 / DECAY_US as f32)
}

/// `exp(-x)` for `x >= 0`, to within 1 % of its value below 1. Small steps, as between frequent answers, take the Taylor
/// series; larger ones take the reciprocal of the Taylor series of `exp(x)`.
#[inline]
fn fade(x: f32) -> f32 {
    if x < 0.125 {
        1.0 - x * (1.0 - x * 0.5)
    } else {
        1.0 / (1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn up_at_once_and_down_with_time() {
        let latency = Latency::default();
        assert_eq!([0, 1].map(|in_flight| latency.estimate_us(in_flight, 0)), [0.0, INITIAL_US]);
        latency.observe(1_000.0, SECOND);
        latency.observe(9_000.0, 2 * SECOND);
        assert_eq!(latency.average_us(), 9_000.0);
        latency.observe(1_000.0, 2 * SECOND + DECAY_US);
        let expected = 1_000.0 + 8_000.0 * (-1.0_f32).exp();
        assert!((latency.average_us() - expected).abs() < 50.0, "{}", latency.average_us());
    }

    #[test]
    fn an_idle_target_is_forgiven() {
        let latency = Latency::default();
        latency.observe(10_000.0, SECOND);
        let estimate = latency.estimate_us(0, SECOND + 3 * DECAY_US);
        assert!(estimate < 800.0, "{estimate}");
    }

    #[test]
    fn failures_do_not_make_a_target_look_fast() {
        let latency = Latency::default();
        latency.observe_failure(10.0, SECOND);
        assert_eq!(latency.estimate_us(1, SECOND), INITIAL_US);
        latency.observe(1_000.0, SECOND);
        latency.observe_failure(10.0, 2 * SECOND);
        assert_eq!(latency.average_us(), 1_000.0);
        latency.observe_failure(5_000.0, 3 * SECOND);
        assert_eq!(latency.average_us(), 5_000.0);
    }

    #[test]
    fn it_works_without_a_clock() {
        let latency = Latency::default();
        latency.observe(16_000.0, 0);
        (0..100).for_each(|_| latency.observe(1_000.0, 0));
        assert!(latency.average_us() < 1_100.0);
    }

    #[test]
    fn fading_is_close_to_exponential() {
        for x in [0.0_f32, 0.01, 0.1, 0.5, 1.0] {
            assert!((fade(x) / (-x).exp() - 1.0).abs() < 0.01, "at {x}");
        }
        assert!(fade(1e9) < 1e-9);
    }
}
