//! Where a node's knowledge of the others came from, for people who ask why it believes what it believes.
//!
//! Nothing in the protocol depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::NodeId;
use crate::limits::{MAX_GRAVES, MAX_ORIGINS};
use crate::record::NodeRecord;
use crate::time::Time;

/// How we heard a node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A packet of SWIM's.
    Swim,
    /// A ping, or the answer to one of ours.
    Ping,
    /// A question about a suspect, or a vote.
    Vote,
    /// A comparison of members.
    Members,
    /// A rumor that it passed on.
    Rumor,
    /// A digest of its catalog.
    Digest,
    /// A request for repair.
    Pull,
    /// A sync session.
    Session,
}

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

/// When we last heard a node itself, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at: Time,
    /// By what.
    pub by: Sign,
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

/// What came from a node, and of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// When we last heard the node itself.
    pub heard: Option<Heard>,
    /// The latest news of its records.
    pub news: Option<Arrival>,
}

/// That an operator declared a node gone for good, and who it was: its records are dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Burial {
    /// How the node described itself.
    pub record: Arc<NodeRecord>,
    /// When we learned it.
    pub at: Time,
    /// The node that told us; ourselves when the operator did.
    pub told_by: NodeId,
}

/// The provenance of every node that we know of, and who was declared gone: at most [`MAX_GRAVES`] of them.
#[derive(Debug, Default)]
pub(crate) struct Provenances {
    nodes: BTreeMap<NodeId, Provenance>,
    burials: BTreeMap<NodeId, Burial>,
}

impl Provenances {
    pub(crate) fn get(&self, node: NodeId) -> Provenance {
        self.nodes.get(&node).copied().unwrap_or_default()
    }

    pub(crate) fn heard(&mut self, node: NodeId, by: Sign, at: Time) {
        if let Some(known) = self.entry(node) {
            known.heard = Some(Heard { at, by });
        }
    }

    pub(crate) fn news(&mut self, origin: NodeId, from: NodeId, by: Route, at: Time) {
        if let Some(known) = self.entry(origin) {
            known.news = Some(Arrival { at, from, by });
        }
    }

    pub(crate) fn burial(&self, node: NodeId) -> Option<&Burial> {
        self.burials.get(&node)
    }

    pub(crate) fn buried(&mut self, node: NodeId, burial: Burial) {
        if self.burials.len() >= MAX_GRAVES && !self.burials.contains_key(&node) {
            let oldest = self.burials.iter().min_by_key(|(_, burial)| burial.at);
            let oldest = oldest.map(|(node, _)| *node);
            oldest.and_then(|node| self.burials.remove(&node));
        }
        self.burials.insert(node, burial);
    }

    /// The node writes records again.
    pub(crate) fn returned(&mut self, node: NodeId) {
        self.burials.remove(&node);
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.burials.remove(&node);
    }

    /// Members and origins are bounded alike; who is both counts once.
    fn entry(&mut self, node: NodeId) -> Option<&mut Provenance> {
        let room = self.nodes.len() < 2 * MAX_ORIGINS || self.nodes.contains_key(&node);
        room.then(|| self.nodes.entry(node).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_kept_of_each_and_nothing_of_who_is_forgotten() {
        let mut all = Provenances::default();
        let (a, b) = (NodeId(1), NodeId(2));
        all.heard(a, Sign::Digest, Time::from_millis(1));
        all.heard(a, Sign::Swim, Time::from_millis(2));
        all.news(a, b, Route::Rumor, Time::from_millis(3));
        let heard = Heard { at: Time::from_millis(2), by: Sign::Swim };
        let news = Arrival { at: Time::from_millis(3), from: b, by: Route::Rumor };
        assert_eq!(all.get(a), Provenance { heard: Some(heard), news: Some(news) });
        assert_eq!(all.get(b), Provenance::default());
        all.forget(a);
        assert_eq!(all.get(a), Provenance::default());
    }
}
