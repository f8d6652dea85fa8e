//! A target as part of a snapshot.

use crate::{state::State, target::Target};
use crossbeam_utils::CachePadded;
use std::{fmt, sync::Arc};

/// A target as part of a snapshot: what the caller gave, joined with what the balancer has learned about it.
pub struct Instance<T> {
    target: Target<T>,
    state: Arc<CachePadded<State>>,
}

impl<T> Instance<T> {
    pub(crate) fn new(target: Target<T>, state: Arc<CachePadded<State>>) -> Self {
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

    #[inline]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn shared_state(&self) -> &Arc<CachePadded<State>> {
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
