//! Parts: which gateway forwards which copy over which link.

use xxhash_rust::xxh3::xxh3_64;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::Identity;
use crate::datacenters::seen::Datacenters;

/// The number of parts, and of gateways of a datacenter.
pub(crate) const PARTS: usize = 3;
/// Copies of each change over each link.
pub(crate) const COPIES: usize = 2;

/// Some of the three parts: bit `n` stands for part `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Parts(pub(crate) u8);

impl Parts {
    /// One part.
    pub(crate) fn one(part: usize) -> Self {
        Self(1 << (part % PARTS))
    }

    /// These parts and those.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a part is one of them.
    pub(crate) fn has(self, part: usize) -> bool {
        self.0 & Self::one(part).0 != 0
    }

    /// Each of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..PARTS).filter(move |part| self.has(*part))
    }
}

/// The part to which a copy belongs that goes from one datacenter to another.
pub(crate) fn part_of(from: DatacenterId, to: DatacenterId, copy: usize) -> usize {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&from.0.to_le_bytes());
    bytes[8..].copy_from_slice(&to.0.to_le_bytes());
    (xxh3_64(&bytes) % PARTS as u64) as usize + copy % PARTS
}

/// The member of a datacenter that has a part, at the given attempt: its gateway at first, then substitutes. In a datacenter
/// of few members one has several parts.
pub(crate) fn holder(
    far: &dyn Datacenters,
    of: DatacenterId,
    part: usize,
    attempt: usize,
) -> Option<Identity> {
    let part = part % PARTS;
    let rank = part + PARTS * attempt;
    far.candidate(of, rank).or_else(|| {
        let count = (0..rank).take_while(|rank| far.candidate(of, *rank).is_some()).count();
        let rank = (count > 0).then(|| (part + attempt) % count)?;
        far.candidate(of, rank)
    })
}

/// The gateway of a datacenter that repairs what it lacks of another one: the primary, or the second.
pub(crate) fn repairer(
    far: &dyn Datacenters,
    of: DatacenterId,
    other: DatacenterId,
    place: usize,
) -> Option<Identity> {
    holder(far, of, part_of(of, other, place), 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_copies_of_a_link_belong_to_two_parts_and_links_are_spread_over_all() {
        let mut links: BTreeMap<usize, usize> = BTreeMap::new();
        for to in 0..300 {
            let part = |copy| part_of(DatacenterId(7), DatacenterId(to), copy) % PARTS;
            assert_ne!(part(0), part(1));
            *links.entry(part(0)).or_default() += 1;
        }
        assert!(links.len() == PARTS && links.values().all(|count| *count > 60), "{links:?}");
    }

    #[test]
    fn parts_are_a_set() {
        let parts = Parts::one(0).and(Parts::one(2));
        assert_eq!(parts.iter().collect::<Vec<_>>(), [0, 2]);
        assert!(parts.has(3) && !parts.has(1), "a part is taken modulo three");
    }
}
