//! The voters of a datacenter, which strong reads and writes ask.

use serde::{Deserialize, Serialize};

use super::{MemberStatus, NodeId, is_default};

/// The voters that an agent knows of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voters {
    /// The datacenter whose voters they are: that of the agent.
    pub datacenter: String,
    /// The number of their configuration; 0 when there are no voters.
    pub configuration: u64,
    /// The voters, by name.
    pub voters: Vec<Voter>,
    /// The voters of the next configuration, while a change is under way. Majorities of both are needed until it is over.
    #[serde(default, skip_serializing_if = "is_default")]
    pub next_voters: Vec<Voter>,
    /// What the agent that answers is itself.
    pub own: OwnVoter,
}

/// A voter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voter {
    /// The name of the agent; its node id if the name is not known.
    pub name: String,
    /// Its node id. Voters are known by it.
    pub node_id: NodeId,
    /// Its status as a member; absent when it is no member that is known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: Option<MemberStatus>,
}

/// What an agent is among the voters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnVoter {
    /// Whether it votes.
    pub standing: VoterStanding,
    /// The registers that it keeps as a voter: one for each instance, deregistered ones among them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub registers: u64,
    /// Why it does not vote, or takes no part at all: its log of a voter cannot be written, or read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub problem: Option<String>,
}

/// Whether an agent votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoterStanding {
    /// It is no voter.
    NoVoter,
    /// It votes.
    Votes,
    /// It is a voter and does not vote yet: it has no proof that what it finds on its disk is all that it wrote. It votes when it has
    /// read majorities of the other voters, or when an operator vouches for its disk.
    Doubtful,
    /// It is a voter and does not vote yet: it lost its disk. It votes when it has read majorities of the other voters.
    Lost,
    /// It does not vote, or takes no part at all, for the reason that is told. A standing of a newer agent reads as this one.
    #[serde(other)]
    Stopped,
}

impl VoterStanding {
    /// The name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoVoter => "no_voter",
            Self::Votes => "votes",
            Self::Doubtful => "doubtful",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}
