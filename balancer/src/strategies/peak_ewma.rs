//! The target that is expected to answer sooner.

use super::{
    candidates::{Candidates, pair},
    least_connections::{cheaper_of_pair, two_choices},
};
use crate::feedback::{ServiceState, TargetState};
use std::sync::Arc;

/// Peak EWMA: of two targets the one with the lower `latency * (in flight + 1) / weight`, from Finagle's
/// `com.twitter.finagle.loadbalancer.PeakEwma` (method `get` of class `Metric`) over the two choices of Mitzenmacher 2001.
#[inline]
pub(crate) fn choose(view: Candidates<'_>, random: &mut fastrand::Rng) -> usize {
    let now_us = view.core.now_us();
    two_choices(view, random, |state: &TargetState, index| {
        let in_flight = state.in_flight();
        state.latency.estimate_us(in_flight, now_us, view.core) * view.load(in_flight + 1, index)
    })
}

/// [`choose`] for many targets of equal weight, all of which may be picked.
#[inline]
pub(crate) fn of_pair(
    states: &[Arc<TargetState>],
    core: &ServiceState,
    random: &mut fastrand::Rng,
) -> usize {
    let now_us = core.now_us();
    let drawn = pair(states.len(), random.u64(..));
    cheaper_of_pair(states, drawn, random, |state: &TargetState| {
        let in_flight = state.in_flight();
        state.latency.estimate_us(in_flight, now_us, core) * (in_flight + 1) as f32
    })
}
