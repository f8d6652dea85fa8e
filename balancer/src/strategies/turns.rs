//! Turns that many pickers take together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// The most positions that a picker leases at once.
const LEASE_MAX: u64 = 64;

/// A picker leases one position for each of this many picks that it has made, so that only a busy picker leases more than
/// one.
const PICKS_PER_POSITION: u64 = 16;

/// The turns of one balancer.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Of [`Strategy::RoundRobin`](super::Strategy::RoundRobin).
    pub(crate) plain: Rotation,
    /// Of [`Strategy::Weighted`](super::Strategy::Weighted).
    pub(crate) weighted: Rotation,
}

/// The position of a turn, shared by all pickers of a balancer. Each position goes to exactly one of them.
///
/// One shared counter would be exact but slow, because the picks of all threads would fight for its cache line. So pickers
/// lease positions: one at a time at first, so that pickers with few picks take strict turns, and up to 64 at a time after
/// many picks. A picker that is dropped gives back the rest of its lease if no position after it is taken.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    next: CachePadded<AtomicU64>,
}

impl Rotation {
    pub(crate) fn position(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Moves the turn, after an update that changes what a position means.
    pub(crate) fn set_position(&self, position: u64) {
        self.next.store(position, Relaxed);
    }
}

/// The positions of a rotation that one picker holds.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// The next position, reduced modulo the length of the turn.
    slot: usize,
    /// The number of positions that are left.
    left: u64,
    /// The position after the last one.
    end: u64,
    /// The positions leased so far.
    picks: u64,
}

impl Lease {
    /// Takes the next position, as an index below `length`. The length must not be 0 and must stay the same until the next
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

    /// Gives back the positions that are left, or drops them if a later position is taken.
    pub(crate) fn release(&mut self, rotation: &Rotation) {
        if self.left > 0 {
            let next = self.end.wrapping_sub(self.left);
            let _taken_since = rotation.next.compare_exchange(self.end, next, Relaxed, Relaxed);
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
    fn a_position_that_another_picker_took_is_not_given_back() {
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
