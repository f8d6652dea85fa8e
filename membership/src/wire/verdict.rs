//! A verdict: a member is down, in one epoch and all earlier ones.

use std::fmt;

use crate::base::identity::{Epoch, NodeId};
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// Why a member is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The member answered neither the accuser nor the referees.
    Silence,
    /// The member said that it leaves.
    Left,
    /// An operator forced the member to leave.
    ForceLeft,
    /// The sender holds the member down without knowing the verdict itself.
    Hearsay,
}

/// One byte. A verdict with a cause that only a later version knows is skipped.
impl Field for Cause {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Silence => 0,
            Self::Left => 1,
            Self::ForceLeft => 2,
            Self::Hearsay => 3,
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Silence),
            1 => Ok(Self::Left),
            2 => Ok(Self::ForceLeft),
            3 => Ok(Self::Hearsay),
            cause => Err(DecodeError::Unknown(cause)),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "silence",
            Self::Left => "left",
            Self::ForceLeft => "force_leave",
            Self::Hearsay => "hearsay",
        })
    }
}

/// A verdict says that a node is down, in one epoch and all earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The node that is down.
    pub node: NodeId,
    /// The last epoch in which it is down. A later epoch refutes the verdict.
    pub epoch: Epoch,
    /// Why the node is down.
    pub cause: Cause,
    /// The node that passed the verdict.
    pub accuser: NodeId,
    /// The referees that agreed.
    pub referees: Vec<NodeId>,
    /// Whether the process of the member exited: connections that were held to it closed, or new ones were refused. The
    /// cause is silence then, as an earlier version reads it.
    pub exited: bool,
}
block!(Verdict { node, epoch, cause, accuser, referees } later { exited: false });
