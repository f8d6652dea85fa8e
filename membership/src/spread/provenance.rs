//! Provenance: how the records of each origin came here. It serves people who ask why a node believes what it believes;
//! the protocol does not depend on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::identity::NodeId;
use crate::base::limits::{MAX_ORIGIN_TOMBSTONES, MAX_ORIGINS};
use crate::base::time::Time;
use crate::catalog::record::NodeRecord;

/// The way in which records of an origin arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A rumor that was passed on.
    Rumor,
    /// A rumor about an origin that we had pulled, so most likely the answer to a pull.
    Pull,
    /// A sync session.
    Session,
}

/// The latest news of an origin's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The time of the arrival.
    pub at: Time,
    /// The node that sent the news.
    pub from: NodeId,
    /// The way in which the news arrived.
    pub by: Route,
}

/// A node that an operator made force-leave, so that its records were dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct ForceLeft {
    /// The node record that was dropped.
    pub record: Arc<NodeRecord>,
    /// The time at which we learned it.
    pub at: Time,
    /// The node that told us; ourselves when the operator did.
    pub told_by: NodeId,
}

/// The latest news of every origin, and at most [`MAX_ORIGIN_TOMBSTONES`] nodes that were forced to leave.
#[derive(Debug, Default)]
pub(crate) struct Provenances {
    latest: BTreeMap<NodeId, Arrival>,
    force_leaves: BTreeMap<NodeId, ForceLeft>,
}

impl Provenances {
    pub(crate) fn get(&self, origin: NodeId) -> Option<Arrival> {
        self.latest.get(&origin).copied()
    }

    /// Notes the latest news of an origin. Members and origins have the same bound, hence twice as many entries at
    /// most; a node that is both has one.
    pub(crate) fn news(&mut self, origin: NodeId, arrival: Arrival) {
        if self.latest.len() < 2 * MAX_ORIGINS || self.latest.contains_key(&origin) {
            self.latest.insert(origin, arrival);
        }
    }

    pub(crate) fn force_left(&self, node: NodeId) -> Option<&ForceLeft> {
        self.force_leaves.get(&node)
    }

    pub(crate) fn note_force_leave(&mut self, node: NodeId, force_left: ForceLeft) {
        if self.force_leaves.len() >= MAX_ORIGIN_TOMBSTONES
            && !self.force_leaves.contains_key(&node)
        {
            let oldest = self.force_leaves.iter().min_by_key(|(_, force_left)| force_left.at);
            let oldest = oldest.map(|(node, _)| *node);
            oldest.and_then(|node| self.force_leaves.remove(&node));
        }
        self.force_leaves.insert(node, force_left);
    }

    /// Forgets that the node was forced to leave: it writes records again.
    pub(crate) fn returned(&mut self, node: NodeId) {
        self.force_leaves.remove(&node);
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.latest.remove(&node);
        self.force_leaves.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_kept_of_each_node_and_nothing_of_forgotten_ones() {
        let mut all = Provenances::default();
        let (a, b) = (NodeId(1), NodeId(2));
        let arrival = |ms, by| Arrival { at: Time::from_millis(ms), from: b, by };
        all.news(a, arrival(1, Route::Rumor));
        all.news(a, arrival(2, Route::Session));
        assert_eq!(all.get(a), Some(arrival(2, Route::Session)));
        assert_eq!(all.get(b), None);
        all.forget(a);
        assert_eq!(all.get(a), None);
    }
}
