//! A turn that many pickers share.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most positions that a picker takes at once.
const LEASE_MAX: u64 = 64;

/// A picker takes this fraction of the picks it has made so far, so that only a busy picker takes more than one position.
const PICKS_PER_POSITION: u64 = 16;

/// The position of a turn, shared by all pickers of a balancer: each position goes to exactly one of them.
///
/// One shared counter would be exact and slow, because every pick of every thread would fight for its cache line. A
/// picker therefore leases positions: one at a time for its first picks, so that pickers which pick a few times each
/// take strict turns, and up to 64 at a time once it has made many. What a dropped picker has not used it gives back if
/// nobody took a position after it.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    next: CachePadded<AtomicU64>,
}

impl Rotation {
    pub(crate) fn position(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Moves the turn, for when an update has changed what a position means.
    pub(crate) fn set_position(&self, position: u64) {
        self.next.store(position, Relaxed);
    }
}

/// The part of a rotation that one picker holds.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// The next position, reduced modulo the length of the turn.
    slot: usize,
    /// How many positions are left, the last of them before `end`.
    left: u64,
    end: u64,
    picks: u64,
}

impl Lease {
    /// Takes the next position, as an index below `length`, which must not be 0 and must be the same until the next
    /// [`Lease::release`].
    #[inline]
    pub(crate) fn advance(&mut self, rotation: &Rotation, length: usize) -> usize {
        if self.left == 0 {
            self.renew(rotation, length);
        }
        let slot = self.slot;
        self.left -= 1;
        self.slot = if slot + 1 == length { 0 } else { slot + 1 };
        slot
    }

    #[cold]
    fn renew(&mut self, rotation: &Rotation, length: usize) {
        let size = (self.picks / PICKS_PER_POSITION).clamp(1, LEASE_MAX);
        self.picks = self.picks.saturating_add(size);
        let next = rotation.next.fetch_add(size, Relaxed);
        self.left = size;
        self.end = next.wrapping_add(size);
        self.slot = (next % length as u64) as usize;
    }

    /// Gives back what is left if nobody has taken a position since; otherwise lets it go.
    pub(crate) fn release(&mut self, rotation: &Rotation) {
        if self.left > 0 {
            let next = self.end.wrapping_sub(self.left);
            let _ = rotation.next.compare_exchange(self.end, next, Relaxed, Relaxed);
            self.left = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_position_leases_take_strict_turns() {
        let rotation = Rotation::default();
        let slots: Vec<usize> = (0..7).map(|_| Lease::default().advance(&rotation, 3)).collect();
        assert_eq!(slots, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_busy_picker_leases_more_and_gives_back_the_rest() {
        let rotation = Rotation::default();
        let mut lease = Lease::default();
        for pick in 0..5_000 {
            assert_eq!(lease.advance(&rotation, 7), pick % 7);
        }
        assert!(rotation.position() > 5_000);
        lease.release(&rotation);
        assert_eq!(rotation.position(), 5_000);
    }

    #[test]
    fn what_others_took_meanwhile_stays_theirs() {
        let rotation = Rotation::default();
        let mut busy = Lease::default();
        let last = (0..5_000).map(|_| busy.advance(&rotation, 7)).last();
        assert_eq!(last, Some(4_999 % 7));
        let after = rotation.position();
        Lease::default().advance(&rotation, 7);
        busy.release(&rotation);
        assert_eq!(rotation.position(), after + 1);
    }
}
