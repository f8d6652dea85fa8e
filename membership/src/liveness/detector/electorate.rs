//! The members that may vote on a suspect: those that are not silent themselves.
//!
//! When most of the cluster vanishes at once, the monitors of a dead member are dead, too. Referees are then chosen from
//! the members that were heard lately, and a member that has been silent for long enough has no vote. So the quorum is
//! never waited for in vain.

use std::collections::BTreeMap;
use std::time::Duration;

use super::suspicion::Suspicion;
use super::{ANSWERS_WITHIN, Detector};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::liveness::ring::Ring;
use crate::liveness::swim::Swim;

/// A member that was heard within this time is asked before members of which nothing is known.
const LATELY: Duration = Duration::from_millis(1_500);
/// A member has no vote once it has been silent for this long: since it was accused or first asked for its vote without
/// an answer, or since we last heard of it if that is later.
const NO_VOTE_AFTER: Duration = Duration::from_millis(1_200);
/// While more suspicions than this are open, members of which nothing is known are pinged, and not asked for votes. All
/// suspicions share the pings.
const FEW: usize = 16;

/// A member that does not answer.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// Whether it is accused. If it is not, it has only missed our questions.
    is_accused: bool,
    /// Whether its silence is so short that it has a vote all the same.
    has_vote: bool,
}

/// The members that may vote at one moment.
#[derive(Debug)]
pub(super) struct Electorate {
    /// The members that were heard lately.
    heard: Ring,
    /// The members of which nothing is known. Empty while many suspicions are open.
    unknown: Ring,
    silent: BTreeMap<NodeId, Silence>,
    /// Active members that have a vote.
    voters: usize,
}

impl Electorate {
    /// An electorate of members that were heard lately, and a suspect.
    #[cfg(test)]
    pub(super) fn heard(nodes: impl Iterator<Item = NodeId>) -> Self {
        let mut heard = Ring::default();
        nodes.for_each(|node| heard.insert(node));
        let voters = heard.len() + 1;
        Self { heard, unknown: Ring::default(), silent: BTreeMap::new(), voters }
    }

    /// The same, after some of the members have been silent for so long that they have no vote.
    #[cfg(test)]
    pub(super) fn without_votes_of(mut self, nodes: impl Iterator<Item = NodeId>) -> Self {
        let silence = Silence { is_accused: true, has_vote: false };
        self.silent.extend(nodes.map(|node| (node, silence)));
        self.heard = self.heard.filtered(|node| !self.silent.contains_key(node));
        self.voters = self.heard.len() + 1;
        self
    }

    /// Members to ask for a vote on a suspect, the best ones first.
    pub(super) fn candidates(&self, suspect: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.heard.predecessors(suspect).chain(self.unknown.predecessors(suspect))
    }

    /// Whether it is of no use to go on asking a member.
    pub(super) fn is_out(&self, node: NodeId) -> bool {
        self.silent.get(&node).is_some_and(|silence| silence.is_accused || !silence.has_vote)
    }

    /// Number of members other than the suspect that have a vote.
    pub(super) fn voters_on(&self, suspect: NodeId) -> usize {
        let has_vote = self.silent.get(&suspect).is_none_or(|silence| silence.has_vote);
        self.voters.saturating_sub(usize::from(has_vote))
    }
}

impl Detector {
    /// The members that may vote now.
    pub(super) fn electorate(&self, swim: &Swim, now: Time) -> Electorate {
        let accused = self.suspicions.keys().copied();
        let silent: BTreeMap<NodeId, Silence> = accused
            .chain(self.unanswered.keys().copied())
            .filter(|node| swim.active_peer(*node).is_some())
            .filter_map(|node| {
                let since = self.silent_since(swim, node, now)?;
                let is_accused = self.suspicions.contains_key(&node);
                Some((node, Silence { is_accused, has_vote: now.since(since) < NO_VOTE_AFTER }))
            })
            .collect();
        let last_heard = |node: &NodeId| swim.members().get(*node).and_then(|peer| peer.heard);
        let lately =
            |node: &NodeId| last_heard(node).is_some_and(|heard| now.since(heard.at) < LATELY);
        let few = self.suspicions.len() <= FEW;
        Electorate {
            heard: swim.ring().filtered(|node| !silent.contains_key(node) && lately(node)),
            unknown: swim
                .ring()
                .filtered(|node| few && !silent.contains_key(node) && !lately(node)),
            voters: swim.ring().len() - silent.values().filter(|silence| !silence.has_vote).count(),
            silent,
        }
    }

    /// Since when a member has been silent, if it is of no use to ask it: it is accused, or was asked for its vote and did
    /// not answer in time; and nothing has come from it lately.
    pub(super) fn silent_since(&self, swim: &Swim, node: NodeId, now: Time) -> Option<Time> {
        let asked = self.unanswered.get(&node).copied();
        let accused = self.suspicions.get(&node).map(Suspicion::accused);
        let since =
            accused.or_else(|| asked.filter(|asked| now.since(*asked) >= ANSWERS_WITHIN))?;
        let heard = swim.members().get(node).and_then(|peer| peer.heard);
        match heard.map(|heard| heard.at).filter(|heard| *heard > since) {
            Some(heard) => (now.since(heard) >= NO_VOTE_AFTER).then_some(heard),
            None => Some(since),
        }
    }
}
