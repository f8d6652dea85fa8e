//! Configurations: who votes, in numbered sets, each of which is decided by a majority of the set before.

use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::codec::block;

/// Voters of one configuration: 3 or 5.
pub const MAX_VOTERS: usize = 5;

/// A voter in a configuration. It drew the token when it was asked to be a voter, and keeps it on disk. A node that does not have it
/// has lost its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The voter.
    pub node: NodeId,
    /// What it drew.
    pub token: u64,
}
block!(Seat { node, token as Fixed });

/// A set of voters with its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Configuration {
    /// The number; the first is 1.
    pub number: u64,
    /// The voters, by node id.
    pub seats: Vec<Seat>,
}
block!(Configuration { number, seats });

impl Configuration {
    /// How many voters decide.
    #[must_use]
    pub fn majority(&self) -> usize {
        let half = self.seats.len() / 2;
        if mutant::is(Mutant::MinorityVotes) { half.max(1) } else { half + 1 }
    }

    /// The token of a voter.
    #[must_use]
    pub fn token(&self, node: NodeId) -> Option<u64> {
        self.seats.iter().find(|seat| seat.node == node).map(|seat| seat.token)
    }

    /// The voters.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.seats.iter().map(|seat| seat.node)
    }

    /// Whether enough of the voters satisfy a condition.
    pub(crate) fn has_majority(&self, votes: impl Fn(Seat) -> bool) -> bool {
        self.seats.iter().filter(|seat| votes(**seat)).count() >= self.majority()
    }

    /// Whether the number and the size of the set are in range, and no voter is in it twice.
    pub(crate) fn is_valid(&self) -> bool {
        let ordered = self.seats.is_sorted_by(|a, b| a.node < b.node);
        (1..u64::MAX).contains(&self.number) && ordered && is_valid_size(self.seats.len())
    }
}

/// Whether a configuration may have so many voters.
#[must_use]
pub(crate) fn is_valid_size(voters: usize) -> bool {
    voters == 3 || voters == MAX_VOTERS
}

/// What is known of the configurations: the last one that decides alone, and the next one if it is decided. While there is a next one,
/// majorities of both are needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    /// The last configuration that was installed.
    pub installed: Configuration,
    /// Its successor, until that is installed.
    pub next: Option<Configuration>,
}
block!(Chain { installed, next });

impl Chain {
    /// A chain that begins.
    pub(crate) fn of(installed: Configuration) -> Self {
        Self { installed, next: None }
    }

    /// The order of what nodes know.
    #[must_use]
    pub fn rank(&self) -> (u64, bool) {
        (self.installed.number, self.next.is_some())
    }

    /// The configurations whose majorities are needed.
    pub fn active(&self) -> impl Iterator<Item = &Configuration> {
        let skips = mutant::is(Mutant::SkipJoint) && self.next.is_some();
        Some(&self.installed).filter(|_| !skips).into_iter().chain(&self.next)
    }

    /// The voters whose majorities are needed, each once, with its token.
    #[must_use]
    pub fn seats(&self) -> Vec<Seat> {
        let mut seats: Vec<Seat> = self.active().flat_map(|it| it.seats.iter().copied()).collect();
        seats.sort_unstable();
        seats.dedup();
        seats
    }

    /// Whether a voter of one of the configurations has this token.
    pub(crate) fn has_seat(&self, node: NodeId, token: u64) -> bool {
        let mut configurations = Some(&self.installed).into_iter().chain(&self.next);
        configurations.any(|it| it.token(node) == Some(token))
    }

    /// The token of a voter, in the newest configuration that it is in.
    #[must_use]
    pub fn token(&self, node: NodeId) -> Option<u64> {
        let next = self.next.as_ref().and_then(|next| next.token(node));
        next.or_else(|| self.installed.token(node))
    }

    /// Whether each configuration has a majority that satisfies a condition.
    pub(crate) fn has_majorities(&self, votes: impl Fn(Seat) -> bool) -> bool {
        self.active().all(|configuration| configuration.has_majority(&votes))
    }

    /// Whether both configurations are in range and follow each other.
    pub(crate) fn is_valid(&self) -> bool {
        let follows = |next: &Configuration| {
            next.is_valid() && Some(next.number) == self.installed.number.checked_add(1)
        };
        self.installed.is_valid() && self.next.as_ref().is_none_or(follows)
    }
}

/// A number of a configuration that is farther than this above the known one is not believed.
pub(crate) const MAX_NUMBER_STEP: u64 = 1 << 20;

/// The rounds that one question moves a voter ahead, at most. An attempt far beyond asks several times.
const MAX_ROUND_STEP: u64 = 1 << 24;
/// The highest round. With the step, nobody reaches it.
const MAX_ROUND: u64 = 1 << 62;

/// The number of an attempt to decide a configuration. The salt is drawn for each attempt, so that no two are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The round.
    pub round: u64,
    /// The node that attempts, so that rounds of two nodes differ.
    pub node: u64,
    /// What the node drew for the attempt.
    pub salt: u64,
}
block!(Ballot { round, node as Fixed, salt as Fixed });

impl Ballot {
    /// Whether the round is in range.
    pub(crate) fn is_valid(&self) -> bool {
        self.round <= MAX_ROUND
    }
}

/// What a voter promised and accepted for the successor with one number (Lamport, "Paxos Made Simple", 2001).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acceptor {
    /// Attempts below this one are refused.
    pub promised: Ballot,
    /// The last proposal that was accepted.
    pub accepted: Option<Proposal>,
}
block!(Acceptor { promised, accepted });

/// A proposal of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    /// The attempt.
    pub ballot: Ballot,
    /// The configuration that it proposes.
    pub configuration: Configuration,
}
block!(Proposal { ballot, configuration });

impl Proposal {
    /// Whether the round and the configuration are in range.
    pub(crate) fn is_valid(&self) -> bool {
        self.ballot.is_valid() && self.configuration.is_valid()
    }
}

impl Acceptor {
    /// Whether this may be what a voter holds for the configuration with a number.
    pub(crate) fn is_valid(&self, number: u64) -> bool {
        let follows = |it: &Proposal| it.is_valid() && it.configuration.number == number;
        self.promised.is_valid() && self.accepted.as_ref().is_none_or(follows)
    }

    /// Moves one step towards an attempt that is too far ahead. Returns where it is then. So one question with the highest round
    /// does not end all further attempts.
    pub(crate) fn approach(&mut self, ballot: Ballot) -> Option<Ballot> {
        let reach = self.promised.round.saturating_add(MAX_ROUND_STEP);
        (ballot.round > reach).then(|| {
            self.promised = Ballot { round: reach, ..Ballot::default() };
            self.promised
        })
    }

    /// The step towards what another acceptor holds, if that is too far ahead.
    pub(crate) fn towards(&self, other: &Self) -> Option<Self> {
        let accepted = other.accepted.as_ref().map(|proposal| proposal.ballot);
        let mut step = self.clone();
        step.approach(other.promised.max(accepted.unwrap_or_default())).map(|_| step)
    }

    /// Takes what another acceptor holds, as a voter does that lost its disk.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.promised = self.promised.max(other.promised);
        let ballot = |it: &Self| it.accepted.as_ref().map(|proposal| proposal.ballot);
        if ballot(other) > ballot(self) {
            self.accepted.clone_from(&other.accepted);
        }
        *self != before
    }
}
