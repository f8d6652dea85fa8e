//! Turns that many pickers take together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// The turns that a picker takes from those that all share. A busier picker goes on by itself.
const SHARED_TURNS: u32 = 64;

/// The turns of one balancer.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Of [`Strategy::RoundRobin`](super::Strategy::RoundRobin).
    pub(crate) plain: Rotation,
    /// Of [`Strategy::Weighted`](super::Strategy::Weighted).
    pub(crate) weighted: Rotation,
}

impl Turns {
    /// Turns that begin anywhere, as two random numbers say.
    pub(crate) fn beginning_at(plain: u64, weighted: u64) -> Self {
        Self { plain: Rotation::beginning_at(plain), weighted: Rotation::beginning_at(weighted) }
    }
}

/// The position of a turn, shared by the pickers of a balancer. Each position goes to exactly one of them.
///
/// Pickers with few picks take strict turns. One shared counter would be slow for many picks, because the picks of all
/// threads would fight for its cache line. So a busy picker goes on from its last shared position by itself: its own picks
/// are a round robin too, and a sum of round robins is one. Its own turns are added to the shared position when it ends, so
/// that the next picker begins after it.
#[derive(Debug)]
pub(crate) struct Rotation {
    next: CachePadded<AtomicU64>,
}

impl Rotation {
    /// The upper bits of the number, so that no counter overflows.
    fn beginning_at(random: u64) -> Self {
        Self { next: CachePadded::new(AtomicU64::new(random >> 16)) }
    }

    pub(crate) fn position(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Moves the turn, after an update that changes what a position means.
    pub(crate) fn set_position(&self, position: u64) {
        self.next.store(position, Relaxed);
    }
}

/// The place of one picker in a rotation.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The next slot, once the picker goes on by itself.
    slot: usize,
    /// The number of shared turns that it still takes.
    shared_left: u32,
    /// The turns that it took by itself.
    own: u64,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { slot: 0, shared_left: SHARED_TURNS, own: 0 }
    }
}

impl Cursor {
    /// Takes the next position, as an index below `length`, which must not be 0.
    #[inline]
    pub(crate) fn advance(&mut self, rotation: &Rotation, length: usize) -> usize {
        if self.shared_left > 0 {
            return self.take_shared(rotation, length);
        }
        let slot = self.slot;
        self.slot = if slot + 1 == length { 0 } else { slot + 1 };
        self.own += 1;
        slot
    }

    #[cold]
    fn take_shared(&mut self, rotation: &Rotation, length: usize) -> usize {
        let slot = (rotation.next.fetch_add(1, Relaxed) % length as u64) as usize;
        self.shared_left -= 1;
        self.slot = (slot + 1) % length;
        slot
    }

    /// The next slot of a picker that goes on by itself.
    pub(crate) fn own_slot(&self) -> Option<usize> {
        (self.shared_left == 0).then_some(self.slot)
    }

    /// Moves a picker that goes on by itself, after an update that changes what a slot means. `length` is that of the turn
    /// now, and `slot` may be beyond it.
    pub(crate) fn move_to(&mut self, slot: usize, length: usize) {
        self.slot = if length == 0 { slot } else { slot % length };
    }

    /// Ends a picker: the next one begins after the turns that it took by itself.
    pub(crate) fn end(&self, rotation: &Rotation) {
        if self.own > 0 {
            rotation.next.fetch_add(self.own, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation() -> Rotation {
        Rotation::beginning_at(0)
    }

    #[test]
    fn pickers_of_one_pick_take_strict_turns() {
        let rotation = rotation();
        let slots: Vec<usize> = (0..7).map(|_| Cursor::default().advance(&rotation, 3)).collect();
        assert_eq!(slots, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_busy_picker_goes_on_by_itself_and_the_next_one_begins_after_it() {
        let rotation = rotation();
        let mut busy = Cursor::default();
        for pick in 0..5_000 {
            assert_eq!(busy.advance(&rotation, 7), pick % 7);
        }
        assert_eq!(rotation.position(), u64::from(SHARED_TURNS));
        busy.end(&rotation);
        assert_eq!(rotation.position(), 5_000);
    }

    #[test]
    fn busy_pickers_do_not_step_on_each_other() {
        let rotation = rotation();
        let (mut one, mut other) = (Cursor::default(), Cursor::default());
        let mut counts = [0_u32; 7];
        for _ in 0..3_500 {
            counts[one.advance(&rotation, 7)] += 1;
            counts[other.advance(&rotation, 7)] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(1_000) <= 2), "{counts:?}");
    }

    #[test]
    fn a_place_beyond_a_shorter_turn_wraps() {
        let rotation = rotation();
        let mut cursor = Cursor::default();
        (0..SHARED_TURNS + 6).for_each(|_| assert!(cursor.advance(&rotation, 100) < 70));
        assert_eq!(cursor.own_slot(), Some(70));
        cursor.move_to(70, 0);
        cursor.move_to(70, 7);
        assert_eq!(cursor.advance(&rotation, 7), 0);
    }
}
