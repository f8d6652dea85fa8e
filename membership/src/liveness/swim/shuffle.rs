//! Shuffles: a way in which all members choose other members, and each member is chosen exactly once.

/// Rounds of a shuffle (Luby, Rackoff, "How to construct pseudorandom permutations from pseudorandom functions", 1988).
const ROUNDS: u64 = 4;

/// The place to which a shuffle of `len` places moves a place. One seed is one shuffle: no two places move to one.
///
/// A Feistel network shuffles a power of four that is not much larger, and is applied until it yields a place.
pub(super) fn shuffled(place: usize, len: usize, seed: u64) -> usize {
    debug_assert!(place < len);
    let half = (u64::BITS - (len as u64).leading_zeros()).div_ceil(2).max(1);
    let mask = (1 << half) - 1;
    let mut at = place as u64;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mixed(seed ^ right << 3 ^ round) & mask));
        }
        at = left << half | right;
        if at < len as u64 {
            return at as usize;
        }
    }
}

/// A hash of a number (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_places_move_to_one() {
        for len in (1..70).chain([255, 256, 257, 1_000]) {
            for seed in 0..5 {
                let places: BTreeSet<usize> =
                    (0..len).map(|place| shuffled(place, len, seed)).collect();
                assert_eq!(places, (0..len).collect(), "{len}, seed {seed}");
            }
        }
    }

    #[test]
    fn seeds_move_a_place_everywhere() {
        let mut counts = [0; 100];
        (0..10_000).for_each(|seed| counts[shuffled(7, 100, seed)] += 1);
        assert!(counts.iter().all(|count| (60..=145).contains(count)), "{counts:?}");
    }
}
