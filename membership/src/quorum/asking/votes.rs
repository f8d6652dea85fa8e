//! Votes: which answers of voters count together.

use std::collections::BTreeMap;

use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::quorum::chain::{Chain, Seat};
use crate::quorum::message::Voice;
use crate::quorum::voter::image::MAX_RECOVERY_STEP;

/// The highest number of recoveries that anybody told of each voter. A vote that a voter gave before its last recovery does not
/// count: it may have lost what it voted for (Michael et al., "Recovering Shared Objects Without Stable Storage", 2017).
#[derive(Debug, Default)]
pub(crate) struct VoterLives(BTreeMap<(NodeId, u64), u32>);

impl VoterLives {
    /// Takes what a voter tells of itself and of other voters. Returns how many numbers were not believed.
    pub(crate) fn note(&mut self, from: NodeId, voice: &Voice, chain: &Chain) -> u64 {
        self.0.retain(|(node, token), _| chain.has_seat(*node, *token));
        if !chain.has_seat(from, voice.token) {
            return 0;
        }
        let mut refused = 0;
        let own = ((from, voice.token), voice.recoveries);
        let others = voice.lives.iter().map(|life| ((life.node, life.token), life.recoveries));
        for (seat, recoveries) in others.chain([own]) {
            if !chain.has_seat(seat.0, seat.1) {
                continue;
            }
            let known = self.0.entry(seat).or_default();
            if recoveries > *known + MAX_RECOVERY_STEP {
                refused += 1;
            } else {
                *known = recoveries.max(*known);
            }
        }
        refused
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

/// A vote, with the life of the voter that gave it, and what it knew of the configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    token: u64,
    recoveries: u32,
    rank: (u64, bool),
}

impl Vote {
    pub(crate) fn of(from: &Speaker<'_>) -> Self {
        let Voice { token, recoveries, .. } = *from.voice;
        Self { token, recoveries, rank: from.rank }
    }

    /// Whether the voter knew as much of the configurations as the reader or writer does. A new voter that did not know that it
    /// decides alone may have lacked what its predecessors held.
    pub(crate) fn knew(&self, chain: &Chain) -> bool {
        self.rank >= chain.rank() || mutant::is(Mutant::SkipJoint)
    }
}

/// A voter that answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker<'a> {
    pub(crate) node: NodeId,
    pub(crate) voice: &'a Voice,
    /// What it knows of the configurations.
    pub(crate) rank: (u64, bool),
}

/// The votes for one thing.
#[derive(Debug, Default)]
pub(crate) struct Votes(BTreeMap<NodeId, Vote>);

impl Votes {
    pub(crate) fn add(&mut self, from: &Speaker<'_>) {
        self.0.insert(from.node, Vote::of(from));
    }

    /// Whether a voter that knew the configurations has given a vote that counts.
    pub(crate) fn has_at(&self, seat: Seat, chain: &Chain, lives: &VoterLives) -> bool {
        self.has(seat, lives) && self.0.get(&seat.node).is_some_and(|vote| vote.knew(chain))
    }

    /// Whether a voter has given a vote that counts.
    pub(crate) fn has(&self, seat: Seat, lives: &VoterLives) -> bool {
        self.0.get(&seat.node).is_some_and(|vote| lives.counts(seat, *vote))
    }

    /// Whether a voter has answered that has its token.
    pub(crate) fn has_token(&self, seat: Seat) -> bool {
        self.0.get(&seat.node).is_some_and(|vote| vote.token == seat.token)
    }

    /// The nodes that voted.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.keys().copied()
    }
}
