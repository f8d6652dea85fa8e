//! Maglev hashing, the default for keys.

use super::{
    hash::{below, mix},
    roster::{Roster, apportion},
    schedule::interleave,
};

/// The slots of a [`Maglev`] table: the smaller of the two primes that the paper evaluates.
pub const MAGLEV_SLOTS: u32 = 65_537;

const FREE: u16 = u16::MAX;

/// A lookup table from hashes to targets. Shares are even to within a slot, and few other keys move when a target leaves.
///
/// Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4,
/// pseudocode 1. The paper leaves weights open; they work as in Envoy's Maglev balancer, where a target takes turns as often as
/// its weight says. The turns come from the same stride schedule as weighted round robin, so the cost does not depend on how
/// unequal the weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev {
    slots: Box<[u16]>,
}

/// The walk of one target over the slots. It visits every slot, because their number is prime.
struct Walk {
    position: u32,
    skip: u32,
}

impl Maglev {
    /// Fills the table. An empty roster gives an empty table.
    pub fn new(roster: &Roster) -> Self {
        if roster.is_empty() {
            return Self { slots: Box::default() };
        }
        let mut slots = vec![FREE; MAGLEV_SLOTS as usize].into_boxed_slice();
        let mut walks: Vec<Walk> = roster.hashes().iter().map(|&hash| Walk::new(hash)).collect();
        if roster.is_uniform() {
            let turns = (0..roster.len()).cycle().take(MAGLEV_SLOTS as usize);
            turns.for_each(|index| walks[index].claim(&mut slots, index));
        } else {
            let turns = interleave(&apportion(roster.weights(), MAGLEV_SLOTS));
            turns
                .iter()
                .for_each(|&index| walks[usize::from(index)].claim(&mut slots, usize::from(index)));
        }
        Self { slots }
    }

    /// The target for a hash, or `None` where there is no target.
    #[inline]
    pub fn get(&self, hash: u64) -> Option<usize> {
        let slot = below(MAGLEV_SLOTS as usize, hash);
        self.slots.get(slot).map(|&index| usize::from(index))
    }

    /// The target of each slot.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }
}

impl Walk {
    fn new(hash: u64) -> Self {
        let offset = hash % u64::from(MAGLEV_SLOTS);
        let skip = mix(hash) % u64::from(MAGLEV_SLOTS - 1) + 1;
        Self { position: offset as u32, skip: skip as u32 }
    }

    /// Takes the next free slot.
    fn claim(&mut self, slots: &mut [u16], index: usize) {
        while slots[self.position as usize] != FREE {
            self.advance();
        }
        slots[self.position as usize] = index as u16;
        self.advance();
    }

    fn advance(&mut self) {
        self.position += self.skip;
        if self.position >= MAGLEV_SLOTS {
            self.position -= MAGLEV_SLOTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(count: usize, weight: impl Fn(usize) -> u32) -> Roster {
        let ids: Vec<String> = (0..count).map(|i| format!("i-{i:05}")).collect();
        Roster::new(ids.iter().enumerate().map(|(i, id)| (id.as_str(), weight(i))))
    }

    fn counts(table: &Maglev, count: usize) -> Vec<u32> {
        let mut counts = vec![0; count];
        table.slots().iter().for_each(|&index| counts[usize::from(index)] += 1);
        counts
    }

    #[test]
    fn equal_weights_differ_by_at_most_one_slot() {
        for count in [1, 2, 10, 100, 1000] {
            let counts = counts(&Maglev::new(&roster(count, |_| 3)), count);
            assert!(
                counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
                "{count} targets"
            );
        }
    }

    #[test]
    fn weights_are_respected_to_within_a_slot() {
        let counts = counts(&Maglev::new(&roster(8, |i| i as u32 + 1)), 8);
        for (i, &count) in counts.iter().enumerate() {
            let fair = f64::from(MAGLEV_SLOTS) * (i + 1) as f64 / 36.0;
            assert!(
                (f64::from(count) - fair).abs() <= 1.0,
                "target {i} has {count} slots, fair is {fair}"
            );
        }
    }

    #[test]
    fn a_very_light_target_keeps_a_slot() {
        let counts = counts(&Maglev::new(&roster(1000, |i| if i == 0 { 65_535 } else { 1 })), 1000);
        assert!(counts.iter().all(|&count| count >= 1));
    }

    #[test]
    fn nothing_maps_to_nothing() {
        assert_eq!(Maglev::new(&roster(0, |_| 1)).get(7), None);
    }
}
