//! Rendezvous hashing by a table, with a bound on every share.

use super::{
    hash::{below, mix},
    roster::Roster,
};

/// The slots of a [`Rendezvous`] table: a prime.
pub const RENDEZVOUS_SLOTS: u32 = 131_071;

/// The most slots of a target, in percent of its fair share.
pub const RENDEZVOUS_BOUND_PERCENT: u64 = 105;

const FREE: u16 = u16::MAX;

/// A target of weight 1 takes 2^40 units of time from one slot to the next.
const STEP_BITS: u32 = 40;

/// A lookup table from hashes to targets. A target that leaves moves almost no keys but its own, but shares are even only
/// to within 5 %.
///
/// The highest random weight (HRW) mapping of Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates",
/// IEEE/ACM ToN 6(1), 1998, applied to slots instead of keys. Scores are arrival times: every target visits all slots in an
/// order of its own, faster with a larger weight, and a slot belongs to the first target to arrive. An arrival does not
/// depend on the other targets, so the slots of a target that leaves are the only ones to change. The bound is that of
/// Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018: a target with its full share
/// takes no further slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendezvous {
    slots: Box<[u16]>,
}

/// A target on its way through the slots.
struct Visitor {
    position: u32,
    skip: u32,
    /// When it arrives at its next slot.
    time: u64,
    /// The time from one slot to the next.
    step: u64,
    /// The slots that it may still take.
    room: u32,
}

impl Rendezvous {
    /// Fills the table. An empty roster gives an empty table.
    pub fn new(roster: &Roster) -> Self {
        if roster.is_empty() {
            return Self::default();
        }
        let visitors = (0..roster.len()).map(|index| Visitor::new(roster, index)).collect();
        Self {
            slots: if roster.is_uniform() {
                visit_in_turn(visitors)
            } else {
                visit_by_time(visitors, roster.total_weight())
            },
        }
    }

    /// The target for a hash, or `None` where there is no target.
    #[inline]
    pub fn get(&self, hash: u64) -> Option<usize> {
        let slot = below(RENDEZVOUS_SLOTS as usize, hash);
        self.slots.get(slot).map(|&index| usize::from(index))
    }

    /// The target of each slot.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }
}

impl Visitor {
    fn new(roster: &Roster, index: usize) -> Self {
        let (hash, weight) = (roster.hashes()[index], u64::from(roster.weights()[index]));
        let step = (1 << STEP_BITS) / weight;
        let allowed = weight * u64::from(RENDEZVOUS_SLOTS) * RENDEZVOUS_BOUND_PERCENT;
        Self {
            position: (hash % u64::from(RENDEZVOUS_SLOTS)) as u32,
            skip: (mix(hash) % u64::from(RENDEZVOUS_SLOTS - 1) + 1) as u32,
            // A random moment within the first step.
            time: mix(hash ^ 0x5bd1) % step,
            step,
            room: allowed.div_ceil(100 * roster.total_weight()) as u32,
        }
    }

    /// Takes the slot at which it has arrived if that is free, and walks on. Returns whether it took the slot.
    #[inline]
    fn visit(&mut self, slots: &mut [u16], index: u16) -> bool {
        let slot = &mut slots[self.position as usize];
        let free = *slot == FREE && self.room > 0;
        if free {
            *slot = index;
            self.room -= 1;
        }
        self.walk();
        free
    }

    fn walk(&mut self) {
        self.time += self.step;
        self.position += self.skip;
        if self.position >= RENDEZVOUS_SLOTS {
            self.position -= RENDEZVOUS_SLOTS;
        }
    }
}

/// Makes all visits in the order of arrival until every slot is taken. Arrivals are sorted for one span of time after the
/// other, each so short that it has about one arrival for each visitor. That is faster than a heap.
fn visit_by_time(mut visitors: Vec<Visitor>, total_weight: u64) -> Box<[u16]> {
    let mut slots = vec![FREE; RENDEZVOUS_SLOTS as usize].into_boxed_slice();
    let span = (((visitors.len() as u64) << STEP_BITS) / total_weight).max(1);
    let mut arrivals: Vec<u64> = Vec::with_capacity(2 * visitors.len());
    let (mut free, mut start) = (RENDEZVOUS_SLOTS, 0);
    while free > 0 {
        arrivals.clear();
        for (index, visitor) in
            (0..=u16::MAX).zip(&visitors).filter(|(_, visitor)| visitor.room > 0)
        {
            let times = (visitor.time..start + span).step_by(visitor.step as usize);
            arrivals.extend(times.map(|time| (time - start) << 16 | u64::from(index)));
        }
        arrivals.sort_unstable();
        for &arrival in &arrivals {
            let index = arrival as u16;
            free -= u32::from(visitors[usize::from(index)].visit(&mut slots, index));
        }
        start += span;
    }
    slots
}

/// Does the same for visitors of equal weight, whose first arrivals repeat in the same order for ever.
fn visit_in_turn(visitors: Vec<Visitor>) -> Box<[u16]> {
    let mut slots = vec![FREE; RENDEZVOUS_SLOTS as usize].into_boxed_slice();
    let mut turn: Vec<(u16, Visitor)> = (0..=u16::MAX).zip(visitors).collect();
    turn.sort_by_key(|(index, visitor)| (visitor.time, *index));
    let mut free = RENDEZVOUS_SLOTS;
    while free > 0 {
        for (index, visitor) in &mut turn {
            free -= u32::from(visitor.visit(&mut slots, *index));
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ids: &[String], weight: impl Fn(usize) -> u32) -> Rendezvous {
        Rendezvous::new(&Roster::new(
            ids.iter().enumerate().map(|(i, id)| (id.as_str(), weight(i))),
        ))
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("i-{i:05}")).collect()
    }

    #[test]
    fn no_share_exceeds_the_bound() {
        for (count, step) in [(1, 1), (3, 1), (10, 3), (100, 1), (1_000, 1)] {
            let weight = |i: usize| (i % step) as u32 + 1;
            let table = table(&ids(count), weight);
            let total: f64 = (0..count).map(|i| f64::from(weight(i))).sum();
            let mut counts = vec![0_u32; count];
            table.slots().iter().for_each(|&index| counts[usize::from(index)] += 1);
            for (i, &count) in counts.iter().enumerate() {
                let fair = f64::from(RENDEZVOUS_SLOTS) * f64::from(weight(i)) / total;
                assert!(
                    f64::from(count) <= (fair * 1.05).ceil(),
                    "target {i} has {count}, fair is {fair}"
                );
                assert!(f64::from(count) >= fair * 0.6, "target {i} has {count}, fair is {fair}");
            }
        }
    }

    #[test]
    fn a_target_that_leaves_moves_next_to_nothing_else() {
        let all = ids(100);
        let before = table(&all, |_| 1);
        let (mut moved, mut owned) = (0, 0);
        for gone in (0..100).step_by(10) {
            let mut rest = all.clone();
            rest.remove(gone);
            let after = table(&rest, |_| 1);
            for (&old, &new) in before.slots().iter().zip(after.slots()) {
                let new = usize::from(new) + usize::from(usize::from(new) >= gone);
                moved += usize::from(usize::from(old) != new);
                owned += usize::from(usize::from(old) == gone);
            }
        }
        let ratio = f64::from(moved as u32) / f64::from(owned as u32);
        assert!(ratio <= 1.05, "{ratio} times the minimum moved");
    }

    #[test]
    fn taking_turns_is_the_order_of_time() {
        for count in [1, 2, 50, 3_000] {
            let ids = ids(count);
            let roster = Roster::new(ids.iter().map(|id| (id.as_str(), 7)));
            let visitors = || (0..count).map(|index| Visitor::new(&roster, index)).collect();
            assert!(
                visit_in_turn(visitors()) == visit_by_time(visitors(), roster.total_weight()),
                "{count} targets"
            );
        }
    }

    #[test]
    fn nothing_maps_to_nothing() {
        assert_eq!(table(&[], |_| 1).get(7), None);
    }
}
