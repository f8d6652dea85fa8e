//! The places for connections that peers hold to this agent: one for each node, the monitors of this agent first.

use std::collections::{BTreeMap, BTreeSet};

use hobnob_membership::NodeId;

/// The connections that peers hold, by the node at the other end.
#[derive(Debug)]
pub(super) struct Places<C> {
    limit: usize,
    monitors: BTreeSet<NodeId>,
    revoked: BTreeSet<NodeId>,
    taken: BTreeMap<NodeId, Place<C>>,
    next_number: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Place<C> {
    /// Tells the connections of one node apart. A lower number has held its place for longer.
    number: u64,
    connection: C,
}

/// A place that was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given<C> {
    pub(super) number: u64,
    /// The earlier connection of the same node.
    pub(super) earlier: Option<C>,
    /// The connection of another node, which had to give way.
    pub(super) displaced: Option<C>,
}

impl<C> Places<C> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            monitors: BTreeSet::new(),
            revoked: BTreeSet::new(),
            taken: BTreeMap::new(),
            next_number: 0,
            is_closed: false,
        }
    }

    /// The number of places that are taken.
    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    /// These nodes come first from now on.
    pub(super) fn set_monitors(&mut self, monitors: impl IntoIterator<Item = NodeId>) {
        self.monitors = monitors.into_iter().collect();
    }

    /// These nodes have no place from now on. Returns the connections of those that had one.
    pub(super) fn set_revoked(&mut self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<C> {
        self.revoked = nodes.into_iter().collect();
        let revoked = self.revoked.iter().filter_map(|node| self.taken.remove(node));
        revoked.map(|place| place.connection).collect()
    }

    /// Gives a place to the connection of a node. A later connection of a node takes the place of the earlier one, whose
    /// other end may be gone without a word. When all places are taken, a monitor takes the place of the node that has
    /// held one for longest and is no monitor. `None` if there is no place.
    pub(super) fn take(&mut self, node: NodeId, connection: C) -> Option<Given<C>> {
        if self.is_closed || self.revoked.contains(&node) {
            return None;
        }
        let earlier = self.taken.remove(&node);
        let mut displaced = None;
        if earlier.is_none() && self.taken.len() >= self.limit {
            displaced = self.taken.remove(&self.displaced_by(node)?);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.taken.insert(node, Place { number, connection });
        let [earlier, displaced] = [earlier, displaced].map(|place| Some(place?.connection));
        Some(Given { number, earlier, displaced })
    }

    /// The node that gives its place to this one, if one does.
    fn displaced_by(&self, node: NodeId) -> Option<NodeId> {
        let others = self.taken.iter().filter(|(other, _)| !self.monitors.contains(other));
        let oldest = others.min_by_key(|(_, place)| place.number).map(|(other, _)| *other);
        oldest.filter(|_| self.monitors.contains(&node))
    }

    /// Frees the place of a connection, unless it was given to another.
    pub(super) fn free(&mut self, node: NodeId, number: u64) {
        if self.taken.get(&node).is_some_and(|place| place.number == number) {
            self.taken.remove(&node);
        }
    }

    /// Gives no more places. Returns the connections that had one.
    pub(super) fn close(&mut self) -> impl Iterator<Item = C> + use<C> {
        self.is_closed = true;
        std::mem::take(&mut self.taken).into_values().map(|place| place.connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the place, and the connection that had it before.
    fn take(
        places: &mut Places<&'static str>,
        node: u64,
        name: &'static str,
    ) -> Option<(u64, &'static str)> {
        let given = places.take(NodeId(node), name)?;
        Some((given.number, given.earlier.or(given.displaced).unwrap_or("")))
    }

    #[test]
    fn a_node_has_one_place_and_its_later_connection_takes_it() {
        let mut places = Places::new(2);
        assert_eq!(take(&mut places, 1, "first"), Some((0, "")));
        assert_eq!(take(&mut places, 1, "second"), Some((1, "first")));
        assert_eq!(places.len(), 1);
        places.free(NodeId(1), 0);
        assert_eq!(places.len(), 1, "the first had none any more");
        places.free(NodeId(1), 1);
        assert_eq!(places.len(), 0);
    }

    #[test]
    fn a_monitor_displaces_the_oldest_that_is_none_and_nobody_displaces_a_monitor() {
        let mut places = Places::new(3);
        places.set_monitors([7, 8, 9, 10].map(NodeId));
        let mut taken_by = |node, name| take(&mut places, node, name);
        assert_eq!(taken_by(7, "monitor"), Some((0, "")));
        assert_eq!(taken_by(2, "older"), Some((1, "")));
        assert_eq!(taken_by(1, "newer"), Some((2, "")));
        assert_eq!(taken_by(3, "a stranger"), None);
        assert_eq!(taken_by(8, "a second monitor"), Some((3, "older")));
        assert_eq!(taken_by(9, "a third"), Some((4, "newer")));
        assert_eq!(taken_by(10, "a fourth"), None, "all places are taken by monitors");
        assert_eq!(taken_by(7, "monitor, again"), Some((5, "monitor")), "its own place");
        places.set_monitors([NodeId(10)]);
        let displaced = take(&mut places, 10, "the only one");
        assert_eq!(displaced, Some((6, "a second monitor")));
    }

    #[test]
    fn a_revoked_node_loses_its_place_and_gets_none() {
        let mut places = Places::new(3);
        take(&mut places, 1, "one");
        take(&mut places, 2, "two");
        assert_eq!(places.set_revoked([NodeId(2), NodeId(3)]), ["two"]);
        assert_eq!((take(&mut places, 2, "two"), take(&mut places, 3, "three")), (None, None));
        assert_eq!(places.len(), 1);
        assert!(places.set_revoked([2, 3].map(NodeId)).is_empty());
    }

    #[test]
    fn closed_places_are_given_to_nobody() {
        let mut places = Places::new(2);
        take(&mut places, 1, "one");
        take(&mut places, 2, "two");
        assert_eq!(places.close().collect::<Vec<_>>(), ["one", "two"]);
        places.free(NodeId(1), 0);
        assert_eq!((places.len(), take(&mut places, 3, "three")), (0, None));
    }
}
