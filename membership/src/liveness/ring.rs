//! The ring: the members in the order of the hashes of their node ids. All nodes place a member alike.

use xxhash_rust::xxh3::xxh3_64;

use crate::base::identity::NodeId;

/// The place of a node on the ring.
pub(crate) fn position(node: NodeId) -> u64 {
    xxh3_64(&node.0.to_le_bytes())
}

/// Members in the order of their places on the ring.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    places: Vec<(u64, NodeId)>,
}

impl Ring {
    /// Adds a member, if it is not on the ring.
    pub(crate) fn insert(&mut self, node: NodeId) {
        let place = (position(node), node);
        if let Err(at) = self.places.binary_search(&place) {
            self.places.insert(at, place);
        }
    }

    /// Removes a member, if it is on the ring.
    pub(crate) fn remove(&mut self, node: NodeId) {
        if let Ok(at) = self.places.binary_search(&(position(node), node)) {
            self.places.remove(at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The member at an index, for random choices.
    pub(crate) fn get(&self, index: usize) -> Option<NodeId> {
        self.places.get(index).map(|(_, node)| *node)
    }

    /// The member `offset` places after a node that is not on the ring itself. Offset 1 is the next member, and the
    /// length of the ring is the previous one.
    pub(crate) fn at_offset(&self, of: NodeId, offset: usize) -> Option<NodeId> {
        let place = (self.rank(of) + offset).checked_sub(1)?.checked_rem(self.len())?;
        self.get(place)
    }

    /// All members around the ring, beginning with the next one after `of`. `of` need not be on the ring, and is left
    /// out.
    pub(crate) fn successors(&self, of: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let (before, after) = self.places.split_at(self.rank(of));
        let around = after.iter().chain(before).map(|(_, node)| *node);
        around.filter(move |node| *node != of)
    }

    /// All members around the ring backwards, beginning with the one before `of`. `of` is left out.
    pub(crate) fn predecessors(&self, of: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let (before, after) = self.places.split_at(self.rank(of));
        let around = before.iter().rev().chain(after.iter().rev()).map(|(_, node)| *node);
        around.filter(move |node| *node != of)
    }

    /// The members for which `keep` holds, as a ring of their own.
    pub(crate) fn filtered(&self, keep: impl Fn(&NodeId) -> bool) -> Self {
        Self { places: self.places.iter().filter(|(_, node)| keep(node)).copied().collect() }
    }

    /// The number of members before the place of a node.
    pub(crate) fn rank(&self, of: NodeId) -> usize {
        let own = (position(of), of);
        self.places.partition_point(|place| *place < own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_and_predecessors_agree_on_the_monitors_of_each_member() {
        let nodes: Vec<NodeId> = (0..12).map(NodeId).collect();
        let without = |left_out: NodeId| {
            let mut ring = Ring::default();
            nodes.iter().filter(|node| **node != left_out).for_each(|node| ring.insert(*node));
            ring
        };
        for a in &nodes {
            let ring = without(*a);
            let watched: Vec<NodeId> = ring.successors(*a).take(5).collect();
            assert_eq!(watched.len(), 5);
            for b in nodes.iter().filter(|b| *b != a) {
                let watchers: Vec<NodeId> = without(*b).predecessors(*b).take(5).collect();
                assert_eq!(watched.contains(b), watchers.contains(a), "{a} and {b}");
            }
        }
    }

    #[test]
    fn the_way_around_the_ring_visits_each_member_once() {
        let mut ring = Ring::default();
        assert_eq!(ring.successors(NodeId(1)).count(), 0);
        for node in 0..7 {
            ring.insert(NodeId(node));
            ring.insert(NodeId(node));
        }
        assert_eq!(ring.successors(NodeId(3)).count(), 6);
        assert_eq!(ring.predecessors(NodeId(99)).count(), 7);
        ring.remove(NodeId(3));
        ring.remove(NodeId(3));
        assert_eq!(ring.len(), 6);
        let around: Vec<_> = (1..=6).filter_map(|n| ring.at_offset(NodeId(3), n)).collect();
        assert_eq!(around, ring.successors(NodeId(3)).collect::<Vec<_>>());
    }
}
