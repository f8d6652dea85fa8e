//! A verdict, and what a node remembers of those that it believes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;

/// Why somebody is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It answered nobody.
    Silence,
    /// It said that it leaves.
    Left,
    /// A person said so.
    Declared,
    /// We heard nobody at all: it is us who may be cut off.
    Isolation,
    /// Others hold it so, and the verdict itself did not come this way.
    Hearsay,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "silence",
            Self::Left => "left",
            Self::Declared => "declared",
            Self::Isolation => "isolation",
            Self::Hearsay => "hearsay",
        })
    }
}

/// That one life of a node is over, and who found that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The node.
    pub node: NodeId,
    /// Up to which of its lives.
    pub epoch: Epoch,
    /// Why.
    pub cause: Cause,
    /// Who passed it.
    pub accuser: NodeId,
    /// Who agreed.
    #[serde(deserialize_with = "crate::wire::list")]
    pub referees: Vec<NodeId>,
}

/// Why a node believes that another is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// The verdict.
    pub verdict: Verdict,
    /// Who told us; ourselves when it is our own.
    pub told_by: NodeId,
    /// Since when we believe it.
    pub since: Time,
}
