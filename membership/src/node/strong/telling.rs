//! Voters tell all members of the pool what they know of the configurations: after each change, and a member that becomes active.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use super::{QUESTION_LASTS, Strong};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::node::Node;
use crate::quorum::{Ask, Message};
use crate::requests::{Purpose, RequestError, RequestId};

/// Members that are told of the configurations at once.
const MAX_TELLS: usize = 8;
/// Members that refused to be told are told again after this long.
const REFUSED_TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Members that could not be told are told again after this long.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Strong {
    /// Takes the next member that may not know of the configurations. One that is being told has its turn after that.
    fn take_turn(&mut self) -> Option<NodeId> {
        let is_free = |node: &&NodeId| !self.tells.values().any(|told| told == *node);
        let later = self.untold.range((Bound::Excluded(self.told_last), Bound::Unbounded));
        let next = later.chain(&self.untold).find(is_free).copied()?;
        self.untold.remove(&next);
        self.told_last = next;
        Some(next)
    }

    /// Takes the answer of a member that was told. Returns whether it was one.
    pub(super) fn take_told(
        &mut self,
        request: RequestId,
        result: Result<(), RequestError>,
        now: Time,
    ) -> bool {
        let Some(node) = self.tells.remove(&request) else { return false };
        match result {
            Ok(()) => {}
            // It takes no part, or leaves, or does not hold this node for a living member yet.
            Err(RequestError::Refused) => {
                self.refused.insert(node, now + REFUSED_TOLD_AGAIN_AFTER);
            }
            Err(_) => {
                self.untold.insert(node);
                self.tells_at = Some(now + TOLD_AGAIN_AFTER);
            }
        }
        true
    }

    /// Tells members again that refused long enough ago.
    pub(super) fn tell_refused(&mut self, now: Time) {
        let again = self.refused.extract_if(.., |_, at| *at <= now);
        self.untold.extend(again.map(|(node, _)| node));
    }
}

impl Node {
    pub(super) fn members_to_tell(&self) -> BTreeSet<NodeId> {
        let own = self.identity().node_id;
        let active = self.liveness.members().iter_active().map(|identity| identity.node_id);
        active.filter(|node| *node != own).collect()
    }

    pub(super) fn tell_all(&mut self) {
        let (own, members) = (self.identity().node_id, self.members_to_tell());
        if let Some(strong) = &mut self.strong {
            let is_voter = strong.told(own).is_some();
            strong.untold = if is_voter { members } else { BTreeSet::new() };
            strong.refused.clear();
            strong.tells_at = None;
        }
    }

    /// Notes that a member became active, or is lost.
    pub(in crate::node) fn note_strong_member(&mut self, node: NodeId, is_active: bool) {
        let own = self.identity().node_id;
        let Some(strong) = &mut self.strong else { return };
        if !is_active {
            strong.untold.remove(&node);
            strong.refused.remove(&node);
        } else if strong.told(own).is_some() && node != own {
            strong.untold.insert(node);
        }
    }

    /// Tells some members what is known of the configurations.
    pub(super) fn tell_some(&mut self, now: Time) {
        let own = self.identity().node_id;
        loop {
            let Some(strong) = &mut self.strong else { return };
            if strong.tells_at.is_some_and(|at| at > now) {
                return;
            }
            strong.tells_at = None;
            if strong.tells.len() >= MAX_TELLS {
                return;
            }
            let Some(node) = strong.take_turn() else { return };
            let Some(chain) = strong.told(own) else { continue };
            let ask = Ask { number: 0, chain: Some(chain), parts: Vec::new() };
            let Some(peer) = self.in_reach(node) else { continue };
            let bytes = Message::Ask(ask).encode();
            let asked = self.requests.ask(Purpose::Voter, &peer, bytes, QUESTION_LASTS, now);
            let Some(strong) = &mut self.strong else { return };
            if let Ok(request) = asked {
                strong.tells.insert(request, node);
            } else {
                strong.untold.insert(node);
                strong.tells_at = Some(now + TOLD_AGAIN_AFTER);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::{Image, Provenance, Quorum};

    #[test]
    fn members_take_turns_in_being_told() {
        let quorum = Quorum::new(NodeId(1), Image::default(), Provenance::New, 0, Time::ZERO);
        let mut strong = Strong::new(quorum);
        strong.untold = [2, 3, 4].map(NodeId).into();
        for turn in [2, 3, 4, 2, 3] {
            assert_eq!(strong.take_turn(), Some(NodeId(turn)));
            // It does not answer.
            strong.untold.insert(NodeId(turn));
        }
    }
}
