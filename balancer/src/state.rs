//! What is remembered about a target from pick to pick and across updates.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bits of the load word that count picks in flight; the bits above count all picks ever made.
const IN_FLIGHT_BITS: u32 = 24;
const IN_FLIGHT_MASK: u64 = (1 << IN_FLIGHT_BITS) - 1;

/// The live state of one target. It stands on a cache line of its own and is shared by every snapshot that contains the
/// target, so an update forgets nothing.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Picks in flight and picks made, in one word, so that a pick costs one atomic operation.
    load: AtomicU64,
}

impl State {
    /// The picks that have neither completed nor been dropped.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        (self.load.load(Relaxed) & IN_FLIGHT_MASK) as u32
    }

    /// The picks ever made, modulo 2^40.
    pub(crate) fn picks(&self) -> u64 {
        self.load.load(Relaxed) >> IN_FLIGHT_BITS
    }

    #[inline]
    pub(crate) fn begin(&self) {
        self.load.fetch_add(1 + (1 << IN_FLIGHT_BITS), Relaxed);
    }

    #[inline]
    pub(crate) fn end(&self) {
        let before = self.load.fetch_sub(1, Relaxed);
        debug_assert_ne!(before & IN_FLIGHT_MASK, 0, "a pick ended that never began");
    }
}
