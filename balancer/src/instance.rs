//! A target as part of a snapshot.

use crate::{breaker::Circuit, state::State, target::Target};
use std::{fmt, sync::Arc, time::Duration};

/// A target as part of a snapshot: what the caller gave, joined with what the balancer has learned about it.
pub struct Instance<T> {
    target: Target<T>,
    state: Arc<State>,
}

impl<T> Instance<T> {
    pub(crate) fn new(target: Target<T>, state: Arc<State>) -> Self {
        Self { target, state }
    }

    /// The stable identity.
    #[inline]
    pub fn id(&self) -> &Arc<str> {
        &self.target.id
    }

    /// The share of the load relative to the other targets, `1..=65535`.
    #[inline]
    pub fn weight(&self) -> u32 {
        self.target.weight
    }

    /// The payload.
    #[inline]
    pub fn item(&self) -> &T {
        &self.target.item
    }

    /// The picks that have neither completed nor been dropped.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.state.in_flight()
    }

    /// The picks made so far, across updates.
    pub fn picks(&self) -> u64 {
        self.state.picks()
    }

    /// The picks that ended in failure so far.
    pub fn failures(&self) -> u64 {
        self.state.failures()
    }

    /// The moving average of its latency, `None` before the first answer.
    pub fn latency(&self) -> Option<Duration> {
        let average_us = self.state.latency.average_us();
        (average_us > 0.0).then(|| Duration::from_secs_f32(average_us / 1e6))
    }

    /// The state of its circuit breaker.
    pub fn circuit(&self) -> Circuit {
        self.state.circuit()
    }

    /// Whether it is ejected as an outlier.
    pub fn is_ejected(&self) -> bool {
        self.state.is_ejected()
    }

    /// The share of its weight that it has now, `0.0..=1.0`: less than 1 during slow start and drain.
    pub fn share(&self) -> f32 {
        self.state.share()
    }

    /// Whether a pick could go to it now.
    pub fn is_available(&self) -> bool {
        self.state.is_eligible()
    }

    #[inline]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn shared_state(&self) -> &Arc<State> {
        &self.state
    }
}

impl<T: fmt::Debug> fmt::Debug for Instance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("target", &self.target)
            .field("in_flight", &self.in_flight())
            .finish()
    }
}
