//! The fastest target that is not hot.

use super::candidates::Candidates;
use crate::feedback::{ServiceState, TargetState};

/// The targets that one pick compares.
const DRAWS: usize = 3;

/// The quantile of all targets' loads above which a target is hot.
const HOT_QUANTILE: f32 = 0.84;

/// Each observation moves the estimated quantile by this share of itself.
const QUANTILE_STEP: f32 = 1.0 / 64.0;

/// A picker shares its estimate with the others after this many picks.
const SHARE_EVERY: u32 = 32;

/// The load above which a target is hot, as one picker estimates it.
#[derive(Debug)]
pub(super) struct Threshold {
    above: f32,
    picks: u32,
}

impl Threshold {
    pub(super) fn new(service: &ServiceState) -> Self {
        Self { above: service.hot_above(), picks: 0 }
    }

    /// Moves the estimate towards [`HOT_QUANTILE`] of the loads observed: Robbins and Monro, "A Stochastic Approximation
    /// Method", Annals of Mathematical Statistics 22(3), 1951.
    #[inline]
    fn observe(&mut self, load: f32) {
        let step = self.above.max(1.0) * QUANTILE_STEP;
        let share = if load > self.above { HOT_QUANTILE } else { HOT_QUANTILE - 1.0 };
        self.above = (self.above + step * share).max(0.0);
    }

    /// Shares with other pickers what was learned since the last time.
    pub(super) fn release(&mut self, service: &ServiceState) {
        if self.picks > 0 {
            self.picks = 0;
            self.above = f32::midpoint(self.above, service.hot_above());
            service.set_hot_above(self.above);
        }
    }

    #[inline]
    fn count_pick(&mut self, service: &ServiceState) {
        self.picks += 1;
        if self.picks >= SHARE_EVERY {
            self.release(service);
        }
    }
}

/// The hot-cold lexicographic rule: Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI
/// 2024, on replica selection.
///
/// A target is hot while its picks in flight exceed the 0.84 quantile of all targets'. The cold target with the lowest
/// latency wins; if all that are drawn are hot, the one with the fewest picks in flight does. Prequal probes its replicas;
/// this takes picks in flight and latencies as counted in this process.
#[inline]
pub(super) fn hot_cold(
    candidates: Candidates<'_>,
    random: &mut fastrand::Rng,
    threshold: &mut Threshold,
) -> usize {
    if candidates.len() == 1 {
        return 0;
    }
    let now_us = candidates.service.now_us();
    let load = |state: &TargetState, index| candidates.load(state.in_flight(), index);
    let latency = |state: &TargetState| state.expected_latency_us(state.in_flight(), now_us);

    let mut best = candidates.draw(random);
    for _ in 1..DRAWS.min(candidates.len()) {
        let next = candidates.draw_another(best, random);
        let above = threshold.above;
        // Below 0 for a cold target, lower with lower latency; above 0 for a hot one.
        let cost = |state: &TargetState, index| {
            let load = load(state, index);
            if load > above { load } else { -1.0 / latency(state) }
        };
        best = candidates.cheaper(best, next, random, cost);
        threshold.observe(load(&candidates.states[next], next));
    }
    threshold.count_pick(candidates.service);
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn the_threshold_finds_the_quantile() {
        let service = ServiceState::new(Config::default());
        let mut threshold = Threshold::new(&service);
        let mut random = fastrand::Rng::with_seed(1);
        let mut sum = 0.0;
        for step in 0..20_000_u32 {
            threshold.observe(random.f32() * 100.0);
            sum += if step < 10_000 { 0.0 } else { threshold.above };
        }
        let mean = sum / 10_000.0;
        assert!((82.0..86.0).contains(&mean), "{mean}");
    }

    #[test]
    fn a_released_threshold_meets_the_others_halfway() {
        let service = ServiceState::new(Config::default());
        let mut threshold = Threshold { above: 3.0, picks: 1 };
        threshold.release(&service);
        assert_eq!((threshold.above, service.hot_above()), (2.0, 2.0));
        threshold.above = 9.0;
        threshold.release(&service);
        assert_eq!(service.hot_above(), 2.0, "no picks, nothing learned");
    }
}
