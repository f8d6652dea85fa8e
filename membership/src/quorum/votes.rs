//! Votes: which answers of voters count together.

use std::collections::BTreeMap;

use super::chain::Seat;
use super::message::Voice;
use crate::base::identity::NodeId;

/// The highest number of recoveries that anybody told of each voter. A vote that a voter gave before its last recovery does not
/// count: it may have lost what it voted for (Michael et al., "Recovering Shared Objects Without Stable Storage", 2017).
#[derive(Debug, Default)]
pub(crate) struct Lives(BTreeMap<(NodeId, u64), u32>);

impl Lives {
    /// Takes what a voter tells of itself and of others.
    pub(crate) fn note(&mut self, from: NodeId, voice: &Voice) {
        let own = ((from, voice.token), voice.recoveries);
        let others = voice.lives.iter().map(|life| ((life.node, life.token), life.recoveries));
        for (seat, recoveries) in others.chain([own]) {
            let known = self.0.entry(seat).or_default();
            *known = recoveries.max(*known);
        }
        while self.0.len() > super::MAX_LIVES_KNOWN {
            self.0.pop_first();
        }
    }

    /// The recoveries of a voter, as far as is known.
    pub(crate) fn recoveries(&self, node: NodeId, token: u64) -> u32 {
        self.0.get(&(node, token)).copied().unwrap_or_default()
    }

    /// Whether a vote counts.
    pub(crate) fn counts(&self, seat: Seat, vote: Vote) -> bool {
        seat.token == vote.token
            && vote.recoveries >= self.0.get(&(seat.node, seat.token)).copied().unwrap_or_default()
    }
}

/// A vote, with the life of the voter that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    token: u64,
    recoveries: u32,
}

impl Vote {
    pub(crate) fn of(voice: &Voice) -> Self {
        Self { token: voice.token, recoveries: voice.recoveries }
    }
}

/// The votes for one thing.
#[derive(Debug, Default)]
pub(crate) struct Votes(BTreeMap<NodeId, Vote>);

impl Votes {
    pub(crate) fn add(&mut self, from: NodeId, voice: &Voice) {
        self.0.insert(from, Vote::of(voice));
    }

    /// Whether a voter has given a vote that counts.
    pub(crate) fn has(&self, seat: Seat, lives: &Lives) -> bool {
        self.0.get(&seat.node).is_some_and(|vote| lives.counts(seat, *vote))
    }

    /// The nodes that voted.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.keys().copied()
    }
}
