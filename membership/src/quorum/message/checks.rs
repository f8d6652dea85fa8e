//! Checks of messages that were read: whether numbers and configurations are in range.

use super::{Answer, Part, Voice};
use crate::quorum::chain::{Configuration, MAX_VOTERS, Proposal};
use crate::quorum::voter::image::{Change, MAX_RECOVERIES, VoterLife};

impl Voice {
    /// Whether the numbers are in range.
    pub(super) fn is_valid(&self) -> bool {
        let are_few = self.lives.len() <= 2 * MAX_VOTERS;
        are_few && self.recoveries <= MAX_RECOVERIES && self.lives.iter().all(VoterLife::is_valid)
    }
}

impl Part {
    /// Whether the numbers and configurations are in range.
    pub(super) fn is_valid(&self) -> bool {
        match self {
            Self::Found(it) => it.is_valid(),
            Self::Prepare(_, ballot) => ballot.is_valid(),
            Self::Accept(it) => it.is_valid(),
            Self::Recover(it) => it.recoveries <= MAX_RECOVERIES,
            _ => true,
        }
    }
}

impl Answer {
    /// Whether the numbers and configurations are in range.
    pub(super) fn is_valid(&self) -> bool {
        match self {
            Self::Taken(it) => it.as_ref().is_none_or(Configuration::is_valid),
            Self::Promised(it) => it.as_ref().is_none_or(Proposal::is_valid),
            Self::Refused(ballot) => ballot.is_valid(),
            Self::Life(recoveries) => *recoveries <= MAX_RECOVERIES,
            Self::Page(page) => page.changes.iter().all(Change::is_valid),
            _ => true,
        }
    }
}
