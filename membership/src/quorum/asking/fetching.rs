//! How a voter gets what it lacks: after its disk was lost or may be an old image, from majorities of the others; as a new voter,
//! from a majority of the old ones.

use std::collections::BTreeMap;

use super::calls::Pace;
use super::votes::{Speaker, VoterLives, Votes};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::quorum::chain::{Chain, Seat};
use crate::quorum::message::{Part, Recover};
use crate::quorum::voter::image::Cursor;

/// What is read of others, and why.
#[derive(Debug)]
pub(crate) struct Fetching {
    pub(crate) purpose: Purpose,
    /// What was known of the configurations when it began. It begins anew when there is more.
    rank: (u64, bool),
    pub(crate) attempt: u64,
    paces: BTreeMap<NodeId, Pace>,
    votes: Votes,
    next: BTreeMap<NodeId, Cursor>,
}

/// Why a voter reads the images of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It asks how often it has recovered, as far as others remember.
    Remember { highest: u32 },
    /// It recovers for this time.
    Recover { token: u64, recoveries: u32 },
    /// It is a new voter of the configuration with this number.
    CatchUp { number: u64 },
}

impl Fetching {
    pub(crate) fn new(purpose: Purpose, chain: &Chain, attempt: u64) -> Self {
        let (paces, votes, next) = Default::default();
        Self { purpose, rank: chain.rank(), attempt, paces, votes, next }
    }

    /// Whether it began with all that is known now.
    pub(crate) fn is_current(&self, chain: &Chain) -> bool {
        self.rank == chain.rank()
    }

    /// The voters to ask.
    pub(crate) fn seats(&self, own: NodeId, chain: &Chain) -> Vec<Seat> {
        let seats = match self.purpose {
            Purpose::CatchUp { .. } => chain.installed.seats.clone(),
            _ => chain.seats(),
        };
        seats.into_iter().filter(|seat| seat.node != own).collect()
    }

    /// What to ask a voter now.
    pub(crate) fn due(&mut self, seat: Seat, lives: &VoterLives, now: Time) -> Option<Part> {
        if self.has_told(seat, lives) || !self.paces.entry(seat.node).or_default().is_due(now) {
            return None;
        }
        let after = self.next.get(&seat.node).cloned();
        Some(match self.purpose {
            Purpose::Remember { .. } => Part::Lives,
            Purpose::Recover { token, recoveries } => {
                Part::Recover(Recover { token, recoveries, after })
            }
            Purpose::CatchUp { .. } => Part::Image(after),
        })
    }

    /// Whether a voter has told all. Voters that recover at the same time count for each other, although others have noted that they do.
    fn has_told(&self, seat: Seat, lives: &VoterLives) -> bool {
        match self.purpose {
            Purpose::CatchUp { .. } => self.votes.has(seat, lives),
            _ => self.votes.has_token(seat),
        }
    }

    /// Takes the number of recoveries that a voter remembers.
    pub(crate) fn remembered(&mut self, from: &Speaker<'_>, recoveries: u32) {
        if let Purpose::Remember { highest } = &mut self.purpose
            && !from.voice.is_lost
        {
            *highest = recoveries.max(*highest);
            self.votes.add(from);
        }
    }

    /// Asks a voter again at once. Its reply had no room.
    pub(crate) fn put_off(&mut self, node: NodeId) {
        self.paces.remove(&node);
    }

    /// Notes that a part of the image of a voter was taken.
    pub(crate) fn took(&mut self, from: &Speaker<'_>, next: Option<Cursor>) {
        self.paces.remove(&from.node);
        match next {
            Some(next) => drop(self.next.insert(from.node, next)),
            None => self.votes.add(from),
        }
    }

    /// Whether enough voters have told all. An operator may vouch for what this one holds itself.
    pub(crate) fn is_done(
        &self,
        own: NodeId,
        is_vouched: bool,
        chain: &Chain,
        lives: &VoterLives,
    ) -> bool {
        let told = |seat: Seat| self.has_told(seat, lives);
        match self.purpose {
            // A voter that votes knows what it holds itself.
            Purpose::CatchUp { .. } => {
                chain.installed.has_majority(|seat| seat.node == own || told(seat))
            }
            _ => {
                chain.has_majorities(|seat| if seat.node == own { is_vouched } else { told(seat) })
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.paces.values().filter_map(Pace::deadline).min()
    }
}
