//! What a node can say of where its beliefs come from.

use std::sync::Arc;

use super::Node;
use crate::base::identity::NodeId;
use crate::base::io::Event;
use crate::base::provenance::{ForceLeft, Provenance, Sign};
use crate::base::time::Time;
use crate::catalog::record::NodeRecord;
use crate::liveness::detector::{LocalHealth, MAX_SUSPICION_TIMEOUT};
use crate::liveness::members::Peer;

impl Node {
    /// When a node was last heard, and how the latest news of its records came.
    #[must_use]
    pub fn provenance(&self, node: NodeId) -> Provenance {
        let heard = self.swim.members().get(node).and_then(|peer| peer.heard);
        Provenance { heard, news: self.provenances.get(node) }
    }

    /// Since when a member is no longer active; `None` while it is, or when it is unknown.
    #[must_use]
    pub fn down_since(&self, node: NodeId) -> Option<Time> {
        self.swim.members().get(node)?.down_since
    }

    /// When a node last lived, as far as we can tell.
    ///
    /// It is when we last heard it. Of a member that we do not watch, the silence of its monitors tells something too:
    /// while we hear others and no verdict comes, it lived as long ago as a verdict takes. A verdict makes nobody younger:
    /// of whom we heard so lately that we may have watched it, the last word counts.
    #[must_use]
    pub fn last_alive(&self, node: NodeId, now: Time) -> Time {
        if node == self.identity().node_id {
            return now;
        }
        let heard = self.provenance(node).heard.map(|heard| heard.at);
        let answered = self.last_answer(node);
        if answered.is_some() {
            return heard.max(answered).unwrap_or(Time::ZERO);
        }
        let contact = self.last_contact.unwrap_or(Time::ZERO);
        let unaccused = match self.swim.members().get(node) {
            Some(Peer { down_since: Some(since), heard: Some(heard), .. })
                if heard.by == Sign::Ping && since.since(heard.at) <= MAX_SUSPICION_TIMEOUT =>
            {
                return heard.at;
            }
            Some(peer) => peer.down_since.map_or(contact, |since| since.min(contact)),
            None => Time::ZERO,
        };
        let unaccused =
            unaccused.since(Time::ZERO).saturating_sub(LocalHealth::UNPROVEN.suspicion_timeout());
        heard.unwrap_or(Time::ZERO).max(unaccused.into())
    }

    /// That a node was declared gone for good, for as long as that holds.
    #[must_use]
    pub fn force_left(&self, node: NodeId) -> Option<&ForceLeft> {
        let stands = self
            .catalog
            .origin_tombstone(node)
            .is_some_and(|origin_tombstone| !origin_tombstone.yields());
        self.provenances.force_left(node).filter(|_| stands)
    }

    /// How a node describes itself, or did before its records were dropped.
    #[must_use]
    pub fn description(&self, node: NodeId) -> Option<&Arc<NodeRecord>> {
        let record = self.catalog.origin(node).and_then(|origin| origin.node());
        record.or_else(|| self.provenances.force_left(node).map(|force_left| &force_left.record))
    }

    /// Notes that the records of a node were dropped, for an operator said so.
    pub(super) fn note_force_leave(
        &mut self,
        node: NodeId,
        record: Option<Arc<NodeRecord>>,
        told_by: NodeId,
        now: Time,
    ) {
        if let Some(record) = record {
            self.provenances.note_force_leave(node, ForceLeft { record, at: now, told_by });
            self.emit(Event::ForceLeft { node, told_by });
        }
    }

    /// Whether we know that others have records of an origin that we do not.
    #[must_use]
    pub fn lacks(&self, origin: NodeId) -> bool {
        self.gaps.is_open(origin)
    }

    /// Forgets where news came from of a node that nobody speaks of any more.
    pub(super) fn forget_provenance(&mut self, node: NodeId) {
        if self.swim.members().get(node).is_none() && self.catalog.origin(node).is_none() {
            self.provenances.forget(node);
        }
    }
}
