//! How the records of each origin came here, for people who ask why a node believes what it believes.
//!
//! Nothing in the protocol depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::identity::NodeId;
use crate::base::limits::{MAX_ORIGIN_TOMBSTONES, MAX_ORIGINS};
use crate::base::time::Time;
use crate::catalog::record::NodeRecord;

/// The way in which records of an origin came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A rumor that was passed on.
    Rumor,
    /// A rumor that answered a pull of ours, most likely.
    Pull,
    /// A sync session.
    Session,
}

/// The latest news of an origin's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it came.
    pub at: Time,
    /// The node that told it.
    pub from: NodeId,
    /// How.
    pub by: Route,
}

/// That an operator declared a node gone for good, and who it was: its records are dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct ForceLeft {
    /// How the node described itself.
    pub record: Arc<NodeRecord>,
    /// When we learned it.
    pub at: Time,
    /// The node that told us; ourselves when the operator did.
    pub told_by: NodeId,
}

/// The latest news of every origin, and the nodes that were declared gone: at most [`MAX_ORIGIN_TOMBSTONES`] of them.
#[derive(Debug, Default)]
pub(crate) struct Provenances {
    latest: BTreeMap<NodeId, Arrival>,
    force_leaves: BTreeMap<NodeId, ForceLeft>,
}

impl Provenances {
    pub(crate) fn get(&self, origin: NodeId) -> Option<Arrival> {
        self.latest.get(&origin).copied()
    }

    /// Members and origins are bounded alike; who is both counts once.
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

    /// The node writes records again.
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
    fn the_latest_is_kept_of_each_and_nothing_of_who_is_forgotten() {
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
