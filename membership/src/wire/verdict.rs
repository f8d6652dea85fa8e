//! A verdict: one life of a member is over.

use std::fmt;

use crate::base::identity::{Epoch, NodeId};
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// Why somebody is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One byte. A verdict for a cause that only a later version knows is skipped.
impl Field for Cause {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Silence => 0,
            Self::Left => 1,
            Self::Declared => 2,
            Self::Isolation => 3,
            Self::Hearsay => 4,
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Silence),
            1 => Ok(Self::Left),
            2 => Ok(Self::Declared),
            3 => Ok(Self::Isolation),
            4 => Ok(Self::Hearsay),
            cause => Err(DecodeError::Unknown(cause)),
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub referees: Vec<NodeId>,
}
block!(Verdict { node, epoch, cause, accuser, referees });
