//! The fastest target that is not hot.

use super::candidates::Candidates;
use crate::feedback::{ServiceState, TargetState};

/// The targets that one pick looks at.
const CANDIDATES: usize = 3;

/// Each observation moves the estimated quantile by this share of itself.
const QUANTILE_STEP: f32 = 1.0 / 64.0;

/// A picker shares its estimate with the others once in so many picks.
const SHARE_EVERY: u32 = 32;

/// The boundary between hot and cold as one picker knows it.
#[derive(Debug)]
pub(crate) struct Threshold {
    above: f32,
    picks: u32,
}

impl Threshold {
    pub(crate) fn new(core: &ServiceState) -> Self {
        Self { above: core.hot_above(), picks: 0 }
    }

    /// Moves towards the quantile at which a share of `quantile` of the loads lies below: Robbins and Monro, "A Stochastic
    /// Approximation Method", Annals of Mathematical Statistics 22(3), 1951.
    #[inline]
    fn observe(&mut self, load: f32, quantile: f32) {
        let step = self.above.max(1.0) * QUANTILE_STEP;
        self.above += if load > self.above { step * quantile } else { step * (quantile - 1.0) };
        self.above = self.above.max(0.0);
    }

    /// Shares what has been learned since the last time.
    pub(crate) fn release(&mut self, core: &ServiceState) {
        if self.picks > 0 {
            self.picks = 0;
            self.above = f32::midpoint(self.above, core.hot_above());
            core.set_hot_above(self.above);
        }
    }

    #[inline]
    fn share(&mut self, core: &ServiceState) {
        self.picks += 1;
        if self.picks >= SHARE_EVERY {
            self.release(core);
        }
    }
}

/// The hot-cold lexicographic rule of Prequal: Wydrowski et al., "Load is not what you should balance: Introducing
/// Prequal", NSDI 2024, on replica selection. A target is hot when its picks in flight exceed the 0.84 quantile
/// of all targets'. The cold target with the lowest latency wins; if all candidates are hot, the one with the fewest
/// picks in flight. Where Prequal probes its replicas, this takes the picker's own process as the witness: picks in
/// flight and latencies as counted here.
#[inline]
pub(crate) fn choose(
    view: Candidates<'_>,
    random: &mut fastrand::Rng,
    threshold: &mut Threshold,
) -> usize {
    if view.len() == 1 {
        return 0;
    }
    let now_us = view.core.now_us();
    let load = |state: &TargetState, index| view.load(state.in_flight(), index);
    let latency =
        |state: &TargetState| state.latency.estimate_us(state.in_flight(), now_us, view.core);
    let quantile = view.core.config.cold_quantile as f32;

    let mut best = view.draw(random);
    let mut drawn = 1;
    while drawn < CANDIDATES.min(view.len()) {
        let next = view.draw_another(best, random);
        let above = threshold.above;
        // Below 0 for a cold target, lower with lower latency; above 0 for a hot one.
        let cost = |state: &TargetState, index| {
            let load = load(state, index);
            if load > above { load } else { -1.0 / latency(state) }
        };
        best = view.cheaper(best, next, random, cost);
        threshold.observe(load(&view.states[next], next), quantile);
        drawn += 1;
    }
    threshold.share(view.core);
    best
}
