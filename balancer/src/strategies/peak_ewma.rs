//! The target that is expected to answer sooner.

use std::sync::Arc;

use super::candidates::{Candidates, pair};
use super::least_connections::{cheaper_of_pair, two_choices};
use crate::feedback::{ServiceState, TargetState};

/// Peak EWMA: of two targets the one with the lower `latency * (in flight + 1) / weight`, from Finagle's
/// `com.twitter.finagle.loadbalancer.PeakEwma` (method `get` of class `Metric`) over the two choices of Mitzenmacher 2001.
#[inline]
pub(super) fn peak_ewma(candidates: Candidates<'_>, random: &mut fastrand::Rng) -> usize {
    let now_us = candidates.service.now_us();
    two_choices(candidates, random, |state: &TargetState, index| {
        let in_flight = state.in_flight();
        state.expected_latency_us(in_flight, now_us) * candidates.load(in_flight + 1, index)
    })
}

/// [`peak_ewma`] for many targets of equal weight that take every pick.
#[inline]
pub(crate) fn peak_ewma_of_pair(
    states: &[Arc<TargetState>],
    service: &ServiceState,
    random: &mut fastrand::Rng,
) -> usize {
    let now_us = service.now_us();
    let drawn = pair(states.len(), random.u64(..));
    cheaper_of_pair(states, drawn, random, |state: &TargetState| {
        let in_flight = state.in_flight();
        state.expected_latency_us(in_flight, now_us) * (in_flight + 1) as f32
    })
}
