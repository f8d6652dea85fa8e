//! The classic consistent-hash ring.

use super::{hash::mix, roster::Roster};

/// The points on a [`Ring`] of a target of average weight.
pub const VIRTUAL_NODES: u32 = 150;

/// A ring of virtual nodes: a key belongs to the first node at or after its hash.
///
/// Karger et al., "Consistent Hashing and Random Trees", STOC 1997; virtual nodes as in Stoica et al., "Chord: A Scalable
/// Peer-to-peer Lookup Service for Internet Applications", SIGCOMM 2001. A target of average weight has [`VIRTUAL_NODES`]
/// points; others have points in proportion to their weights. A look-up needs no search: an index by the leading bits of the
/// hash leads to within a node or two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    points: Box<[Point]>,
    /// For each value of the leading bits, the first point at or after it.
    index: Box<[u32]>,
    shift: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    hash: u64,
    target: u32,
}

impl Ring {
    /// Places the points. An empty roster gives an empty ring.
    pub fn new(roster: &Roster) -> Self {
        if roster.is_empty() {
            return Self::default();
        }
        let mut points = Vec::with_capacity(roster.len() * VIRTUAL_NODES as usize);
        for (target, (&hash, &weight)) in roster.hashes().iter().zip(roster.weights()).enumerate() {
            let nodes = Self::nodes(roster, weight);
            points.extend(
                (0..nodes).map(|node| Point { hash: mix(hash ^ mix(node)), target: target as u32 }),
            );
        }
        points.sort_unstable();
        let bits = points.len().next_power_of_two().trailing_zeros().max(1);
        let shift = u64::BITS - bits;
        let mut index = Vec::with_capacity(1 << bits);
        let mut next = 0;
        for leading in 0..1_u64 << bits {
            while next < points.len() && points[next].hash >> shift < leading {
                next += 1;
            }
            index.push(next as u32);
        }
        Self { points: points.into(), index: index.into(), shift }
    }

    fn nodes(roster: &Roster, weight: u32) -> u64 {
        let share = u64::from(weight) * u64::from(VIRTUAL_NODES) * roster.len() as u64;
        ((share + roster.total_weight() / 2) / roster.total_weight()).max(1)
    }

    /// The target for a hash, or `None` where there is no target.
    #[inline]
    pub fn get(&self, hash: u64) -> Option<usize> {
        let start = *self.index.get((hash >> self.shift.min(63)) as usize)? as usize;
        let after = self.points[start..].iter().find(|point| point.hash >= hash);
        after.or(self.points.first()).map(|point| point.target as usize)
    }

    /// The targets from a hash onwards around the ring, each once: the places for replicas of a key.
    pub fn successors(&self, hash: u64) -> impl Iterator<Item = usize> {
        let start = self.points.partition_point(|point| point.hash < hash);
        let (wrapped, first) = self.points.split_at(start);
        let mut seen = std::collections::BTreeSet::new();
        first
            .iter()
            .chain(wrapped)
            .map(|point| point.target as usize)
            .filter(move |&target| seen.insert(target))
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(count: usize) -> Roster {
        let ids: Vec<String> = (0..count).map(|i| format!("i-{i}")).collect();
        Roster::new(ids.iter().map(|id| (id.as_str(), 1)))
    }

    #[test]
    fn every_target_has_its_virtual_nodes() {
        assert_eq!(Ring::new(&roster(10)).len(), 1_500);
        let weighted = Ring::new(&Roster::new([("a", 1), ("b", 3)]));
        assert_eq!(weighted.len(), 300);
        assert_eq!(weighted.points.iter().filter(|point| point.target == 0).count(), 75);
    }

    #[test]
    fn the_index_agrees_with_a_search() {
        for count in [1, 2, 7, 100] {
            let ring = Ring::new(&roster(count));
            for key in (0..2_000).map(mix).chain([0, u64::MAX]) {
                assert_eq!(ring.get(key), ring.successors(key).next());
            }
        }
    }

    #[test]
    fn successors_name_every_target_once() {
        let mut targets: Vec<usize> = Ring::new(&roster(20)).successors(mix(3)).collect();
        targets.sort_unstable();
        assert_eq!(targets, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_target_that_leaves_moves_only_its_own_keys() {
        let all = roster(20);
        let ids: Vec<String> = (0..19).map(|i| format!("i-{i}")).collect();
        let rest = Ring::new(&Roster::new(ids.iter().map(|id| (id.as_str(), 1))));
        let ring = Ring::new(&all);
        for key in (0..5_000).map(mix) {
            let before = ring.get(key);
            assert!(before == Some(19) || before == rest.get(key));
        }
    }

    #[test]
    fn nothing_maps_to_nothing() {
        assert_eq!(Ring::new(&roster(0)).get(1), None);
    }
}
