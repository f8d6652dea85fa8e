//! A request of one member to another, and the answer. What they say is the business of the owners of the nodes.

use crate::base::cluster::ClusterMark;
use crate::base::identity::NodeId;
use crate::base::limits::MAX_REQUEST_BYTES;
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// A request. It is the only frame of its side of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The cluster of the sender.
    pub cluster: ClusterMark,
    /// The sender.
    pub sender: NodeId,
    /// The member that is asked. A node that took over its address gives no answer in its name.
    pub receiver: NodeId,
    /// Milliseconds for which the sender waits.
    pub within_ms: u32,
    /// The bytes of the owner, at most [`MAX_REQUEST_BYTES`].
    pub body: Vec<u8>,
}
block!(Request { cluster, sender, receiver, within_ms, body });

/// The answer to a request. It is the only frame of its side of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the request was taken.
    pub taken: Taken,
    /// The bytes of the owner, at most [`MAX_REQUEST_BYTES`]; none if the request was not taken.
    pub body: Vec<u8>,
}
block!(Answer { taken, body });

/// A question to a voter, or its like. Many follow each other on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The cluster of the sender.
    pub cluster: ClusterMark,
    /// The sender.
    pub sender: NodeId,
    /// The member that is asked.
    pub receiver: NodeId,
    /// Milliseconds for which the sender waits.
    pub within_ms: u32,
    /// The number of the question, which its reply has, too.
    pub number: u64,
    /// The message, at most [`MAX_REQUEST_BYTES`].
    pub body: Vec<u8>,
}
block!(Question { cluster, sender, receiver, within_ms, number, body });

/// The reply to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the question.
    pub number: u64,
    /// Whether the question was taken.
    pub taken: Taken,
    /// The message, at most [`MAX_REQUEST_BYTES`]; none if the question was not taken.
    pub body: Vec<u8>,
}
block!(Reply { number, taken, body });

/// Whether a member took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The owner of the member has answered.
    Yes,
    /// The member has as many requests under way as it may.
    Busy,
    /// The member does not hold the sender for a living member, is another one than the receiver, or leaves.
    Refused,
}

/// One byte. A word of a later version reads as [`Taken::Refused`].
impl Field for Taken {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Yes => 0,
            Self::Busy => 1,
            Self::Refused => 2,
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.byte()? {
            0 => Self::Yes,
            1 => Self::Busy,
            _ => Self::Refused,
        })
    }
}

/// Checks the length of a body.
pub(crate) fn check_body(body: &[u8]) -> Result<(), DecodeError> {
    if body.len() > MAX_REQUEST_BYTES {
        return Err(DecodeError::Invalid("the body of a request is too long"));
    }
    Ok(())
}
