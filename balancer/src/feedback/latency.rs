//! How long a target takes to answer.

use super::service_state::ServiceState;
use std::{
    hint,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// Without a clock every success counts for this share of the average.
const CLOCKLESS_STEP: f32 = 1.0 / 16.0;

/// The latency of a target: up at once with a slow answer, down slowly with fast ones.
///
/// Peak EWMA, from Finagle's `com.twitter.finagle.loadbalancer.PeakEwma` (class `Metric`; described in
/// the linkerd blog post "Beyond Round Robin: Load Balancing for Latency", 2016): an exponentially weighted moving
/// average over time, `w = exp(-elapsed / decay)`, that a slower observation replaces. Two plain atomics rather than one
/// lock: a sample that races with another may be lost, which costs nothing but the sample.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Microseconds as the bits of an `f32`; 0 before the first observation.
    average: AtomicU32,
    /// When the average was last written.
    stamp_us: AtomicU64,
}

impl Latency {
    /// The average in microseconds as of its last observation, 0 where there was none.
    #[inline]
    pub(crate) fn average_us(&self) -> f32 {
        f32::from_bits(self.average.load(Relaxed))
    }

    /// The average in microseconds, faded by the time since its last observation. Before the first, an idle target is worth
    /// a try, at 0, and a busy one is taken to be as slow as configured.
    #[inline]
    pub(crate) fn estimate_us(&self, in_flight: u32, now_us: u64, core: &ServiceState) -> f32 {
        let average = self.average_us();
        if average == 0.0 {
            return if in_flight == 0 { 0.0 } else { core.initial_latency_us };
        }
        let elapsed_us = now_us.saturating_sub(self.stamp_us.load(Relaxed));
        if elapsed_us < core.fresh_us {
            average
        } else {
            average * fade(elapsed_us as i64 as f32 * core.decay_rate)
        }
    }

    #[inline]
    pub(crate) fn observe(&self, latency_us: f32, core: &ServiceState) {
        let (average, now_us) = (self.average_us(), core.now_us());
        let latency_us = latency_us.max(f32::MIN_POSITIVE);
        let kept = if now_us == 0 {
            1.0 - CLOCKLESS_STEP
        } else {
            let elapsed_us = now_us.saturating_sub(self.stamp_us.load(Relaxed));
            fade(elapsed_us as i64 as f32 * core.decay_rate)
        };
        let faded = latency_us + (average - latency_us) * kept;
        // Which of them it is, nobody can guess.
        self.write(hint::select_unpredictable(latency_us >= average, latency_us, faded), now_us);
    }

    /// A failure can raise the average but not lower it: failing fast is no merit.
    pub(crate) fn observe_failure(&self, latency_us: f32, core: &ServiceState) {
        let average = self.average_us();
        if average != 0.0 && latency_us > average {
            self.write(latency_us, core.now_us());
        }
    }

    #[inline]
    fn write(&self, average_us: f32, now_us: u64) {
        self.average.store(average_us.to_bits(), Relaxed);
        self.stamp_us.store(now_us, Relaxed);
    }
}

/// `exp(-x)` for `x >= 0` to within 1 % of its value below 1: the Taylor series for the small steps between frequent
/// answers, from the Taylor series of its reciprocal for larger ones.
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
    use crate::config::Config;
    use std::time::Duration;

    fn core() -> ServiceState {
        ServiceState::new(Config { latency_decay: Duration::from_secs(1), ..Config::default() })
    }

    fn at(core: &ServiceState, seconds: f64) -> &ServiceState {
        core.advance(Duration::from_secs_f64(seconds));
        core
    }

    #[test]
    fn up_at_once_and_down_with_time() {
        let (core, latency) = (core(), Latency::default());
        assert_eq!(
            [0, 1].map(|in_flight| latency.estimate_us(in_flight, 0, &core)),
            [0.0, 30_000.0]
        );
        latency.observe(1_000.0, at(&core, 1.0));
        latency.observe(9_000.0, at(&core, 1.1));
        assert_eq!(latency.average_us(), 9_000.0);
        latency.observe(1_000.0, at(&core, 2.1));
        let expected = 1_000.0 + 8_000.0 * (-1.0_f32).exp();
        assert!((latency.average_us() - expected).abs() < 50.0, "{}", latency.average_us());
    }

    #[test]
    fn an_idle_target_is_forgiven() {
        let (core, latency) = (core(), Latency::default());
        latency.observe(10_000.0, at(&core, 1.0));
        at(&core, 4.0);
        let estimate = latency.estimate_us(0, core.now_us(), &core);
        assert!(estimate < 800.0, "{estimate}");
    }

    #[test]
    fn failures_do_not_make_a_target_look_fast() {
        let (core, latency) = (core(), Latency::default());
        latency.observe_failure(10.0, at(&core, 1.0));
        assert_eq!(latency.estimate_us(1, core.now_us(), &core), 30_000.0);
        latency.observe(1_000.0, at(&core, 1.1));
        latency.observe_failure(10.0, at(&core, 1.2));
        assert_eq!(latency.average_us(), 1_000.0);
        latency.observe_failure(5_000.0, at(&core, 1.3));
        assert_eq!(latency.average_us(), 5_000.0);
    }

    #[test]
    fn it_works_without_a_clock() {
        let (core, latency) = (core(), Latency::default());
        latency.observe(16_000.0, &core);
        (0..100).for_each(|_| latency.observe(1_000.0, &core));
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
